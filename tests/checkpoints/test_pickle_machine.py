"""A pickle gives data, and whatever it asks for, no code runs and time and memory stay small."""

import io
import itertools
import pickle
import pickletools
import random
import resource
import struct
import time
from collections import OrderedDict

import numpy as np
import pytest
import torch

from mlp_backbones.checkpoints.pickle_arrays import Storage
from mlp_backbones.checkpoints.pickle_limits import BrokenFileError, UnsafeFileError
from mlp_backbones.checkpoints.pickle_machine import OPCODES, REFUSED, Source, Unpickler
from mlp_backbones.checkpoints.pickle_names import NAMES, Method, Name


def data(value):
    """Opcodes that push a value."""
    return pickle.dumps(value, 2)[2:-1]


def name(full):
    module, _, attribute = full.rpartition('.')
    return f'c{module}\n{attribute}\n'.encode()


def call(full, *parts):
    return name(full) + b'(' + b''.join(parts) + b'tR'


STORAGE = b'(' + data('storage') + name('torch.FloatStorage') + data('0') + data('cpu') + data(16) + b'tQ'
TENSOR = 'torch._utils._rebuild_tensor_v2'


def tensor(offset=0, size=(4,), stride=(1,), hooks=b'N'):
    return call(TENSOR, STORAGE, data(offset), data(size), data(stride), data(False), hooks)


# Parts of the hostile pickles below.
SHARED = b'(' + b'N' * 300_000 + b'tq\0'
LETTERS = data('x' * 1_000_000) + b'q\0'
METADATA = b'}' + data('_metadata') + b'}(' + b''.join(data(i) + b'}' for i in range(50_000)) + b'usq\1'
CPU_TENSOR = 'torch._utils._rebuild_device_tensor_from_cpu_tensor'
INTERFACE = {'__array_interface__': {'data': (4096, True), 'shape': (4,), 'typestr': '<f4', 'version': 3}}


def load(opcodes):
    def load_storage(key, dtype, numel, view):
        return Storage(torch.zeros(numel * dtype.itemsize, dtype=torch.uint8), dtype, numel)

    content = b'\x80\x02' + opcodes + b'.'
    return Unpickler(Source(io.BytesIO(content), len(content)), load_storage, 64).load()


def refused(opcodes):
    try:
        load(opcodes)
    except (UnsafeFileError, BrokenFileError) as error:
        return str(error)
    return None


HOSTILE = [
    b'N',
    data(1_900_000_000),
    data(-(1 << 200)),
    data('/etc/passwd'),
    data('__globals__'),
    data((1 << 40, 1 << 40)),
    data([(1, 2), (3,), None]),
    data({'__class__': 1, 'items': 2, '_metadata': 3}),
    data(b'\xff' * 8),
    data('V1900000000'),
    name('mmengine.logging.history_buffer.HistoryBuffer'),
    name(TENSOR),
    name('torch.Tensor'),
    name('numpy.ndarray'),
    STORAGE,
    call('numpy.dtype', data('f8')),
    call('builtins.range', data(1 << 60)),
    call('collections.deque', data([1, 2])),
    name('torch.Tensor') + b'\x85\x85',
]


@pytest.mark.parametrize('full', NAMES)
def test_every_allowed_name_is_harmless_with_any_arguments(full, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    rng = random.Random(full)
    calls = [args for count in range(3) for args in itertools.product(HOSTILE, repeat=count)]
    calls += [rng.choices(HOSTILE, k=rng.randint(3, 8)) for _ in range(60)]
    for args in calls:
        for end in (b'R', b'R' + rng.choice(HOSTILE) + b'b', b'R' + data('x') + data(1) + b's'):
            opcodes = name(full) + b'(' + b''.join(args) + b't' + end
            if refused(opcodes) is None:
                value = load(opcodes)
                assert not isinstance(value, Name) and not hasattr(value, '__globals__')
                assert not callable(value) or isinstance(value, Method | torch.device)
    assert not list(tmp_path.iterdir())
    assert time.process_time() - start < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


@pytest.mark.parametrize(
    'full',
    [
        'os.system',
        'builtins.eval',
        'builtins.getattr.__call__',
        'torch.load',
        'copyreg._reconstructor',
        'argparse.Namespace.__init__.__globals__',
        'torch._utils._rebuild_sparse_tensor',
    ],
)
@pytest.mark.parametrize('is_stack_global', [False, True])
def test_other_names_are_refused_by_name(full, is_stack_global):
    opcodes = name(full)
    if is_stack_global:
        module, _, attribute = full.rpartition('.')
        opcodes = data(module) + b'q\x05' + data(attribute) + b'h\x05' + data(attribute) + b'\x93'
    assert full in refused(opcodes)


@pytest.mark.parametrize('opcode', REFUSED)
def test_opcodes_that_torch_does_not_write_are_refused(opcode):
    assert 'uses' in refused(data([1]) + bytes([opcode]) + bytes(8))


@pytest.mark.parametrize(
    'opcodes',
    [
        b'}' + b'\x85' * 1_000_000 + data(1) + b's',  # hashing this key would end the process
        b']' * 200 + b'a' * 199,
        b')' + b'q\0h\0h\0\x86q\0' * 30,  # 2 ** 30 objects when they are followed
        b')' + b'q\0h\0h\0\x86q\0' * 15 + b'q\0}h\0Ns',
        b']q\0h\0a',  # holds itself
        b'}q\0h\0q\1' + data('a') + data(1) + b's',
        call('builtins.bytearray', data(1_900_000_000)),
        call('builtins.bytes', data(1_900_000_000)),
        call('torch.Tensor', data(1_000_000_000)),
        data('x' * 1000) + b'q\0' + (b'0' * 0 + name('_codecs.encode') + b'h\0' + data('latin1') + b'\x86R') * 100,
        tensor(size=(800_000_000,), stride=(0,)),
        tensor(size=(1 << 24, 1 << 24), stride=(0, 0)),
        tensor(size=(1 << 24,), stride=(0,)) + tensor(size=(1 << 24,), stride=(0,)) * 20,
        tensor(size=(17,)),
        tensor(offset=13),
        tensor(offset=-1),
        tensor(size=(-1,)),
        tensor(size=(1 << 62,), stride=(1 << 62,)),
        tensor(size=(1 << 40, 0), stride=(1, 1)),
        tensor(size=(1,) * 65, stride=(1,) * 65),
        tensor(size=(2,), stride=(1, 1)),
        tensor(hooks=data(OrderedDict(a=1))),
        call('torch._tensor._rebuild_from_type_v2', name('builtins.getattr'), name('torch.Tensor'), b')N'),
        call('numpy.dtype', data('O8')),
        call('numpy.core.multiarray.scalar', call('numpy.dtype', data('V1900000000')), data(b'')),
        b'\x96' + struct.pack('<Q', 1 << 60),
        b'\x8e' + struct.pack('<Q', 1 << 60),
        b'\x8d' + struct.pack('<Q', 1 << 60),
        b'X' + struct.pack('<I', (1 << 32) - 1),
        b'\x95' + struct.pack('<Q', 1 << 60),
        b'c' + b'a' * 1_000_000 + b'\nname\n',
        b'}(' + b''.join(b'G' + struct.pack('>d', i * 2.0**61) + b'N' for i in range(20_000)) + b'u',
        b'](' + b'N' * 4_000_001 + b'e',
        b'}(' + data('a') + b'N' + data('a') + b'Nu',
        b'}' + name('os.system') + b'Ns',
        b'}' + data('a') + name('argparse.Namespace') + b's',
        call('collections.OrderedDict') + data({'items': 5}) + b'b',
        call('collections.OrderedDict') + data({'_metadata': 5}) + b'b',
        SHARED + b']h\0a' * 3000,  # 3000 lists with the same tuple of 300,000
        call(TENSOR, STORAGE, data(0), call('builtins.range', data(1 << 60)), data((1,)), data(False), b'N'),
        call('torch.Size', call('builtins.range', data(1 << 60))),
        call('numpy.dtype', data('f8')) + call('builtins.range', data(1 << 60)) + b'b',
        call('collections.OrderedDict', b'](' + b''.join(data(i << 61) + b'N\x86' for i in range(20_000)) + b'e'),
        b'}('
        + b''.join(data(i << 61) + b'N' for i in range(9_000))
        + b'uq\0'
        + call('collections.Counter', b'h\0') * 40,
        LETTERS + b'}(' + (b'(' + b'h\0' * 4000 + b'tN') * 2 + b'u',  # too long to print in a message
        LETTERS + b'}(' + b''.join(b'(h\0' + data((-1 - i % 2, -1 - i // 2)) + b'tN' for i in range(100)) + b'u',
        call(CPU_TENSOR, tensor(size=(30_000_000,), stride=(0,)), name('torch.float64'), b'N', data(False)),
        name('mmengine.config.config.Config') + b'q\0(' + b'h\0)R' * 20_000 + b't',
        b'N' * 300_000 + name('builtins.int') * 20_000,
        b'(' + data('') * 300_000 + b'tq\0' + name('pathlib.PosixPath') + b'q\1' + b'h\1h\0R' * 3000,
        b'(' + data('f8') + b'N' * 300_000 + b'tq\0' + name('numpy.dtype') + b'q\1' + b'h\1h\0R' * 3000,
        METADATA + name('collections.OrderedDict') + b'q\2' + b'h\2)Rh\1b' * 3000,
        call('argparse.Namespace') + data(INTERFACE) + b'b',
        tensor() + data(INTERFACE) + b'b',
        call('mmengine.config.config.ConfigDict', data(INTERFACE)),
        call('yacs.config.CfgNode') + b'(' + data('__array_interface__') + data({}) + b'u',
        b'}' + data('a') + name('torch.Tensor') + b'\x85\x85s',
        b'(' + data('storage') + name('torch.FloatStorage') + data('0') + b']' + data(16) + b'tQ',
        b'',
        b'((',
        b'e',
        b'h\0',
        b'NN',
        data(1) + b')R',
        name('argparse.Namespace') + data(1) + b'R',
        b'\xff',
    ],
    ids=lambda opcodes: repr(opcodes[:12]),
)
def test_what_a_file_cannot_hold_is_refused_at_little_cost(opcodes):
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    assert refused(opcodes)
    assert time.process_time() - start < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB


def test_all_opcodes_are_known_and_those_with_effects_are_refused():
    codes = {ord(info.code) for info in pickletools.opcodes}
    assert set(OPCODES) | set(REFUSED) | {ord('.')} == codes
    assert not set(OPCODES) & set(REFUSED)


def test_damaged_pickles_are_refused_or_read_as_data():
    whole = pickle.dumps({'a': np.arange(4), 'b': [1, 'x', 2.5, (None, True)], 'c': OrderedDict(d={1, 2})}, 2)[2:-1]
    rng = random.Random(0)
    for _ in range(3000):
        damaged = bytearray(whole)
        for _ in range(rng.choice([1, 2, 5])):
            damaged[rng.randrange(len(damaged))] = rng.choice([*b'(Rbuetsh.\x85\x86', rng.randrange(256)])
        refused(bytes(damaged))  # no other error
    assert load(whole)['b'] == [1, 'x', 2.5, (None, True)]
