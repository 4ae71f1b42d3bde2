"""The names that a pickle may use, and this package's own functions for them; no other name is looked up."""

import argparse
import datetime
import pathlib
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import HistoryBuffer
from torch import Tensor, nn

from ..errors import printable
from . import pickle_arrays as arrays
from .pickle_limits import BrokenFileError, Limits, UnsafeFileError, broken_if_it_fails, is_count, is_own


@dataclass(frozen=True)
class Name:
    """A name that a pickle may use.

    Attributes:
        name: module and name.
        build: our function for it, called with the limits and the arguments of the file. None: it must not be called.
        kind: the class, if it may be the argument of another function.
        takes_names: whether its arguments may hold names and storages, and not only data.
    """

    name: str
    build: Callable[..., Any] | None
    kind: type | None = None
    takes_names: bool = False

    def __call__(self, limits: Limits, args: tuple) -> object:
        if self.build is None:
            raise UnsafeFileError(f'it calls {self.name}, which is only there as the name of a class')
        limits.copy(args)
        with broken_if_it_fails(f'it calls {self.name} with wrong arguments'):
            return self.build(limits, *args)


class Method:
    """Stands for a method of a log buffer; does nothing."""


def find(module: str, name: str, is_outermost: bool) -> object:
    """Find what stands for a name: a :class:`Name`, or a type of numpy or torch, which is data.

    Args:
        module: of the name.
        name: within the module.
        is_outermost: whether the object with this name is the whole content of the file.

    Raises:
        UnsafeFileError: if the name is not allowed.
    """
    # Python 2 named these modules and types so, and pickles of protocol 2 do to this day.
    module = {'__builtin__': 'builtins', 'copy_reg': 'copyreg'}.get(module, module)
    if module == 'builtins':
        name = {'xrange': 'range', 'long': 'int', 'unicode': 'str'}.get(name, name)
    full = f'{module}.{name}'
    if full in NAMES:
        return NAMES[full]
    if full.startswith('mmengine.logging.history_buffer.HistoryBuffer.'):
        return Method()
    what = printable(full, 100)
    if full in _TENSOR_KINDS:
        raise UnsafeFileError(
            f'it holds {_TENSOR_KINDS[full]} ({what}), which are not read; save it with ordinary tensors'
        )
    raise UnsafeFileError(
        f'it asks for {what}, which could run code; nothing of it was run. '
        + (
            'It is a whole object and not a dict of tensors; if it is a network, save its state_dict()'
            if is_outermost
            else 'Only files with tensors, plain containers, numpy arrays, paths, times, argparse.Namespace and '
            'configs are read'
        )
    )


def set_state(limits: Limits, value: object, state: Any) -> object:
    """Fill an object after it was built; return it, or what takes its place.

    Raises:
        UnsafeFileError: if the state replaces more than data.
        BrokenFileError: if an object of this kind has no state, or the state does not fit.
    """
    limits.copy(state if type(state) is tuple else (state,))
    fill = next((fill for kind, fill in _STATES.items() if isinstance(value, kind)), None)
    if fill is None:
        raise BrokenFileError(f'it changes a {type(value).__name__}, which has no state')
    with broken_if_it_fails(f'it gives a {type(value).__name__} a state that does not fit'):
        return fill(limits, value, state)


def check_key(target: dict, key: object) -> None:
    """Refuse a key of a config that Python or numpy would find as an attribute of it."""
    if isinstance(target, ConfigDict) and type(key) is str and arrays.is_special(key):
        raise UnsafeFileError(f'it replaces {printable(key, 50)} of a config')


# Containers. The arguments of these functions come from a file: their types are what the functions check.


def _dict_of(kind: type[dict], limits: Limits, items: Any = ()) -> dict:
    """A dict, of a dict or of a list of pairs, as Python 2 saved ordered dicts."""
    if not isinstance(items, dict):
        if type(items) not in (list, tuple) or not all(
            type(pair) in (list, tuple) and len(pair) == 2 for pair in items
        ):
            raise BrokenFileError('it holds a dict without pairs')
        if not all(type(key) in (str, int) for key, _ in items):
            raise BrokenFileError('it holds a dict with odd keys')
    if kind is ConfigDict:
        limits.make_large()
    made = kind()
    for key in items if isinstance(items, dict) else (key for key, _ in items):
        limits.hash_key(key)
        check_key(made, key)
    (OrderedDict if kind is OrderedDict else dict).update(made, dict(items))
    return made


def _default_dict(_: Limits, factory: Any = None) -> defaultdict:
    if factory is not None and not (is_own(factory, Name) and factory.kind in _FACTORIES):
        raise UnsafeFileError('it holds a defaultdict that could run code')
    return defaultdict(factory and factory.kind)


def _collection(kind: Callable, limits: Limits, items: Any = (), *maxlen: Any) -> Any:
    if type(items) not in (list, tuple) or not all(n is None or is_count(n) for n in maxlen):
        raise BrokenFileError(f'it holds a {kind.__name__} without items')
    if kind in (set, frozenset):
        for item in items:
            limits.hash_key(item)
    return kind(items, *maxlen)


# Text, numbers, times, paths


def _encode(_: Limits, text: Any, codec: Any) -> bytes:
    if type(text) is not str or codec not in ('latin1', 'latin-1'):
        raise BrokenFileError('it holds bytes in an unknown encoding')
    return text.encode('latin1')


def _byte_array(limits: Limits, data: Any = b'', codec: Any = 'latin-1') -> bytearray:
    data = _encode(limits, data, codec) if type(data) is str else data
    if type(data) is not bytes:
        raise UnsafeFileError('it asks for a bytearray without bytes')
    return bytearray(data)


def _number(kind: Callable[..., object], _: Limits, *args: Any) -> object:
    """Build what is made of a few numbers, bytes or other such objects."""
    if not all(type(arg) in (int, float, bool, bytes, type(None), str, *_TIMES) for arg in args):
        raise BrokenFileError('it holds a number or time of other parts')
    if any(type(arg) in (bytes, str) and len(arg) > 20 for arg in args):
        raise BrokenFileError('it holds a time of impossible length')
    return kind(*args)


def _path(kind: type[pathlib.PurePath], _: Limits, *parts: Any) -> pathlib.PurePath:
    if len(parts) > 4_096 or not all(type(part) is str for part in parts):
        raise BrokenFileError('it holds a path without text, or one that no system allows')
    return kind(*parts)


# Objects of torch, argparse and mmengine


def _device(_: Limits, kind: Any, index: Any = None) -> torch.device:
    if type(kind) is not str or len(kind) > 100:
        raise BrokenFileError('it holds a device without a name')
    return torch.device(kind) if index is None else torch.device(kind, index)


def _typed_tensor(limits: Limits, function: Any, kind: Any, args: Any, state: Any) -> Tensor:
    if not is_own(function, Name) or function.build not in _TENSOR_FUNCTIONS:
        raise UnsafeFileError('it makes a tensor by other means than those of torch.save')
    if not is_own(kind, Name) or kind.kind not in (Tensor, nn.Parameter) or type(args) is not tuple:
        raise UnsafeFileError('it makes a tensor of a class that is not a tensor')
    tensor: Any = function(limits, args)
    if kind.kind is nn.Parameter and not isinstance(tensor, nn.Parameter):
        tensor = nn.Parameter(tensor.detach(), tensor.requires_grad)
    if state:
        arrays.set_attributes(tensor, state)
    return tensor


def _array(_: Limits, kind: Any, shape: Any, code: Any) -> arrays.PendingArray:
    if not is_own(kind, Name) or kind.kind is not np.ndarray:
        raise UnsafeFileError('it makes an array of a class that is not an array')
    return arrays.PendingArray()


def _large(kind: Callable[[], object], limits: Limits) -> object:
    limits.make_large()
    return kind()


def _method(_: Limits, thing: Any, name: Any) -> Method:
    if not is_own(thing, Name) or thing.kind is not HistoryBuffer or type(name) is not str:
        raise UnsafeFileError('it asks for builtins.getattr, which could run code; nothing of it was run')
    return Method()


# States


def _fill_attributes(_: Limits, target: object, state: Any) -> object:
    arrays.set_attributes(target, state)
    return target


def _fill_ordered(limits: Limits, target: OrderedDict, state: Any) -> OrderedDict:
    """Keep the versions of the modules of a state dict."""
    if type(state) is not dict:
        raise BrokenFileError('it gives an OrderedDict attributes without names')
    for key in state:
        if key != '_metadata':
            name = printable(key, 50) if type(key) is str else type(key).__name__
            raise UnsafeFileError(f'it replaces {name} of an object of type OrderedDict')
    for versions in state.values():
        limits.copy((versions,))
        if not isinstance(versions, dict) or not all(isinstance(version, dict) for version in versions.values()):
            raise BrokenFileError('the versions of its modules (_metadata) are not a dict of dicts')
        target._metadata = versions  # pyright: ignore[reportAttributeAccessIssue]
    return target


def _fill_buffer(_: Limits, buffer: HistoryBuffer, state: Any) -> HistoryBuffer:
    history, count, length = state['_log_history'], state['_count_history'], state['max_length']
    if not (isinstance(history, np.ndarray) and isinstance(count, np.ndarray) and history.shape == count.shape):
        raise BrokenFileError('a log buffer of it has no values')
    if history.ndim != 1 or {history.dtype.kind, count.dtype.kind} - set('biuf') or not is_count(length):
        raise BrokenFileError('a log buffer of it has no numbers')
    buffer._log_history, buffer._count_history, buffer.max_length = history, count, length
    return buffer


def _fill_config(_: Limits, config: Config, state: Any) -> Config:
    kinds = [ConfigDict, str | None, str | None, dict, bool, set]
    if not isinstance(state, tuple) or not 3 <= len(state) <= len(kinds) or not all(map(isinstance, state, kinds)):
        raise BrokenFileError('a config of it lacks its values')
    names = '_cfg_dict', '_filename', '_text', '_env_variables', '_format_python_code', '_imported_names'
    config.__dict__.update(zip(names, state, strict=False))
    return config


_STATES: dict[type, Callable[..., object]] = {
    np.dtype: arrays.finish_dtype,
    arrays.PendingArray: arrays.finish_array,
    argparse.Namespace: _fill_attributes,
    Tensor: _fill_attributes,
    HistoryBuffer: _fill_buffer,
    Config: _fill_config,
    ConfigDict: lambda limits, value, state: value,  # flags of yacs, such as that the node is frozen
    OrderedDict: _fill_ordered,
}

# Tables

_TIMES = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone)
_FACTORIES = (list, dict, set, tuple, int, float, str, bool, OrderedDict, defaultdict, Counter, deque)
_TENSOR_FUNCTIONS = (arrays.tensor_v1, arrays.tensor_v2, arrays.tensor_v3, arrays.parameter)

STORAGES = {
    f'{module}.{name}Storage': dtype
    for module in ('torch', 'torch.cuda')
    for name, dtype in {
        'Float': torch.float32,
        'Double': torch.float64,
        'Half': torch.float16,
        'BFloat16': torch.bfloat16,
        'Long': torch.int64,
        'Int': torch.int32,
        'Short': torch.int16,
        'Char': torch.int8,
        'Byte': torch.uint8,
        'Bool': torch.bool,
        'ComplexFloat': torch.complex64,
        'ComplexDouble': torch.complex128,
    }.items()
} | {f'torch.storage.{name}': torch.uint8 for name in ('UntypedStorage', '_UntypedStorage')}

_TENSOR_KINDS = {
    'torch._utils._rebuild_sparse_tensor': 'sparse tensors',
    'torch._utils._rebuild_sparse_csr_tensor': 'sparse tensors',
    'torch._utils._rebuild_qtensor': 'quantized tensors',
    'torch._utils._rebuild_nested_tensor': 'nested tensors',
    'torch._utils._rebuild_meta_tensor_no_storage': 'tensors without values (on the meta device)',
    'torch._utils._rebuild_wrapper_subclass': 'tensors of a subclass',
    'torch.distributed.tensor.DTensor': 'tensors that are spread over several devices',
    'torch.distributed._tensor.api.DTensor': 'tensors that are spread over several devices',
    **{f'torch.{kind}Storage': 'quantized tensors' for kind in ('QInt8', 'QUInt8', 'QInt32', 'QUInt4x2', 'QUInt2x4')},
}

_FUNCTIONS: dict[str, Callable[..., object]] = {
    'builtins.bytes': lambda limits: b'',
    'builtins.bytearray': _byte_array,
    '_codecs.encode': _encode,
    **{f'builtins.{kind.__name__}': partial(_number, kind) for kind in (complex, range, slice)},
    **{f'datetime.{kind.__name__}': partial(_number, kind) for kind in _TIMES},
    'argparse.Namespace': lambda limits: argparse.Namespace(),
    **dict.fromkeys(('yacs.config.CfgNode', 'mmengine.config.config.ConfigDict'), partial(_dict_of, ConfigDict)),
    'mmengine.config.config.Config': partial(_large, Config),
    'numpy.dtype': arrays.numpy_dtype,
    'torch.Size': arrays.torch_size,
    'torch.device': _device,
    **{f'torch._utils._rebuild_parameter{end}': arrays.parameter for end in ('', '_with_state')},
    **{
        f'torch._utils._rebuild_{kind}': arrays.device_tensor
        for kind in ('xla_tensor', 'device_tensor_from_numpy', 'device_tensor_from_cpu_tensor')
    },
}
_FUNCTIONS_OF_NAMES: dict[str, Callable[..., object]] = {
    'builtins.getattr': _method,
    'torch._tensor._rebuild_from_type_v2': _typed_tensor,
    'torch._utils._rebuild_tensor': arrays.tensor_v1,
    'torch._utils._rebuild_tensor_v2': arrays.tensor_v2,
    'torch._utils._rebuild_tensor_v3': arrays.tensor_v3,
}
for _core in ('core', '_core'):  # of numpy 1 and of numpy 2
    _FUNCTIONS_OF_NAMES[f'numpy.{_core}.multiarray._reconstruct'] = _array
    _FUNCTIONS[f'numpy.{_core}.multiarray.scalar'] = arrays.numpy_scalar
    _FUNCTIONS[f'numpy.{_core}.numeric._frombuffer'] = arrays.array_from_bytes
for _module in ('pathlib', 'pathlib._local'):
    _FUNCTIONS[f'{_module}.PosixPath'] = partial(_path, pathlib.Path)
    _FUNCTIONS[f'{_module}.PurePosixPath'] = partial(_path, pathlib.PurePath)
    for _name in ('WindowsPath', 'PureWindowsPath'):
        _FUNCTIONS[f'{_module}.{_name}'] = partial(_path, pathlib.PureWindowsPath)

_CLASSES: dict[str, tuple[Callable[..., object] | None, type]] = {
    **{f'builtins.{kind.__name__}': (None, kind) for kind in (dict, int, float, str, bool)},
    **{f'builtins.{kind.__name__}': (partial(_collection, kind), kind) for kind in (list, tuple, set, frozenset)},
    **{f'collections.{kind.__name__}': (partial(_dict_of, kind), kind) for kind in (OrderedDict, Counter)},
    'collections.deque': (partial(_collection, deque), deque),
    'mmengine.logging.history_buffer.HistoryBuffer': (partial(_large, HistoryBuffer), HistoryBuffer),
    'numpy.ndarray': (None, np.ndarray),
    'torch.Tensor': (None, Tensor),
    'torch.nn.parameter.Parameter': (None, nn.Parameter),
}

# All that a pickle may name: what it may call, and classes and types that are data.
NAMES: dict[str, object] = {
    **{name: Name(name, build) for name, build in _FUNCTIONS.items()},
    **{name: Name(name, build, takes_names=True) for name, build in _FUNCTIONS_OF_NAMES.items()},
    **{name: Name(name, build, kind) for name, (build, kind) in _CLASSES.items()},
    'collections.defaultdict': Name('collections.defaultdict', _default_dict, defaultdict, takes_names=True),
    **{name: Name(name, None) for name in STORAGES},
    **{str(dtype): dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)},
    **{f'numpy.{kind.__name__}': kind for kind in {np.dtype(code).type for code in '?bhilqBHILQefdgFDGSU'}},
    **dict.fromkeys(('numpy.bool', 'numpy.bool_'), np.bool_),  # numpy 2 and 1
}
