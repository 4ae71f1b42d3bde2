"""Published files hold more than tensors, and hostile files hold code: one is read, the other never runs."""

import argparse
import gzip
import json
import os
import pickle
import random
import struct
import sys
import tarfile
import types
import zipfile
from collections import Counter, defaultdict, deque
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import HistoryBuffer

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
    with pytest.raises(CheckpointError, match=r'bomb\.pth.*(posix|os)\.system'):
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
    for place in ('x', 'message_hub'):
        torch.save({'model': {'weight': torch.ones(1)}, place: Getter()}, tmp_path / 'a.pth')
        with pytest.raises(CheckpointError, match=r'builtins\.getattr'):
            read_checkpoint(tmp_path / 'a.pth')
    torch.save({'message_hub': {'loss': HistoryBuffer([1.0, 3.0], [1, 1])}}, tmp_path / 'b.pth')
    assert read_checkpoint(tmp_path / 'b.pth')['message_hub']['loss'].mean() == 2


DATA = {
    'arrays': [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.eye(3)),
        np.array(['a', 'é']),
        np.ones(0),
        np.array([True]),
    ],
    'scalars': [np.dtype(code).type(1) for code in '?bhilBHILefdgFDG'] + [np.str_('a'), np.datetime64('2020-01-01')],
    'python': [
        Path('/a/b'),
        datetime(2020, 1, 1, tzinfo=timezone.utc),
        timedelta(1),
        b'\xff',
        bytearray(b'a'),
        1 << 100,
        1j,
    ],
    'containers': [defaultdict(list, a=[1]), Counter('aab'), deque([1], 5), {1, 'a'}, frozenset({2}), range(3)],
    'configs': [Config(dict(a=dict(b=[1]))), ConfigDict(a=dict(b=1)), argparse.Namespace(a=Path('x'))],
    'torch': [torch.Size([1, 2]), torch.float16, torch.device('cuda:1'), torch.nn.Parameter(torch.ones(2))],
    'tensors': [
        torch.arange(6.0).reshape(2, 3).t(),
        torch.arange(10)[3:5],
        torch.tensor([1 + 2j]).conj(),
        torch.ones(3, dtype=torch.bfloat16),
        torch.zeros(0, 4),
        torch.tensor(True),
        torch.ones(1).expand(5),
    ],
}


def same(a, b):
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert (a.dtype, a.shape, a.stride(), a.requires_grad) == (b.dtype, b.shape, b.stride(), b.requires_grad)
        assert torch.equal(a, b)
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype and a.shape == b.shape and (a == b).all() and b.flags.writeable
    elif isinstance(a, Config):
        assert a.pretty_text == b.pretty_text
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    else:
        assert a == b


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('protocol', [2, 4, 5])
def test_data_come_back_as_what_they_are(tmp_path, zipped, protocol):
    torch.save(DATA, tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    read = read_checkpoint(tmp_path / 'a.pth')
    assert set(read) == set(DATA)
    for key, value in DATA.items():
        same(value, read[key])


def test_versions_of_modules_are_kept(tmp_path):
    state = torch.nn.BatchNorm2d(2).state_dict()
    torch.save({'model': state}, tmp_path / 'a.pth')
    assert read_checkpoint(tmp_path / 'a.pth')['model']._metadata == state._metadata


@pytest.mark.parametrize('zipped', [True, False])
def test_sparse_and_quantized_tensors_are_named(tmp_path, zipped):
    path = tmp_path / 'a.pth'
    torch.save({'a': torch.eye(2).to_sparse()}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match='sparse'):
        read_checkpoint(path)
    torch.save({'a': torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.qint8)}, path)
    with pytest.raises(CheckpointError, match='quantized'):
        read_checkpoint(path)


def rewrite(path, change, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w', compression) as archive:
        for name, content in records.items():
            archive.writestr(name, change(name, content))


def test_records_of_the_archive_must_be_as_stated(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save({'a': torch.zeros(1000)}, path)
    whole = path.read_bytes()
    rewrite(path, lambda name, content: content)
    assert len(read_checkpoint(path)['a']) == 1000
    rewrite(path, lambda name, content: content, zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match='compressed'):
        read_checkpoint(path)
    for size in (3999, 4001, 0):
        path.write_bytes(whole)
        rewrite(path, lambda name, content, size=size: bytes(size) if name.endswith('data/0') else content)
        with pytest.raises(CheckpointError, match='1,000 elements'):
            read_checkpoint(path)
    path.write_bytes(whole)
    with pytest.warns(UserWarning, match='Duplicate'), zipfile.ZipFile(path, 'a') as archive:
        archive.writestr(archive.namelist()[0], b'')
    with pytest.raises(CheckpointError, match='twice'):
        read_checkpoint(path)
    at = whole.index(bytes(100))
    path.write_bytes(whole[: at + 50] + b'\1' + whole[at + 51 :])
    with pytest.raises(CheckpointError, match='checksum'):
        read_checkpoint(path)


def test_offsets_of_a_lying_archive(tmp_path):
    path = tmp_path / 'a.pth'
    for at in (-1, 1, 2**31, 2**40, 2**63, 2**64 - 1):
        torch.save({'a': torch.zeros(4)}, path)
        with zipfile.ZipFile(path, 'a') as archive:
            archive._didModify = True
            first = archive.filelist[0]
            first.header_offset = archive.filelist[1].header_offset if at == -1 else at
        with pytest.raises(CheckpointError):
            read_checkpoint(path)


@pytest.mark.parametrize('zipped', [True, False])
def test_a_damaged_file_is_read_or_refused(tmp_path, zipped):
    path = tmp_path / 'a.pth'
    torch.save({'a': torch.zeros(4), 'b': [1, 'x']}, path, _use_new_zipfile_serialization=zipped)
    whole, rng = path.read_bytes(), random.Random(0)
    places = [at for at in range(len(whole)) if whole[at]]  # not those that fill up
    refused = 0
    for _ in range(600):
        damaged = bytearray(whole)
        for _ in range(rng.choice([1, 2, 8])):
            damaged[rng.choice(places) + rng.choice([0, 0, 1])] = rng.choice([0, 255, rng.randrange(256)])
        path.write_bytes(damaged)
        try:
            read_checkpoint(path)
        except CheckpointError:
            refused += 1
    assert refused > 200


@pytest.mark.parametrize('kind', ['zip', 'legacy', 'safetensors'])
def test_tensors_do_not_follow_the_file(tmp_path, kind):
    path = tmp_path / 'a.pth'
    torch.save({'a': torch.ones(1000)}, path, _use_new_zipfile_serialization=kind == 'zip')
    if kind == 'safetensors':
        path.write_bytes(safetensors({'a': entry(shape=(1000,), at=(0, 4000))}, torch.ones(1000).numpy().tobytes()))
    files = set(os.listdir('/proc/self/fd'))
    read = read_checkpoint(path)['a']
    assert set(os.listdir('/proc/self/fd')) == files
    with path.open('r+b') as file:
        file.write(bytes(path.stat().st_size))
    path.unlink()
    assert (read == 1).all() and (read.mul_(2) == 2).all()


def test_other_files_are_told_apart(tmp_path):
    path = tmp_path / 'x.pth'

    def reason(content=None):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(CheckpointError) as error:
            read_checkpoint(path)
        assert str(path) in str(error.value) and 'weights_only' not in str(error.value)
        return str(error.value)

    assert 'empty' in reason(b'')
    assert 'web page' in reason(b'\n<!DOCTYPE html><p>log in</p>')
    assert 'git lfs pull' in reason(b'version https://git-lfs.github.com/spec/v1\noid sha256:0\n')
    assert 'JSON' in reason(b'{"error": "not found"}')
    assert 'ONNX' in reason(b'\x08\x07\x12\x07pytorch')
    assert 'compressed' in reason(gzip.compress(b'a'))
    assert r'\x1b[31m' in reason(b'\x1b[31mred')
    assert 'torch.save did not write' in reason(pickle.dumps({'a': 1}))
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('readme.txt', 'x')
    assert 'readme.txt' in reason()
    with tarfile.open(path, 'w') as archive:
        archive.add(__file__, 'storages')
    assert 'tar archive' in reason()
    torch.jit.script(torch.nn.Linear(1, 1)).save(path)
    assert 'TorchScript' in reason()
    for zipped in (True, False):
        torch.save(torch.nn.Linear(1, 1), path, _use_new_zipfile_serialization=zipped)
        assert 'state_dict()' in reason()
    torch.save([torch.ones(1)], path)
    assert 'holds a list' in reason()


def safetensors(header, values=b''):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack('<Q', len(header)) + header + values


def entry(dtype='F32', shape=(2,), at=(0, 8)):
    return dict(dtype=dtype, shape=list(shape), data_offsets=list(at))


DEPTHS = range(100, 1000, 10)  # near Python's limit


def test_safetensors(tmp_path):
    path = tmp_path / 'a.safetensors'
    values = torch.tensor([1.5, -2.0]).numpy().tobytes() + torch.tensor([7]).numpy().tobytes()
    header = {
        '__metadata__': {'format': 'pt'},
        'n': entry('I64', (), (8, 16)),
        'w': entry(),
        'e': entry('F16', (0, 3), (16, 16)),
    }
    path.write_bytes(safetensors(header, values))
    read = read_checkpoint(path)
    assert list(read) == ['n', 'w', 'e'] and read['w'].tolist() == [1.5, -2.0] and read['n'].item() == 7
    assert read['e'].shape == (0, 3) and read['e'].dtype == torch.float16
    for length in (0x4B50, 0x0280):  # the first bytes of a zip archive and of a pickle
        text = json.dumps(header).encode().ljust(length)
        path.write_bytes(safetensors(text, values))
        assert read_checkpoint(path)['n'].item() == 7
    for broken in [
        safetensors(header, values[:-1]),
        safetensors(header, values + b'x'),
        safetensors({'a': entry(), 'b': entry()}, bytes(8)),
        safetensors({'a': entry(at=(8, 16))}, bytes(16)),
        safetensors({'a': entry(shape=(1 << 40, 1 << 40))}, bytes(8)),
        safetensors({'a': entry(shape=(-2,))}, bytes(8)),
        safetensors({'a': entry('F33')}, bytes(8)),
        safetensors({'a': entry(shape=(1 << 47, 1 << 47, 0), at=(0, 0))}),
        safetensors({'a': entry(shape=(1,) * 65, at=(0, 4))}, bytes(4)),
        *(safetensors(b'{"a":{"dtype":%s,"shape":[],"data_offsets":[0,4]}}' % (b'[' * n + b']' * n)) for n in DEPTHS),
        safetensors({'a': 3}, bytes(8)),
        safetensors({'a': dict(entry(), shape='ab')}, bytes(8)),
        safetensors(b'{"a": ' + b'[' * 100_000, bytes(8)),
        safetensors(b'{"a": 1, "a": 1}'),
        struct.pack('<Q', 1 << 20) + b'{}',
    ]:
        path.write_bytes(broken)
        with pytest.raises(CheckpointError, match=r'a\.safetensors'):
            read_checkpoint(path)


def test_ways_to_write_a_path(tmp_path, monkeypatch):
    torch.save({'a': torch.ones(1)}, tmp_path / 'a b.pth')
    monkeypatch.setenv('HOME', str(tmp_path))
    for source in (
        '~/a b.pth',
        Path('~/a b.pth'),
        (tmp_path / 'a b.pth').as_uri(),
        f'file://localhost{tmp_path}/a b.pth',
    ):
        assert read_checkpoint(source)['a'] == 1
    for source, part in {
        's3://bucket/x.pth': 's3://',
        'torchvision://resnet50': 'torchvision://',
        'hf://user:secret@x/y': 'hf://',
        'file://elsewhere/x.pth': 'elsewhere',
        'a' * 1_000_000: '1,000,000 characters',
        'x\0.pth': r'x\x00.pth',
        '\x1b[31m.pth': r'\x1b[31m',
        '~nobody-of-that-name/x.pth': 'nobody-of-that-name',
        None: 'NoneType',
    }.items():
        with pytest.raises(CheckpointError) as error:
            read_checkpoint(source)
        assert part in str(error.value) and 'secret' not in str(error.value) and len(str(error.value)) < 2000
    os.mkfifo(tmp_path / 'fifo')
    with pytest.raises(CheckpointError, match='fifo'):
        read_checkpoint(tmp_path / 'fifo')


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04 not really', b'\x00' * 100, b'<!DOCTYPE html><p>not found</p>'])
def test_broken_files_end_in_one_sentence(tmp_path, content):
    (tmp_path / 'x.pth').write_bytes(content)
    with pytest.raises(CheckpointError, match=r'x\.pth') as error:
        read_checkpoint(tmp_path / 'x.pth')
    assert '\n' not in str(error.value)


def test_truncated_file(tmp_path):
    torch.save({'model': {'w': torch.ones(1000)}}, tmp_path / 'x.pth')
    whole = (tmp_path / 'x.pth').read_bytes()
    (tmp_path / 'x.pth').write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r'x\.pth'):
        read_checkpoint(tmp_path / 'x.pth')


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(CheckpointError, match=r'none\.pth'):
        read_checkpoint(tmp_path / 'none.pth')
    with pytest.raises(CheckpointError, match='folder'):
        read_checkpoint(tmp_path)


def test_an_address_that_cannot_be_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    with pytest.raises(CheckpointError, match=r'http://127\.0\.0\.1:9/x\.pth.*init_cfg\.checkpoint'):
        read_checkpoint('http://127.0.0.1:9/x.pth')


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
    with pytest.raises(CheckpointError, match='student, teacher'):
        find_state_dict(content, 'nobody.')


def test_no_tensors():
    with pytest.raises(CheckpointError, match='epoch'):
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
    assert any(str(path) in line and 'permission' in line for line in done.stdout.splitlines()), done.stdout


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
    assert content['config'] == {'MODEL': {'NAME': 'as_mlp_tiny'}} and content['config'].MODEL.NAME == 'as_mlp_tiny'
    assert 'yacs' not in sys.modules
