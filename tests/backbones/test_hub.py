"""Folders of huggingface_hub: weights, arguments and model card."""

import base64
import hashlib
import json
import os
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
import torch
from huggingface_hub import ModelCard
from torch import nn

import mlp_backbones as mb
from mlp_backbones.backbones import FAMILIES, MLPBackbone
from mlp_backbones.checkpoints import CheckpointError
from mlp_backbones.errors import UserError
from tests.backbones.slim import slim
from tests.conftest import ROOT, run

RESULTS = sorted((ROOT / 'benchmarks' / 'leaderboard' / 'results').glob('*_*.json'))


def assert_equal(net, other):
    assert [*net.state_dict()] == [*other.state_dict()]
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize('family', FAMILIES)
def test_a_folder_gives_the_same_network(family, tmp_path):
    net = slim(family, out_indices=(1, 3), drop_path_rate=0.2, out_norm=True).eval()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3)
    net.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {'README.md', 'config.json', 'model.safetensors'}
    x = torch.randn(1, 3, 45, 50)
    for again in (MLPBackbone.from_pretrained(tmp_path), FAMILIES[family].from_pretrained(str(tmp_path))):
        assert type(again) is FAMILIES[family] and not again.training
        assert_equal(net, again)
        for got, wanted in zip(again(x), net(x), strict=True):
            assert torch.equal(got, wanted)
    config = json.loads((tmp_path / 'config.json').read_text())
    assert config['family'] == family and config['out_indices'] == [1, 3] and config['drop_path_rate'] == 0.2


def test_arguments_come_back_but_not_the_file_of_the_weights(tmp_path):
    init_cfg = dict(type='Pretrained', checkpoint='/home/me/weights.pth')
    net = mb.build_backbone('asmlp_tiny', shift_size=3, dilation=2, output_stride=16, init_cfg=init_cfg)
    net.save_pretrained(tmp_path)
    again = mb.backbones.ASMLP.from_pretrained(tmp_path)
    assert (again.shift_size, again.dilation, again.out_strides) == (3, 2, (4, 8, 16, 16))
    assert again.arch_name == 'tiny' and again.init_cfg is None
    assert 'weights.pth' not in (tmp_path / 'config.json').read_text()


def test_arguments_that_replace_those_of_the_folder(tmp_path):
    net = slim('CycleMLP')
    net.save_pretrained(tmp_path)
    part = MLPBackbone.from_pretrained(tmp_path, out_indices=(0, 2), frozen_stages=1)
    assert part.out_indices == (0, 2) and part.frozen_stages == 1
    assert torch.equal(part.stages[2].blocks[0].norm1.weight, net.stages[2].blocks[0].norm1.weight)
    gray = MLPBackbone.from_pretrained(tmp_path, in_channels=1, adapt_channels=True)
    torch.testing.assert_close(gray.stem.proj.weight, net.stem.proj.weight.sum(1, keepdim=True))
    with pytest.raises(CheckpointError, match='adapt_channels=True'):
        MLPBackbone.from_pretrained(tmp_path, in_channels=1)


def test_missing_tensors_are_an_error_unless_they_are_allowed(tmp_path):
    slim('CycleMLP', out_norm=False).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r'missing: out_norms\.0 .*strict=False'):
        MLPBackbone.from_pretrained(tmp_path, out_norm=True)
    assert len(MLPBackbone.from_pretrained(tmp_path, out_norm=True, strict=False).out_norms) == 4


def test_a_class_of_the_users_own(tmp_path):
    class Mine(mb.backbones.CycleMLP):
        pass

    net = Mine('b1', out_indices=(0,))
    net.save_pretrained(tmp_path)
    for kind in (Mine, mb.backbones.CycleMLP):
        again = kind.from_pretrained(tmp_path)
        assert type(again) is kind
        assert_equal(net, again)


@pytest.mark.parametrize('result', [p for p in RESULTS if 'cyclemlp' in p.name or 'upernet' in p.name][:3], ids=str)
def test_card_has_the_metrics_of_the_result(result, tmp_path):
    content = json.loads(result.read_text())
    slim('CycleMLP').save_pretrained(tmp_path, result=result, model_card_kwargs=dict(license='apache-2.0'))
    card = ModelCard.load(tmp_path / 'README.md')
    assert {e.metric_name: e.metric_value for e in card.data.eval_results} == content['metrics']
    assert card.data.license == 'apache-2.0' and card.data.library_name == 'mlp_backbones'
    assert dict(re.findall(r'^\| (\S.*) \| ([\d.]+) \|$', card.text, re.MULTILINE)) == {
        name: f'{value:g}' for name, value in content['metrics'].items()
    }
    assert all(content[key] in card.text for key in ('config', 'commit', 'command'))


def test_a_card_that_is_there_stays(tmp_path):
    (tmp_path / 'README.md').write_text('mine')
    slim('CycleMLP').save_pretrained(tmp_path)
    assert (tmp_path / 'README.md').read_text() == 'mine'


@pytest.mark.parametrize(
    'text', [None, '{', '[]', '{"format": "mlp_backbones result 1", "config": "a"}', '{"metrics": {}}']
)
def test_a_wrong_result_writes_nothing(text, tmp_path):
    if text is not None:
        (tmp_path / 'result.json').write_text(text)
    with pytest.raises(UserError, match=r'result=.*result\.json'):
        slim('CycleMLP').save_pretrained(tmp_path / 'net', result=tmp_path / 'result.json')
    assert not (tmp_path / 'net').exists()


def test_what_cannot_be_saved(tmp_path):
    with pytest.raises(UserError, match='fused'):
        slim('HireMLP').fuse().save_pretrained(tmp_path)
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='file'):
        slim('CycleMLP').save_pretrained(tmp_path / 'file')


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda folder: (folder / 'config.json').unlink(), 'no config.json'),
        (lambda folder: (folder / 'config.json').write_text('{'), 'not JSON'),
        (lambda folder: (folder / 'config.json').write_text('{"family": "ResNet"}'), 'CycleMLP'),
        (lambda folder: (folder / 'config.json').write_text('{"family": []}'), 'CycleMLP'),
        (lambda folder: (folder / 'config.json').write_text('[]'), 'config.json'),
        (lambda folder: (folder / 'model.safetensors').unlink(), 'model.safetensors'),
        (lambda folder: (folder / 'model.safetensors').write_bytes(b'\x80\x04'), 'model.safetensors'),
    ],
)
def test_folders_that_hold_no_network(change, words, tmp_path):
    slim('CycleMLP').save_pretrained(tmp_path)
    change(tmp_path)
    with pytest.raises(CheckpointError, match=words):
        MLPBackbone.from_pretrained(tmp_path)


def test_wrong_names(tmp_path):
    slim('CycleMLP').save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match='holds a CycleMLP, not a ASMLP'):
        mb.backbones.ASMLP.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match='no folder'):
        MLPBackbone.from_pretrained(tmp_path / 'missing')
    with pytest.raises(ValueError, match="no argument 'out_index'"):
        MLPBackbone.from_pretrained(tmp_path, out_index=3)


SCRIPT = """
import sys
sys.modules['huggingface_hub'] = None
import pytest, torch
import mlp_backbones as mb
net = mb.build_backbone('cyclemlp_b1')
assert len(net(torch.randn(1, 3, 33, 40))) == 4
for call in (net.save_pretrained, net.push_to_hub, mb.backbones.CycleMLP.from_pretrained):
    with pytest.raises(mb.errors.UserError, match='pip install huggingface_hub safetensors') as refused:
        call('folder')
    assert '\\n' not in str(refused.value)
"""


@pytest.mark.slow
def test_without_the_package(tmp_path):
    (tmp_path / 'script.py').write_text(SCRIPT)
    done = run('script.py', cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stdout
    assert [*tmp_path.iterdir()] == [tmp_path / 'script.py']


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub as an upload and a download need."""

    files: ClassVar[dict[str, bytes]] = {}

    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length'] or 0))
        if self.path.endswith('/repos/create'):
            self.reply(dict(url=f'{self.home}/me/net', id='me/net', name='me/net'))
        elif '/preupload/' in self.path:
            names = [file['path'] for file in json.loads(body)['files']]
            self.reply(dict(files=[dict(path=n, uploadMode='regular', shouldIgnore=False) for n in names]))
        elif '/commit/' in self.path:
            for line in map(json.loads, body.splitlines()):
                if line['key'] == 'file':
                    self.files[line['value']['path']] = base64.b64decode(line['value']['content'])
            self.reply(dict(success=True, commitOid='0' * 40, commitUrl=f'{self.home}/me/net/commit/' + '0' * 40))
        else:
            self.reply(dict(errors=[], warnings=[]))

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        content = self.files.get(self.path.rpartition('/')[2])
        if '/resolve/' in self.path and content is not None:
            self.reply(content, {'X-Repo-Commit': '0' * 40, 'ETag': f'"{hashlib.sha1(content).hexdigest()}"'})
        elif '/resolve/' in self.path:
            self.send_error(404)
        else:
            self.reply(dict(id='me/net', sha='0' * 40, siblings=[], private=False))

    @property
    def home(self):
        return f'http://127.0.0.1:{self.server.server_port}'

    def reply(self, content, headers=()):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(200)
        for name, value in {**dict(headers), 'Content-Length': str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(content)

    def log_message(self, *args):
        pass


PUSH = """
import torch
from mlp_backbones.backbones import MLPBackbone
from tests.backbones.slim import slim
net = slim('CycleMLP')
net.push_to_hub('me/net', result=RESULT, token='none')
again = MLPBackbone.from_pretrained('me/net')
assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))
"""


@pytest.mark.slow
def test_upload_and_download(tmp_path):
    server = ThreadingHTTPServer(('127.0.0.1', 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / 'script.py').write_text(PUSH.replace('RESULT', repr(str(RESULTS[0]))))
    address = f'http://127.0.0.1:{server.server_port}'
    env = dict(HF_ENDPOINT=address, HF_HOME=str(tmp_path / 'home'), HF_HUB_DISABLE_XET='1', NO_PROXY='127.0.0.1')
    done = run('script.py', cwd=tmp_path, **env, PYTHONPATH=os.pathsep.join([str(ROOT), *filter(None, sys.path)]))
    server.shutdown()
    assert done.returncode == 0, done.stdout
    assert {*Hub.files} == {'README.md', 'config.json', 'model.safetensors'}
    assert b'box AP' in Hub.files['README.md']
