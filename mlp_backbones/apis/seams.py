"""Where a model holds the widths and levels of its backbone's outputs, and what another backbone puts there."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..engine.nodes import type_name
from ..errors import UserError
from .edits import Edits, Place

# Necks that hand every level on in its width, and the key under which they hold it.
PASSING = {
    'Feature2Pyramid': 'embed_dim',
    'GlobalAveragePooling': '',
    'GeneralizedMeanPooling': '',
    'ClsBatchNormNeck': 'input_features',
}
# Necks that make a pyramid of one stride, and the key of the width of what they give.
PYRAMIDS = {'Feature2Pyramid': 'embed_dim', 'MultiLevelNeck': 'out_channels'}
# Heads that run inside another one, which reads the backbone through them.
INNER_HEADS = ('kernel_generate_head',)


@dataclass(frozen=True)
class Level:
    """One output of a backbone.

    Attributes:
        channels: its width.
        stride: in pixels of the image; None for a vector ``[B, C]``.
    """

    channels: int
    stride: float | None


@dataclass
class Reader:
    """A value in a model's config that holds widths of outputs.

    Attributes:
        place: of the dict that has the value.
        key: of the value.
        levels: the outputs whose widths it holds, in its order.
        index: whether ``in_index`` beside it numbers them.
        from_start: whether ``start_level`` beside it leaves the first ones out.
        tail: what follows the widths in the value.
    """

    place: Place
    key: str
    levels: list[int]
    index: bool = False
    from_start: bool = False
    tail: list[int] = field(default_factory=list)

    def name(self) -> str:
        return '.'.join(map(str, (*self.place, self.key)))


class Unplaced(UserError):
    """A place that holds a width or a level cannot be rewritten."""


def backbone_place(model: dict) -> Place:
    """Where a model's config holds its backbone.

    Raises:
        Unplaced: if it holds none, or several.
    """
    encoder = model.get('image_encoder')
    if isinstance(encoder, (list, tuple)) and encoder:
        return 'model', 'image_encoder', 0
    if isinstance(model.get('backbone'), dict):
        return 'model', 'backbone'
    inner = [key for key, value in model.items() if isinstance(value, dict) and 'backbone' in value]
    hint = f'; swap the backbone in the config that model.{inner[0]} comes from' if inner else ''
    raise Unplaced(f'model ({type_name(model)}) has no backbone{hint}')


def neck_nodes(model: dict) -> list[tuple[Place, dict]]:
    """The necks behind the backbone, in order, with their places."""
    if 'image_encoder' in model:
        return [(('model', 'image_encoder', i), node) for i, node in enumerate(model['image_encoder'])][1:]
    neck = model.get('neck')
    if isinstance(neck, (list, tuple)):
        return [(('model', 'neck', i), node) for i, node in enumerate(neck)]
    return [(('model', 'neck'), neck)] if neck else []


def find_readers(model: dict, levels: Sequence[Level], skip_neck: bool = False) -> list[Reader]:
    """All places that hold widths of the backbone's outputs.

    Args:
        model: its config.
        levels: the outputs of the old backbone; with ``skip_neck`` those of the neck.
        skip_neck: whether the neck is taken out.

    Raises:
        Unplaced: naming what holds a width in a way that cannot be rewritten.
    """
    readers = []
    for place, node in () if skip_neck else neck_nodes(model):
        nested = [key for key, value in node.items() if isinstance(value, dict) and 'backbone' in key]
        if nested:
            raise Unplaced(f'{_name(place)}.{nested[0]} is a second backbone, which gets the outputs of the first')
        key = PASSING.get(type_name(node), 'in_channels')
        if key in node:
            readers.append(_reader(place, node, key, levels))
        elif key:
            raise Unplaced(f'{_name(place)} ({type_name(node)}) holds no {key}: it is not clear what it reads')
        if type_name(node) == 'JPU':
            return readers + _past_jpu(model, node, levels)
        if type_name(node) == 'SSDNeck':
            tail = list(node['out_channels'][len(levels) :])
            every = list(range(len(levels)))
            readers.append(Reader(place, 'out_channels', every, tail=tail))
            return [*readers, Reader(('model', 'bbox_head'), 'in_channels', every, tail=tail)]
        if type_name(node) not in PASSING:
            return readers
    shared = (model.get('roi_head') or {}).get('shared_head')
    if shared:
        raise Unplaced(
            f'model.roi_head.shared_head ({type_name(shared)}) is the last stage of the old backbone, and takes its '
            f'input in a width of its own'
        )
    if len(levels) == 1 and 'head' not in model and 'decode_head' not in model:
        readers += _of_one_width(('model',), model, levels[0].channels)
    else:
        for place, node in _heads(model):
            readers += _of_head(place, node, levels)
    deepest = [max(r.levels) for r in readers if r.place[1] == 'decode_head']
    if deepest and max(deepest) < len(levels) - 1:
        raise Unplaced(
            f'model.decode_head reads output {max(deepest)} of {len(levels)}, and the last one is only for '
            f'training: a decoder is in the old backbone, and not in the new one'
        )
    if not readers:
        raise Unplaced(f'model ({type_name(model)}): nothing in it holds a width of the old backbone')
    return readers


def _past_jpu(model: dict, neck: dict, levels: Sequence[Level]) -> list[Reader]:
    """Heads that read the levels which JPU hands on before its result."""
    start = neck.get('start_level', 0)
    return [
        Reader(place, 'in_channels', [start + node['in_index']])
        for place, node in _heads(model)
        if isinstance(node.get('in_index'), int) and 0 <= node['in_index'] < len(levels) - start - 1
    ]


def _heads(model: dict) -> Iterator[tuple[Place, dict]]:
    for key, value in model.items():
        if key.endswith('head') and value:
            for place, node in (
                [(('model', key, i), item) for i, item in enumerate(value)]
                if isinstance(value, (list, tuple))
                else [(('model', key), value)]
            ):
                inner = next((name for name in INNER_HEADS if name in node), None)
                yield ((*place, inner), node[inner]) if inner else (place, node)


def _of_head(place: Place, node: dict, levels: Sequence[Level]) -> list[Reader]:
    if 'in_channels' not in node:
        if 'fusion' in str(place[-1]):
            return []
        raise Unplaced(f'{_name(place)} ({type_name(node)}) holds no in_channels: its input is as the old backbone is')
    readers = [_reader(place, node, 'in_channels', levels)]
    if node.get('c1_in_channels'):
        readers.append(Reader(place, 'c1_in_channels', [0]))
    return readers


def _of_one_width(place: Place, node: Any, width: int) -> list[Reader]:
    """Heads of a detector that read one output; regions keep its width."""
    readers = []
    items: Any = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        if isinstance(value, (dict, list, tuple)) and (place, key) not in (
            (('model',), 'backbone'),
            (('model',), 'neck'),
        ):
            readers += _of_one_width((*place, key), value, width)
        elif value == width and (key == 'in_channels' or (key == 'out_channels' and 'RoIExtractor' in type_name(node))):
            readers.append(Reader(place, key, [0]))
    return readers


def _reader(place: Place, node: dict, key: str, levels: Sequence[Level]) -> Reader:
    value, count = node[key], len(levels)
    widths = [level.channels for level in levels]
    name = f'{_name(place)}.{key}={value!r}'
    index = node.get('in_index')
    is_list = isinstance(value, (list, tuple))
    if key == 'embed_dim':
        order = list(range(count))
    elif index is not None and is_list == isinstance(index, (list, tuple)):
        order = [i % count for i in (index if is_list else [index])]
    elif not is_list:
        order = [count - 1]
    elif list(value) == widths[::-1] != widths:
        order = list(range(count))[::-1]
    else:
        order = list(range(count))[-len(value) :]
    held = [widths[i] for i in order]
    if held != (list(value) if is_list else [value] * len(order)):
        raise Unplaced(f'{name} ({type_name(node)}) does not hold the widths of the old backbone, {widths}')
    if type_name(node) == 'EncHead' and not node.get('add_lateral'):
        order = order[-1:]
    start, end = node.get('start_level', 0), node.get('end_level', -1)
    if start or end != -1:
        order = order[start : None if end == -1 else end + 1]
    return Reader(place, key, order, index=index is not None, from_start='start_level' in node or 'end_level' in node)


def past_pyramid(model: dict, levels: Sequence[Level]) -> list[Level] | None:
    """What heads read where the neck only makes a pyramid of a backbone of one scale; else None."""
    necks = neck_nodes(model)
    kind = type_name(necks[0][1]) if len(necks) == 1 else ''
    if kind not in PYRAMIDS or len({level.stride for level in levels}) > 1 or levels[0].stride is None:
        return None
    node = necks[0][1]
    scales = node.get('rescales', node.get('scales', [1] * len(levels)))
    return [Level(node[PYRAMIDS[kind]], levels[0].stride / scale) for scale in scales]


def match(levels: Sequence[Level], strides: Sequence[float], exact: bool) -> list[int]:
    """The stage of the new backbone for each output of the old one.

    The last stages take the place of the outputs where strides are the same, else stages of the same stride. Where a
    segmentor's old backbone is dilated, or of one scale, strides may differ.

    Args:
        levels: outputs of the old backbone.
        strides: of the new backbone's stages.
        exact: whether strides must be equal, as anchors and points of a detector are laid out by them.

    Raises:
        Unplaced: if the new backbone has no such level.
    """
    old = [level.stride for level in levels if level.stride is not None]
    if len(old) < len(levels):
        return [len(strides) - 1] * len(levels)
    if old != sorted(old) or max(old) < strides[1]:
        raise Unplaced(
            f'the outputs of the old backbone have strides {join(old)}: what makes them fine is not in the new one'
        )
    tail = list(range(len(strides) - len(old), len(strides)))
    if tail[0] >= 0 and [strides[i] for i in tail] == old:
        return tail
    if (exact or len(old) > 1) and len(set(old)) == len(old) and set(old) <= set(strides):
        return [list(strides).index(stride) for stride in old]
    if exact or tail[0] < 0:
        raise Unplaced(
            f'the old backbone has {len(old)} outputs of stride {join(old)}, and the new one has {join(strides)}'
        )
    return tail


def dilated_stride(node: dict, levels: Sequence[Level]) -> int | None:
    """The coarsest stride of a dilated backbone, or None for one that is not dilated.

    Args:
        node: its config.
        levels: its outputs.
    """
    strides = [level.stride for level in levels if level.stride is not None]
    dilations = node.get('dilations') or ()
    dilated = len(set(strides)) < len(strides) and len(set(strides)) > 1
    if not strides or not (dilated or any(dilation != 1 for dilation in dilations)):
        return None
    return round(max(strides)) if max(strides) in (8, 16) else None


def write(edits: Edits, readers: Sequence[Reader], new: dict[int, tuple[int, int]]) -> None:
    """Write new widths and numbers into the places.

    Args:
        edits: of the config.
        readers: of :func:`find_readers`.
        new: for each old output that is read, the number among the new outputs and the width of what replaces it.
    """
    last = max(position for position, _ in new.values())
    for reader in readers:
        node = edits.get(reader.place)
        value = node[reader.key]
        widths = [new[i][1] for i in reader.levels]
        is_list = isinstance(value, (list, tuple))
        why = 'width' + ('s' if is_list else '') + ' of the outputs that it reads'
        edits.set((*reader.place, reader.key), type(value)([*widths, *reader.tail]) if is_list else widths[0], why)
        if reader.index:
            index = node['in_index']
            numbers = [new[i][0] for i in reader.levels]
            if isinstance(index, int):
                kept = index if index < 0 and numbers[0] == last else numbers[0]
                edits.set((*reader.place, 'in_index'), kept, 'its number among the outputs that are left')
            else:
                edits.set((*reader.place, 'in_index'), type(index)(numbers), 'numbers of the outputs that are left')
        if reader.from_start:
            for key, number in (('start_level', 0), ('end_level', -1)):
                if key in node:
                    edits.set((*reader.place, key), number, 'all outputs are read: those that were not are left out')


def _name(place: Place) -> str:
    return '.'.join(map(str, place))


def join(numbers: Iterable[float | None]) -> str:
    """Numbers as text, with commas."""
    return ', '.join(f'{number:g}' for number in numbers if number is not None)
