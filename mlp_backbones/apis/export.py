"""Export a network as a graph that other software runs."""

import re
import warnings
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..compat import require
from ..errors import UserError, printable
from ..files import atomic_file, check_target, writing

# Outputs may differ by this much of their largest value: float32, summed in another order.
TOLERANCE = 1e-4


class SegmentorGraph(nn.Module):
    """An mmseg segmentor as a plain function: images ``[B, 3, H, W]``, normalised, to logits ``[B, classes, H, W]``."""

    def __init__(self, segmentor: nn.Module):
        super().__init__()
        self.segmentor = segmentor

    def forward(self, x: Tensor) -> Tensor:
        head = self.segmentor.decode_head
        logits = head(self.segmentor.extract_feat(x))
        return F.interpolate(logits, size=x.shape[2:], mode='bilinear', align_corners=head.align_corners)


def export_graph(
    model: nn.Module, path: Path, size: tuple[int, int] = (224, 224), dynamic: bool = True, opset: int | None = None
) -> float:
    """Write a model as ONNX (``.onnx``) or as an exported program of torch (``.pt2``), and try it at other sizes.

    Args:
        model: takes images ``[B, 3, H, W]``, gives a tensor or a tuple of tensors.
        path: the file; its suffix chooses the format.
        size: (H, W) of the example, in pixels. Default (224, 224).
        dynamic: leave batch, H and W open; else all but the batch are fixed. Default True.
        opset: version of ONNX's operators, at least 18 (of which all are standard ones); None for ``.pt2``. Default
            None: 18 for ``.onnx``.

    Returns:
        The largest difference to the model among the trials, relative to the largest value of that output.

    Raises:
        UserError: if the suffix is another one, the folder is missing, the model cannot be exported in this way, or
            the file gives other numbers; then nothing is written.
    """
    if path.suffix not in ('.onnx', '.pt2'):
        raise UserError(f'{path} has the suffix {path.suffix!r}: name a file that ends in .onnx or .pt2')
    if not path.parent.is_dir():
        raise UserError(f'{path}: the folder {path.parent} is missing; make it, or name a file elsewhere')
    check_target(path)
    if opset is not None and path.suffix == '.pt2':
        raise UserError(f'opset={opset}: {path} will hold no operators of ONNX; leave it out, or write .onnx')
    opset = 18 if opset is None else opset
    if opset < 18:
        raise UserError(f'opset={opset} is too old: the exporter of torch writes opset 18 and newer')
    require((2, 6), 'export')
    model = model.eval()
    example = torch.randn(2, _channels(model), *size)
    remedy = '; try --static' if dynamic else ''
    Dim = torch.export.Dim
    free = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC} if dynamic else {0: Dim.DYNAMIC}
    written = BytesIO()
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            if path.suffix == '.onnx':
                options = dict(opset_version=opset, dynamic_shapes=(free,), dynamo=True, verbose=False)
                program = torch.onnx.export(model, (example,), input_names=['images'], **options)
                written.write(program.model_proto.SerializeToString())
            else:
                torch.export.save(torch.export.export(model, (example,), dynamic_shapes=(free,)), written)
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = printable(re.sub(r'\x1b\[\d+m', '', lines[0]))
        raise UserError(
            f'{type(model).__name__} cannot be exported{" with open sizes" if dynamic else ""} ({reason}){remedy}'
        ) from error
    trials = [(size[0] * 3 // 4, size[1]), (size[0] + 37, size[1] * 2 - 5), (size[0] * 2, size[1] + 64)]
    # A graph that fixes a size of the example differs at small images only. Some heads do not take these.
    trials += [small for small in ((5, 33), (1, 1)) if _takes(model, small)]
    shapes = [(batch, _channels(model), *trial) for batch, trial in enumerate(trials if dynamic else [size], 1)]
    try:
        error = max(_difference(model, written, path.suffix, shape) for shape in shapes)
    except Exception as failed:
        raise UserError(f'{path} was not written: it does not run ({str(failed).splitlines()[0]}){remedy}') from failed
    if not error < TOLERANCE:
        raise UserError(f'{path} was not written: its numbers differ from those of the model by {error:.1e}{remedy}')
    with writing(path), atomic_file(path) as aside:
        aside.write_bytes(written.getbuffer())
    return error


def _takes(model: nn.Module, size: tuple[int, int]) -> bool:
    try:
        with torch.no_grad():
            model(torch.zeros(1, _channels(model), *size))
    except (RuntimeError, ValueError):
        return False
    return True


def _difference(model: nn.Module, written: BytesIO, suffix: str, shape: tuple[int, ...]) -> float:
    x = torch.randn(shape)
    if suffix == '.onnx':
        import onnxruntime

        session = onnxruntime.InferenceSession(written.getvalue(), providers=['CPUExecutionProvider'])
        got = [torch.from_numpy(y) for y in session.run(None, {session.get_inputs()[0].name: x.numpy()})]
    else:
        written.seek(0)
        got = _tuple(torch.export.load(written).module()(x))
    with torch.no_grad():
        wanted = _tuple(model(x))
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in zip(got, wanted, strict=True))


def _tuple(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)


def _channels(model: nn.Module) -> int:
    return next(m.in_channels for m in model.modules() if hasattr(m, 'in_channels') and isinstance(m.in_channels, int))
