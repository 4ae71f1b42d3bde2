"""Downloads: whole, checked and named after their address, or one sentence and nothing kept."""

import hashlib
import io
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from mlp_backbones.checkpoints import CheckpointError, CheckpointMissing, download, read_checkpoint
from tests.conftest import run


def checkpoint(value):
    out = io.BytesIO()
    torch.save({'model': {'w': torch.full((1000,), float(value))}}, out)
    return out.getvalue()


class Handler(BaseHTTPRequestHandler):
    requests: list = []  # noqa: RUF012 (shared on purpose)

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.requests.append((self.path, self.headers.get('Authorization')))
        body = checkpoint(2 if '/b/' in self.path or 'id=2' in self.path else 1)
        status, headers, pause = 200, {}, 0
        if 'cut' in self.path:
            headers, body = {'Content-Length': len(body)}, body[: len(body) // 2]
        elif 'short' in self.path:  # no length is stated
            body = body[: len(body) // 2]
        elif 'html' in self.path:
            body = b'<!doctype html><p>log in</p>'
        elif 'huge' in self.path:
            headers = {'Content-Length': 10**15}
        elif 'loop' in self.path:
            status, headers = 302, {'Location': '/loop.pth'}
        elif 'tofile' in self.path:
            status, headers = 302, {'Location': 'file:///etc/passwd'}
        elif 'moved' in self.path:
            status, headers = 302, {'Location': '/a/x.pth'}
        elif '404' in self.path:
            status = 404
        elif 'trickle' in self.path:
            pause = 0.2
        elif 'hang' in self.path:
            time.sleep(5)
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, str(value))
        self.end_headers()
        try:
            for at in range(0, len(body), 1 if pause else len(body)):
                self.wfile.write(body[at : at + 1] if pause else body)
                time.sleep(pause)
        except OSError:
            pass  # the client left


@pytest.fixture
def address(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    Handler.requests.clear()
    with ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_address[1]}'
        server.shutdown()


def value(source, **options):
    return read_checkpoint(source, **options)['model']['w'][0].item()


def test_addresses_with_the_same_file_name_do_not_share_a_file(address, tmp_path):
    for _ in range(2):
        assert value(f'{address}/a/weights.pth') == 1
        assert value(f'{address}/b/weights.pth') == 2
        assert value(f'{address}/get?id=1') == 1
        assert value(f'{address}/get?id=2') == 2
        assert value(f'{address}/moved.pth') == 1
    assert len(Handler.requests) == 6  # each was fetched once, and one of them was moved
    names = {path.name for path in (tmp_path / 'hub/checkpoints').iterdir()}
    assert len(names) == 5 and sum(name.startswith('weights-') and name.endswith('.pth') for name in names) == 2


def test_hashes_are_checked(address, tmp_path):
    sha256 = hashlib.sha256(checkpoint(1)).hexdigest()
    assert value(f'{address}/a/net-{sha256[:8]}.pth') == 1
    assert (tmp_path / f'hub/checkpoints/net-{sha256[:8]}.pth').is_file()
    assert value(f'{address}/b/net-20240131.pth') == 2  # a date is not a hash
    assert value(f'{address}/a/x.pth', sha256=sha256) == 1
    for source, options in [(f'{address}/a/net-01234567.pth', {}), (f'{address}/b/y.pth', {'sha256': sha256})]:
        with pytest.raises(CheckpointError, match='SHA-256'):
            read_checkpoint(source, **options)
    assert len(list((tmp_path / 'hub/checkpoints').iterdir())) == 3
    (tmp_path / f'hub/checkpoints/net-{sha256[:8]}.pth').write_bytes(checkpoint(666))
    with pytest.raises(CheckpointError, match='SHA-256'):
        read_checkpoint(f'{address}/a/net-{sha256[:8]}.pth')
    local = tmp_path / 'local.pth'
    local.write_bytes(checkpoint(1))
    assert value(local, sha256=sha256[:12]) == 1
    for wrong in ('0' * 8, 'abc', 'not a hash'):
        with pytest.raises(CheckpointError):
            read_checkpoint(local, sha256=wrong)


@pytest.mark.parametrize('kind', ['cut', 'short', 'html', 'huge', 'loop', 'tofile', '404', 'trickle', 'hang'])
def test_what_goes_wrong_is_one_sentence_and_nothing_is_kept(address, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(download, '_PATIENCE', 0.7)
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(f'{address}/{kind}.pth')
    text = str(error.value)
    assert f'{address}/{kind}.pth' in text and '\n' not in text
    assert not list((tmp_path / 'hub/checkpoints').iterdir())


@pytest.mark.parametrize(
    'source',
    [
        'http://127.0.0.1:9/x.pth',
        'https://no-such-host.invalid/x.pth',
        'http://127.0.0.1:9/é and more.pth',
        'http://127.0.0.1:9/' + 'a' * 5000,
        'http://127.0.0.1:9/',
        'http://127.0.0.1:9/a/..',
        'http://127.0.0.1:9/%2e%2e',
        'http://127.0.0.1:9/a\nb.pth',
        'http://[::1/x.pth',
        'http://127.0.0.1:abc/x.pth',
        'http://127.0.0.1:99999/x.pth',
        'http://a b/x.pth',
        'http://',
    ],
)
def test_addresses_that_lead_nowhere(tmp_path, monkeypatch, source):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    with pytest.raises(CheckpointError, match='http') as error:
        read_checkpoint(source)
    assert '\n' not in str(error.value) and len(str(error.value)) < 2000
    assert not [path for path in tmp_path.rglob('*') if path.is_file()]


@pytest.mark.parametrize(
    'source',
    [
        'http://127.0.0.1:9/folder/CycleMLP_B1.pth',
        'http://user:secret@127.0.0.1:9/folder/é and more',
        'http://127.0.0.1:9/get?id=1',
        'http://127.0.0.1:9/' + 'a' * 500 + '.pth',
        'HTTP://127.0.0.1:9/net-20240131.pth#part',
    ],
)
def test_a_file_that_was_put_where_the_error_says_is_found(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('TORCH_HOME', 'torch')
    with pytest.raises(CheckpointMissing) as error:
        read_checkpoint(source)
    path = next(Path(word.rstrip(',')) for word in str(error.value).split() if word.startswith(str(tmp_path)))
    path.write_bytes(checkpoint(1))
    assert value(source) == 1


def test_a_file_of_the_plain_name_is_named_and_not_taken_for_the_address(address, tmp_path):
    plain = tmp_path / 'hub/checkpoints/CycleMLP_B1.pth'
    plain.parent.mkdir(parents=True)
    plain.write_bytes(checkpoint(7))
    assert value(f'{address}/a/CycleMLP_B1.pth') == 1
    source = 'http://127.0.0.1:9/folder/CycleMLP_B1.pth'
    with pytest.raises(CheckpointMissing) as error:
        read_checkpoint(source)
    path, named = (Path(w.rstrip(',.')) for w in str(error.value).split() if w.startswith(str(tmp_path)))
    assert named == plain
    plain.rename(path)
    assert value(source) == 7


def test_a_password_is_sent_and_not_shown(address, tmp_path):
    assert value(address.replace('http://', 'http://user:sec%20ret@') + '/a/x.pth') == 1
    assert Handler.requests[-1][1] == 'Basic dXNlcjpzZWMgcmV0'
    assert value(f'{address}/a/x.pth') == 1 and len(Handler.requests) == 1
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(address.replace('http://', 'http://user:secret@') + '/404.pth')
    assert 'secret' not in str(error.value) and '/404.pth' in str(error.value)


def test_all_processes_of_a_machine_get_one_download_or_its_error(address, tmp_path):
    script = tmp_path / 'processes.py'
    script.write_text(
        f"""
import os
import torch.distributed as dist
import torch.multiprocessing as mp
from mlp_backbones.checkpoints import CheckpointError, read_checkpoint
from mmengine.dist import init_local_group

def main(rank):
    dist.init_process_group('gloo', init_method='file://{tmp_path}/meet', rank=rank, world_size=2)
    init_local_group(0, 2)
    for name in ('a/x.pth', '404.pth'):
        try:
            found = read_checkpoint('{address}/' + name)['model']['w'][0].item()
        except CheckpointError as error:
            found = type(error).__name__
        os.write(1, f'rank {{rank}} {{found}}\\n'.encode())  # in one piece, as both write

if __name__ == '__main__':
    mp.start_processes(main, nprocs=2, start_method='fork')
"""
    )
    done = run(script, TORCH_HOME=str(tmp_path))
    lines = {line for line in done.stdout.splitlines() if line.startswith('rank')}
    assert lines == {f'rank {rank} {what}' for rank in range(2) for what in ('1.0', 'CheckpointMissing')}
    assert [path for path, _ in Handler.requests] == ['/a/x.pth', '/404.pth']
