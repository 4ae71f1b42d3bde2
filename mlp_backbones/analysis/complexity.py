"""Parameters, MACs (multiply-accumulate operations) and activations of a network."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import BaseDataElement
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from ..apis.config import model_config
from ..backbones import MLPBackbone, build_backbone, build_classifier
from ..compat import flop_registry, require


@dataclass(frozen=True)
class Count:
    """The cost of a network or a part of it for one image; norms, activation functions, shifts and averages cost 0."""

    parameters: int  # trainable and frozen
    macs: int  # of all convolutions and linear maps
    activations: int  # output elements of all convolutions and linear maps


def complexity(name: str, size: tuple[int, int] = (224, 224), classifier: bool = True) -> tuple[int, int]:
    """Count all parameters and MACs, see :func:`complexity_by_part`."""
    total = complexity_by_part(name, size, classifier)['all']
    return total.parameters, total.macs


def complexity_by_part(name: str, size: tuple[int, int] = (224, 224), classifier: bool = True) -> dict[str, Count]:
    """Count a variant on torch's meta device: nothing is computed, no memory is taken.

    Args:
        name: a variant, as in :func:`mlp_backbones.list_backbones`.
        size: (H, W) of the image, in pixels. Default (224, 224).
        classifier: with the linear head of 1,000 classes, as the papers count; else the dense backbone. Default True.

    Returns:
        A count for each part by its name, which is one of all, stem, stage 1 and so on (each with its downsampling),
        head (the last norm and linear map of a classifier) and norms (the output norms of a dense backbone).
    """
    with torch.device('meta'):
        model: nn.Module = (build_classifier if classifier else build_backbone)(name).eval()
    backbone = model.backbone if classifier else model
    prefix = 'backbone.' if classifier else ''
    stages = {f'{prefix}stages.{i}': f'stage {i + 1}' for i in range(len(backbone.stages))}
    counts = count(model, size, {f'{prefix}stem': 'stem', **stages})
    rest = counts.pop('rest')
    return {**counts, 'head' if classifier else 'norms': rest}


def count(model: nn.Module, size: tuple[int, int], parts: dict[str, str]) -> dict[str, Count]:
    """Count any network that takes images ``[1, C, H, W]``, in all and by part.

    C is what the backbone, or else the first convolution of the network, takes.

    Args:
        model: in eval mode, on any device; on a CPU the products of interpolation may count, elsewhere not.
        size: (H, W) of the image, in pixels.
        parts: names of parts, by the name of their module in ``model``.

    Returns:
        Counts of 'all', of the parts, and of the 'rest', which belongs to none of them.

    Raises:
        UserError: with torch 2.1, which counts only whole models.
    """
    require((2, 2), 'the count by parts')
    macs, activations = FlopCounterMode(display=False), FlopCounterMode(display=False, custom_mapping=_OUTPUTS)
    with torch.no_grad(), macs, activations:
        model(torch.empty(1, _image_channels(model), *size, device=next(model.parameters()).device))
    root = type(model).__name__

    def of(module: str) -> Count:
        path = f'{root}.{module}'.rstrip('.')
        # A part without convolutions and linear maps has no entry.
        flops, outputs = (sum(counter.get_flop_counts().get(path, {}).values()) for counter in (macs, activations))
        return Count(sum(p.numel() for p in model.get_submodule(module).parameters()), flops // 2, outputs)

    total, found = of(''), {name: of(module) for module, name in parts.items()}
    rest = (getattr(total, key) - sum(getattr(part, key) for part in found.values()) for key in total.__dict__)
    return {'all': total, **found, 'rest': Count(*rest)}


def _image_channels(model: nn.Module) -> int:
    first = next((m for m in model.modules() if isinstance(m, (MLPBackbone, nn.Conv2d))), None)
    return first.in_channels if first is not None else 3


def _outputs(*args: object, out_shape: tuple[int, ...], **kwargs: object) -> int:
    return prod(out_shape)


# torch's counter, made to count outputs in place of operations.
_OUTPUTS = dict.fromkeys(flop_registry(), _outputs)


# What mmdet's old get_flops put into the second stage of a detector, by which the papers counted.
BOX_ROIS, MASK_ROIS = 1000, 100


def build_meta(config: Config) -> nn.Module:
    """Build the model of a config on torch's meta device: no memory is taken, no weights are loaded."""
    with DefaultScope.overwrite_default_scope(config.default_scope), torch.device('meta'), _RealRates():
        return MODELS.build(model_config(config))


@contextmanager
def counting_on_meta() -> Iterator[FlopCounterMode]:
    """Count the operations of what runs within, on torch's meta device; a MAC is two of ``get_total_flops()``."""
    with torch.device('meta'), torch.no_grad(), FlopCounterMode(display=False) as counter, _KnownShapes():
        yield counter


def model_complexity(model: nn.Module, size: tuple[int, int]) -> tuple[int, int]:
    """Count a whole model of :func:`build_meta`: nothing is computed, no memory is taken.

    The backbone, neck and dense heads see one image. Of a two-stage detector each box head sees 1,000 regions, each
    mask head 100; those of Sparse R-CNN see its learned proposals. The auxiliary head of a segmentor, which only
    training uses, counts among the parameters and not among the MACs. These are the conventions of the published
    figures. The transformer of DINO and the head of Mask2Former, which read values, are computed on the CPU.

    Args:
        model: a detector, segmentor or classifier on torch's meta device; put into eval mode.
        size: (H, W) of the image, in pixels.

    Returns:
        (parameters, MACs of all convolutions, linear maps and products of attention). Norms, activations, shifts,
        averages, resizing and the sampling of regions are not counted.
    """
    model.eval()
    with counting_on_meta() as counter:
        features = model.extract_feat(torch.empty(1, _image_channels(model), *size))
        for name in ('rpn_head', 'bbox_head', 'decode_head', 'head'):
            head = getattr(model, name, None)
            if head is not None and not hasattr(head, 'init_proposal_bboxes') and not _reads_values(model, head):
                head(features)
        if roi_head := getattr(model, 'roi_head', None):
            for kind, rois in (('bbox', BOX_ROIS), ('mask', MASK_ROIS)):
                extractors, heads = (
                    _list(getattr(roi_head, f'{kind}_{part}', None)) for part in ('roi_extractor', 'head')
                )
                for extractor, head in zip(extractors, heads, strict=True):
                    side = extractor.roi_layers[0].output_size
                    if learned := getattr(model.rpn_head, 'num_proposals', None):
                        width = extractor.out_channels
                        head(torch.empty(learned, width, *side), torch.empty(1, learned, width))
                    else:
                        head(torch.empty(rois, extractor.out_channels, *side))
    macs = counter.get_total_flops() // 2 + _macs_of_queries(model, [tuple(f.shape) for f in features], size)
    return sum(p.numel() for p in model.parameters()), macs


def _reads_values(model: nn.Module, head: nn.Module) -> bool:
    """Whether a head of queries takes decisions by the values of its inputs, which the meta device has not."""
    return hasattr(model, 'forward_transformer') or hasattr(head, 'transformer_decoder')


def _macs_of_queries(model: nn.Module, shapes: list[tuple[int, ...]], size: tuple[int, int]) -> int:
    """Count DINO's transformer or Mask2Former's head, computed on the CPU for features of zeros; 0 for other models."""
    heads = (getattr(model, name, None) for name in ('bbox_head', 'panoptic_head', 'decode_head'))
    found = next((head for head in heads if head is not None), None)
    if found is None or not _reads_values(model, found):
        return 0
    model = deepcopy(model).to_empty(device='cpu')
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data.zero_()
    features = [torch.zeros(shape) for shape in shapes]
    samples = [BaseDataElement(metainfo=dict(img_shape=size, batch_input_shape=size))]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        if hasattr(model, 'forward_transformer'):
            model.bbox_head(**model.forward_transformer(features, samples))
        else:
            (getattr(model, 'panoptic_head', None) or model.decode_head)(features, samples)
    return counter.get_total_flops() // 2


class _KnownShapes(TorchDispatchMode):
    """Answer at once what costs no MACs and gives a known shape: inferring shapes takes most of a count."""

    ELEMENTWISE: ClassVar[set] = {
        getattr(torch.ops.aten, name) for name in ('gelu', 'gelu_', 'relu', 'add', 'sub', 'mul')
    }
    NORMS: ClassVar[set] = {getattr(torch.ops.aten, f'native_{kind}_norm') for kind in ('layer', 'group', 'batch')}
    RESIZES: ClassVar[set] = {getattr(torch.ops.aten, f'upsample_{kind}2d') for kind in ('bicubic', 'bilinear')}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        operator = function._overloadpacket
        if operator in self.RESIZES and args[1] is not None:
            return args[0].new_empty((*args[0].shape[:2], *args[1]))
        if operator in self.NORMS:
            return torch.ops.aten.empty_like.default(args[0]), args[0], args[0]  # without the statistics
        if operator in self.ELEMENTWISE:
            x, *others = [arg for arg in args if isinstance(arg, torch.Tensor)]
            if all(y.dtype == x.dtype and torch.broadcast_shapes(x.shape, y.shape) == x.shape for y in others):
                return torch.ops.aten.empty_like.default(x)
        return function(*args, **(kwargs or {}))


class _RealRates(TorchFunctionMode):
    """Keep ``linspace`` off the meta device: mmdet's and mmpretrain's networks read their drop path rates from one."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.linspace:
            kwargs = dict(kwargs or {}, device='cpu')
        return function(*args, **(kwargs or {}))


def _list(modules: nn.Module | None) -> list[nn.Module]:
    """The stages of a cascade, the one of a plain head, or none."""
    if modules is None:
        return []
    return list(modules) if isinstance(modules, nn.ModuleList) else [modules]
