"""Turn an error of mmengine, a registry or a constructor into one sentence."""

import linecache
import re
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from traceback import walk_tb
from types import FrameType

from mmengine.registry import Registry
from mmengine.runner import BaseLoop

from ..checkpoints import CheckpointError
from ..errors import UserError, printable, reason_of
from ..files import FULL_DISK

# mmengine before 0.10 put a prefix before the error of each constructor on the way.
_PREFIX = re.compile(r'^(?:class )?`?(\w+)`? in [\w./]+: ')
# Frames of these are not the user's code.
_LIBRARIES = tuple(
    str(Path(path).resolve()) for path in {*sysconfig.get_paths().values(), Path(__file__).parents[1]} if path
)
_EMPTY_DATA = 'no image is left in a data set: its annotation file or folder is empty, or filter_cfg drops all images'


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn any error before the first iteration, and of a full disk at any time, into a UserError.

    An error inside an iteration, a validation or a test keeps its traceback: it belongs to the code that runs. ``name``
    is that of the config.
    """
    try:
        yield
    except (UserError, CheckpointError):
        raise
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in FULL_DISK
        if not full and _iterates([frame for frame, _ in walk_tb(error.__traceback__)]):
            raise
        raise UserError(f'{name}: {explain(error)}') from error


def explain(error: BaseException) -> str:
    """Name the class or type of a config that could not be built, and the reason."""
    frames = list(walk_tb(error.__traceback__))
    reason, names = reason_of(error), []
    if isinstance(error, KeyError) and 'registry. Please check whether' in str(error):
        return _unregistered(reason, [frame for frame, _ in frames])
    if isinstance(error, TypeError) and reason == 'None is not a callable object':
        # mmengine looks an optimizer up and does not look at what it found.
        optimizer = next((o for f, _ in frames if (o := getattr(f.f_locals.get('self'), 'optimizer_cfg', None))), {})
        return _unregistered(f'{optimizer.get("type")} is not in the optimizer registry', [f for f, _ in frames])
    while prefix := _PREFIX.match(reason):
        names.append(prefix[1])
        reason = reason[prefix.end() :]
    if not str(error):
        frame, line = frames[-1]
        reason += f' at {linecache.getline(frame.f_code.co_filename, line).strip()!r}'
    if isinstance(error, ValueError) and 'need at least one array' in reason:
        reason = _EMPTY_DATA
    for frame, _ in frames:
        built = frame.f_locals.get('obj_cls') if frame.f_code.co_name.startswith('build_') else None
        if built is not None:
            names.append(getattr(built, '__name__', str(built)))
    frame, line = frames[-1]
    file = Path(frame.f_code.co_filename)
    own = file.is_file() and not str(file.resolve()).startswith(_LIBRARIES)
    place = f' ({printable(file.name)}, line {line})' if own else ''
    return f'{names[-1]} cannot be built: {reason}{place}' if names else f'{reason}{place}'


def _unregistered(text: str, frames: list[FrameType]) -> str:
    """The sentence for a type that a registry does not have."""
    found = re.search(r'(\S+) is not in the (?:(\S+)::)?(.+?) registry', text)
    if not found:
        return text
    name, scope, kind = found[1], found[2], found[3]
    registries = [frame.f_locals.get('registry') for frame in frames]
    registry = next((r for r in reversed(registries) if isinstance(r, Registry)), None)
    known = set()
    while registry is not None:
        known |= set(registry.module_dict)
        registry = registry.parent
    nearest = get_close_matches(name.rpartition('.')[2], known, n=1)
    hint = f'did you mean {nearest[0]!r}? ' if nearest else ''
    where = f'{kind!r} of {scope}' if scope else repr(kind)
    return (
        f'type={name!r} is not in the registry {where}: {hint}Name a class of an installed library, with '
        f'its scope where default_scope is another (as in mmdet.{name.rpartition(".")[2]}), or import your own by '
        f'custom_imports'
    )


def _iterates(frames: list[FrameType]) -> bool:
    """Return whether a loop had begun: any call below ``run`` except of the hooks before its first iteration."""
    in_loop = any(f.f_code.co_name == 'run' and isinstance(f.f_locals.get('self'), BaseLoop) for f in frames)
    prepares = any(
        f.f_code.co_name == 'call_hook' and f.f_locals.get('fn_name') in ('before_train', 'before_test') for f in frames
    )
    return in_loop and not prepares
