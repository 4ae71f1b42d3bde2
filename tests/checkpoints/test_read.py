"""Published files hold more than tensors, and hostile files hold code: one is read, the other never runs."""

import argparse
import os
import sys
import types

import numpy as np
import pytest
import torch

from mlp_backbones.checkpoints import CheckpointError, find_state_dict, read_checkpoint
from tests.conftest import run


class Planted:
    """Runs a shell command when unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_a_published_file_with_all_its_extras(tmp_path):
    content = {
        'model': {'weight': torch.ones(2)},
        'args': argparse.Namespace(lr=1e-3, model='cycle'),
        'optimizer': {'state': {0: {'step': torch.tensor(3.0)}}, 'param_groups': [{'lr': 0.1}]},
        'max_accuracy': np.float64(78.9),
        'epoch': np.int64(299),
        'flags': [np.float32(1), np.bool_(True)],
    }
    torch.save(content, tmp_path / 'a.pth')
    read = read_checkpoint(tmp_path / 'a.pth')
    assert read['args'].model == 'cycle' and read['max_accuracy'] == 78.9 and read['epoch'] == 299
    assert torch.equal(find_state_dict(read)['weight'], torch.ones(2))


@pytest.mark.parametrize('zipped', [True, False])
def test_a_planted_command_is_named_and_never_runs(tmp_path, zipped):
    trace = tmp_path / 'trace'
    content = {'model': {'weight': torch.ones(1)}, 'args': Planted(f'touch {trace}')}
    torch.save(content, tmp_path / 'bomb.pth', _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r'bomb\.pth: it asks for (posix|os)\.system'):
        read_checkpoint(tmp_path / 'bomb.pth')
    assert not trace.exists()
    # The file is a real bomb: reading it the old way does run it.
    torch.load(tmp_path / 'bomb.pth', weights_only=False)
    assert trace.exists()


class Getter:
    """Asks for an attribute when unpickled."""

    def __reduce__(self):
        return getattr, (argparse.Namespace, '__init__')


def test_getattr_is_refused_but_for_the_log_buffers_of_mmengine(tmp_path):
    torch.save({'model': {'weight': torch.ones(1)}, 'x': Getter()}, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r'it asks for (builtins\.)?getattr'):
        read_checkpoint(tmp_path / 'a.pth')
    # There it is passed over: nothing is looked up.
    torch.save({'state_dict': {'weight': torch.ones(1)}, 'message_hub': {'x': Getter()}}, tmp_path / 'b.pth')
    assert type(read_checkpoint(tmp_path / 'b.pth')['message_hub']['x']).__name__ == '_Inert'


def test_arrays_are_refused(tmp_path):
    torch.save({'model': {'weight': np.ones(3)}}, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match='it asks for numpy'):
        read_checkpoint(tmp_path / 'a.pth')


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04 not really', b'\x00' * 100, b'<!DOCTYPE html><p>not found</p>'])
def test_broken_files_end_in_one_sentence(tmp_path, content):
    (tmp_path / 'x.pth').write_bytes(content)
    with pytest.raises(CheckpointError, match='it is broken, cut short, or not a torch file') as error:
        read_checkpoint(tmp_path / 'x.pth')
    assert 'x.pth' in str(error.value) and '\n' not in str(error.value)


def test_truncated_file(tmp_path):
    torch.save({'model': {'w': torch.ones(1000)}}, tmp_path / 'x.pth')
    whole = (tmp_path / 'x.pth').read_bytes()
    (tmp_path / 'x.pth').write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match='broken, cut short'):
        read_checkpoint(tmp_path / 'x.pth')


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(CheckpointError, match='no such file'):
        read_checkpoint(tmp_path / 'none.pth')
    with pytest.raises(CheckpointError, match='a folder'):
        read_checkpoint(tmp_path)


def test_an_address_that_cannot_be_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    with pytest.raises(
        CheckpointError, match=r'cannot fetch checkpoint http://127\.0\.0\.1:9/x\.pth.*init_cfg\.checkpoint'
    ):
        read_checkpoint('http://127.0.0.1:9/x.pth')


def test_an_address_is_fetched_once(tmp_path, monkeypatch):
    import threading
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    torch.save({'model': {'weight': torch.ones(2)}}, tmp_path / 'served.pth')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
    with ThreadingHTTPServer(('127.0.0.1', 0), partial(SimpleHTTPRequestHandler, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f'http://127.0.0.1:{server.server_address[1]}/served.pth'
        assert torch.equal(read_checkpoint(address)['model']['weight'], torch.ones(2))
        server.shutdown()
    assert torch.equal(read_checkpoint(address)['model']['weight'], torch.ones(2))


@pytest.mark.parametrize(
    'content',
    [
        {'state_dict': {'backbone.a': torch.ones(1), 'neck.b': torch.ones(1)}},
        {'state_dict': {'module.backbone.a': torch.ones(1), 'module.neck.b': torch.ones(1)}},
        {'model': {'a': torch.ones(1), 'neck.b': torch.ones(1)}},
        {'a': torch.ones(1), 'neck.b': torch.ones(1), 'note': 'x'},
    ],
)
def test_where_tensors_lie(content):
    assert set(find_state_dict(content)) == {'a', 'neck.b'}


def test_prefix():
    content = {'state_dict': {'teacher.a': torch.ones(1), 'student.a': torch.zeros(1)}}
    assert find_state_dict(content, 'student')['a'] == 0
    with pytest.raises(CheckpointError, match='begin with student, teacher'):
        find_state_dict(content, 'nobody.')


def test_no_tensors():
    with pytest.raises(CheckpointError, match='only epoch'):
        find_state_dict({'epoch': 3})


def test_a_file_without_permission_is_one_sentence(tmp_path):
    path = tmp_path / 'locked.pth'
    torch.save({'a': torch.ones(1)}, path)
    path.chmod(0)
    done = run(
        '-c',
        f"""
import os
from mlp_backbones.checkpoints import CheckpointError, read_checkpoint
if os.getuid() == 0:
    os.seteuid(65534)  # root may read all files
try:
    read_checkpoint({str(path)!r})
except CheckpointError as error:
    print(error)
""",
    )
    assert done.stdout.splitlines()[-1] == f'cannot read checkpoint {path}: no permission; make it readable for you'


def test_config_nodes_of_yacs_are_plain_dicts(tmp_path, monkeypatch):
    """AS-MLP's files hold one; yacs itself is not needed to read it, and nothing of it runs."""
    module = types.ModuleType('yacs.config')
    module.CfgNode = type('CfgNode', (dict,), {'__module__': 'yacs.config'})
    node = module.CfgNode(MODEL=module.CfgNode(NAME='as_mlp_tiny'))
    node.__dict__['__immutable__'] = True
    monkeypatch.setitem(sys.modules, 'yacs', types.ModuleType('yacs'))
    monkeypatch.setitem(sys.modules, 'yacs.config', module)
    torch.save({'model': {'a': torch.ones(1)}, 'config': node}, tmp_path / 'asmlp.pth')
    monkeypatch.undo()
    content = read_checkpoint(tmp_path / 'asmlp.pth')
    assert content['config'] == {'MODEL': {'NAME': 'as_mlp_tiny'}}
    assert 'yacs' not in sys.modules
