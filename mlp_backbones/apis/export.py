"""Export a network as a graph that other software runs."""

import re
import warnings
from collections.abc import Callable, Sequence
from io import BytesIO
from math import pi, sqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..compat import require
from ..errors import UserError, printable
from ..files import atomic_file, check_target, writing


class WholeGraph(nn.Module):
    """A model as a function of its images, with what :func:`export_graph` needs to know of it.

    Attributes:
        input_name: of the graph.
        output_names: of the graph. Default None: those of torch.
        input_dtype: of the images; uint8 holds 0 to 255.
        one_image: whether the batch is fixed to one.
        tolerance: how far outputs may differ: float32, summed in another order.
        compared: the number of detections that :meth:`difference` compared; of other models 0.
    """

    input_name: str = 'images'
    output_names: tuple[str, ...] | None = None
    input_dtype: torch.dtype = torch.float32
    one_image: bool = False
    tolerance: float = 1e-4
    compared: int = 0

    def difference(self, images: Tensor, outputs: Sequence[Tensor]) -> float:
        """Return how far the outputs of the graph are from those wanted, relative to the largest of each."""
        with torch.no_grad():
            wanted = _tuple(self(images))
        return max(_relative(a, b) for a, b in zip(outputs, wanted, strict=True))


class PlainGraph(WholeGraph):
    """A module that takes images and gives tensors, such as a backbone."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.model(images)


class RawGraph(WholeGraph):
    """A graph that takes images as files hold them, and normalises them itself.

    Args:
        graph: takes normalised images.
        preprocessor: the ``data_preprocessor`` of the model, which has the mean and the standard deviation.
        order: 'bgr' or 'rgb', of the channels of the input, which is named so.

    Shapes:
        images ``[B, 3, H, W]`` uint8 to the outputs of ``graph``.
    """

    input_dtype = torch.uint8

    def __init__(self, graph: WholeGraph, preprocessor: nn.Module, order: str):
        super().__init__()
        self.network, self.preprocessor, self.input_name = graph, preprocessor, order
        self.output_names, self.one_image = graph.output_names, graph.one_image
        # Test pipelines load BGR.
        self.flips = getattr(preprocessor, '_channel_conversion', False) != (order == 'rgb')

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.network(self.normalise(images))

    def normalise(self, images: Tensor) -> Tensor:
        """Return what the preprocessor makes of images, without its padding."""
        x = images.flip(1).float() if self.flips else images.float()
        mean, std = getattr(self.preprocessor, 'mean', None), getattr(self.preprocessor, 'std', None)
        return x if mean is None else (x - mean) / std

    def difference(self, images: Tensor, outputs: Sequence[Tensor]) -> float:
        difference = self.network.difference(self.normalise(images), outputs)
        self.compared = self.network.compared
        return difference


def export_graph(
    model: nn.Module, path: Path, size: tuple[int, int] = (224, 224), dynamic: bool = True, opset: int | None = None
) -> float:
    """Write a model as ONNX (``.onnx``) or as an exported program of torch (``.pt2``), and try it at other sizes.

    Args:
        model: takes images ``[B, 3, H, W]``, gives a tensor or a tuple of tensors.
        path: the file; its suffix chooses the format.
        size: (H, W) of the example, in pixels. Default (224, 224).
        dynamic: leave batch, H and W open; else all but the batch are fixed. Default True.
        opset: version of ONNX's operators, at least 11 (of which all are standard ones); None for ``.pt2``. Default
            None: 18 for ``.onnx``. Below 18 :func:`.lower_opset` rewrites the graph.

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
    if opset < 11:
        raise UserError(f'opset={opset} is too old: graphs are written in opset 11 and newer')
    require((2, 6), 'export')
    graph = (model if isinstance(model, WholeGraph) else PlainGraph(model)).eval()
    remedy = '; try --static' if dynamic else ''
    written = _written(graph, path.suffix, size, dynamic, opset, remedy)
    trials = [(size[0] * 3 // 4, size[1]), (size[0] + 37, size[1] * 2 - 5), (size[0] * 2, size[1] + 64)]
    # Necks that join maps of two scales take multiples of their strides only.
    trials = [trial if _takes(graph, trial) else (-(-trial[0] // 32) * 32, -(-trial[1] // 32) * 32) for trial in trials]
    # A graph that fixes a size of the example differs at small images only. Some heads do not take these.
    trials += [small for small in ((5, 33), (1, 1)) if not graph.one_image and _takes(graph, small)]
    shapes = [(1 if graph.one_image else i, *trial) for i, trial in enumerate(trials if dynamic else [size], 1)]
    try:
        run = _runner(written, path.suffix)
        error = max(graph.difference(x, run(x)) for x in (_images(graph, *shape) for shape in shapes))
    except Exception as failed:
        raise UserError(f'{path} was not written: it does not run ({str(failed).splitlines()[0]}){remedy}') from failed
    if not error < graph.tolerance:
        raise UserError(f'{path} was not written: its numbers differ from those of the model by {error:.1e}{remedy}')
    with writing(path), atomic_file(path) as aside:
        aside.write_bytes(written.getbuffer())
    return error


def _written(graph: WholeGraph, suffix: str, size: tuple[int, int], dynamic: bool, opset: int, remedy: str) -> BytesIO:
    open_size = torch.export.Dim.DYNAMIC
    free = {} if graph.one_image else {0: open_size}
    free |= {2: open_size, 3: open_size} if dynamic else {}
    # Names of parameters stay those of the model.
    model = graph.model if isinstance(graph, PlainGraph) else graph
    example, written = _images(graph, 1 if graph.one_image else 2, *size), BytesIO()
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            if suffix == '.onnx':
                options: dict[str, Any] = dict(
                    opset_version=max(opset, 18), dynamic_shapes=(free,), dynamo=True, verbose=False
                )
                options |= dict(custom_translation_table={torch.ops.aten.gelu.default: _gelu})
                names = dict(input_names=[graph.input_name], output_names=graph.output_names)
                program = torch.onnx.export(model, (example,), **names, **options)
                proto = program.model_proto
                if opset < 18:
                    from .opsets import lower_opset  # late: it needs onnx

                    proto = lower_opset(proto, opset)
                written.write(proto.SerializeToString())
            else:
                torch.export.save(torch.export.export(model, (example,), dynamic_shapes=(free,)), written)
    except UserError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = printable(re.sub(r'\x1b\[\d+m', '', lines[0]))
        raise UserError(
            f'{type(model).__name__} cannot be exported{" with open sizes" if dynamic else ""} ({reason}){remedy}'
        ) from error
    return written


def _gelu(x: Any, approximate: str = 'none') -> Any:
    """Translate GELU so that engines recognise it: torch's own formula of opset 18 stays five passes over memory."""
    from onnxscript import opset18 as op  # optional: only an export to ONNX needs it

    if approximate == 'tanh':
        cubic = op.Add(x, op.Mul(op.Mul(op.Mul(x, x), x), op.CastLike(0.044715, x)))
        step = op.Tanh(op.Mul(cubic, op.CastLike(sqrt(2 / pi), x)))
    else:
        step = op.Erf(op.Div(x, op.CastLike(sqrt(2), x)))
    return op.Mul(op.Mul(x, op.Add(step, op.CastLike(1.0, x))), op.CastLike(0.5, x))


def _images(graph: WholeGraph, batch: int, height: int, width: int) -> Tensor:
    shape = (batch, _channels(graph), height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8) if graph.input_dtype is torch.uint8 else torch.randn(shape)


def _takes(graph: WholeGraph, size: tuple[int, int]) -> bool:
    try:
        with torch.no_grad():
            graph(_images(graph, 1, *size))
    except (RuntimeError, ValueError):
        return False
    return True


def _runner(written: BytesIO, suffix: str) -> Callable[[Tensor], tuple[Tensor, ...]]:
    if suffix == '.onnx':
        import onnxruntime

        session = onnxruntime.InferenceSession(written.getvalue(), providers=['CPUExecutionProvider'])
        name = session.get_inputs()[0].name
        return lambda x: tuple(torch.from_numpy(y) for y in session.run(None, {name: x.numpy()}))
    written.seek(0)
    program = torch.export.load(written).module()
    return lambda x: _tuple(program(x))


def _relative(found: Tensor, wanted: Tensor) -> float:
    return ((found - wanted).abs().max() / wanted.abs().max()).item()


def _tuple(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)


def _channels(model: nn.Module) -> int:
    return next(m.in_channels for m in model.modules() if hasattr(m, 'in_channels') and isinstance(m.in_channels, int))
