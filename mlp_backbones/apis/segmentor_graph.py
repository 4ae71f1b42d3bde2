"""mmseg's segmentors as plain functions of images, which torch can export with open sizes."""

import copy
from collections.abc import Sequence

import torch
from mmseg.models.segmentors import EncoderDecoder
from mmseg.models.utils import Upsample
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from .export import WholeGraph


class SegmentorGraph(WholeGraph):
    """An ``EncoderDecoder`` of mmseg as a plain function: it computes what its ``predict`` does with whole images.

    Args:
        segmentor: the model; it stays as it is. In a copy, modules that fix the sizes of the example are replaced by
            ones that compute the same for any size.
        argmax: give labels in place of logits. Default False.

    Shapes:
        images ``[B, 3, H, W]``, normalised, to logits ``[B, classes, H, W]``, or labels ``[B, H, W]`` int64.

    Raises:
        UserError: if the model is another kind of segmentor.
    """

    def __init__(self, segmentor: nn.Module, argmax: bool = False):
        super().__init__()
        names = ('encode_decode', 'whole_inference', 'predict')
        same = (getattr(type(segmentor), name, None) is getattr(EncoderDecoder, name) for name in names)
        if not all(same):
            raise UserError(
                f'{type(segmentor).__name__} cannot be exported as a whole: it predicts in another way than '
                'EncoderDecoder; export its --backbone'
            )
        self.segmentor = with_open_sizes(segmentor)
        self.argmax = argmax
        self.output_names = ('labels' if argmax else 'logits',)
        self.original = (segmentor,)  # in a tuple, so that its weights are not in the graph twice

    def forward(self, images: Tensor) -> Tensor:
        head = self.segmentor.decode_head
        logits = head(self.segmentor.extract_feat(images))
        logits = F.interpolate(logits, size=images.shape[2:], mode='bilinear', align_corners=head.align_corners)
        if not self.argmax:
            return logits
        return logits.argmax(1) if logits.shape[1] > 1 else (logits[:, 0].sigmoid() > head.threshold).long()

    @torch.no_grad()
    def difference(self, images: Tensor, outputs: Sequence[Tensor]) -> float:
        """Compare outputs of the graph with the library's prediction.

        Returns:
            The largest difference of logits, relative to the largest; or the share of pixels with another label.
        """
        (segmentor,), size = self.original, images.shape[2:]
        meta = dict(ori_shape=size, img_shape=size, pad_shape=size, padding_size=[0] * 4)
        logits = segmentor.whole_inference(images, [meta] * len(images))
        if not self.argmax:
            return ((outputs[0] - logits).abs().max() / logits.abs().max()).item()
        samples = segmentor.postprocess_result(logits, None)
        wanted = torch.stack([sample.pred_sem_seg.data[0] for sample in samples])
        return (outputs[0] != wanted).float().mean().item()


def with_open_sizes(model: nn.Module) -> nn.Module:
    """Copy a model, with poolings to a grid and mmseg's ``Upsample`` in a form that a graph can leave open."""
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d):
                grid = child.output_size if isinstance(child.output_size, tuple) else (child.output_size,) * 2
                setattr(module, name, GridPool((grid[0], grid[1])))
            elif isinstance(child, Upsample) and not child.size and _is_whole(child.scale_factor):
                setattr(module, name, WholeUpsample(int(child.scale_factor), child.mode, child.align_corners))
    return model


def _is_whole(factor: float | tuple[float, ...] | None) -> bool:
    return isinstance(factor, float) and factor.is_integer()


class GridPool(nn.Module):
    """``nn.AdaptiveAvgPool2d`` as two matrix products, which ONNX has for open sizes.

    Args:
        grid: (rows, columns) of the output; None: as many as the input has.
    """

    def __init__(self, grid: tuple[int | None, int | None]):
        super().__init__()
        self.grid = grid

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.grid
        if rows is not None:
            x = _averages(rows, x.shape[2], x) @ x
        return x if columns is None else x @ _averages(columns, x.shape[3], x).T


def _averages(cells: int, size: int, like: Tensor) -> Tensor:
    """The matrix ``[cells, size]`` that averages positions floor(i size / cells) to ceil((i + 1) size / cells)."""
    position = torch.arange(size, device=like.device)
    cell = torch.arange(cells, device=like.device)[:, None]
    # In whole numbers: position < ceil(a / b) is the same as position * b < a.
    inside = (position >= cell * size // cells) & (position * cells < (cell + 1) * size)
    weights = inside.to(like.dtype)
    return weights / weights.sum(1, keepdim=True)


class WholeUpsample(nn.Module):
    """mmseg's ``Upsample`` by a whole factor."""

    def __init__(self, factor: int, mode: str, align_corners: bool | None):
        super().__init__()
        self.factor, self.mode, self.align_corners = factor, mode, align_corners

    def forward(self, x: Tensor) -> Tensor:
        size = (x.shape[2] * self.factor, x.shape[3] * self.factor)
        return F.interpolate(x, size, mode=self.mode, align_corners=self.align_corners)
