"""Parameters and multiply-adds of a whole detector, segmentor or classifier."""

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from ..apis.config import model_config

# What mmdet's old get_flops put into the second stage of a detector, by which the papers counted.
BOX_ROIS, MASK_ROIS = 1000, 100


def build_meta(config: Config) -> nn.Module:
    """Builds the model of a config on torch's meta device: no memory is taken, no weights are loaded."""
    with DefaultScope.overwrite_default_scope(config.default_scope), torch.device('meta'), _RealRates():
        return MODELS.build(model_config(config))


def model_complexity(model: nn.Module, size: tuple[int, int]) -> tuple[int, int]:
    """Counts a whole model of :func:`build_meta`: nothing is computed, no memory is taken.

    The backbone, neck and dense heads see one image. Of a two-stage detector each box head sees 1,000 regions, each
    mask head 100. The auxiliary head of a segmentor, which training alone uses, counts among the parameters and not
    among the multiply-adds. These are the conventions of the published figures.

    Args:
        model: a detector, segmentor or classifier on torch's meta device; put into eval mode.
        size: (H, W) of the image, in pixels.

    Returns:
        (parameters, multiply-adds of all convolutions and linear maps). Norms, activations, shifts, averages, resizing
        and the sampling of regions are not counted.
    """
    model.eval()
    with torch.device('meta'), torch.no_grad(), FlopCounterMode(display=False) as counter:
        features = model.extract_feat(torch.empty(1, 3, *size))
        for name in ('rpn_head', 'bbox_head', 'decode_head', 'head'):
            if getattr(model, name, None) is not None:
                getattr(model, name)(features)
        if roi_head := getattr(model, 'roi_head', None):
            for kind, rois in (('bbox', BOX_ROIS), ('mask', MASK_ROIS)):
                extractors, heads = (_list(getattr(roi_head, f'{kind}_{part}')) for part in ('roi_extractor', 'head'))
                for extractor, head in zip(extractors, heads, strict=True):
                    side = extractor.roi_layers[0].output_size
                    head(torch.empty(rois, extractor.out_channels, *side))
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2


class _RealRates(TorchFunctionMode):
    """Keeps ``linspace`` off the meta device: mmdet's and mmpretrain's networks read their drop path rates from one."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.linspace:
            kwargs = dict(kwargs or {}, device='cpu')
        return function(*args, **(kwargs or {}))


def _list(modules: nn.Module) -> list[nn.Module]:
    """The stages of a cascade, or the one of a plain head."""
    return list(modules) if isinstance(modules, nn.ModuleList) else [modules]
