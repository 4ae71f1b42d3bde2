"""Convert exported files to int8, by onnxruntime's static quantisation."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch import nn

from ..errors import UserError, describe
from ..files import atomic_file, check_target, writing
from .export import WholeGraph
from .exported import graph_input
from .images import BadImage, find_images, image_dataset, image_suffixes, read_image, skipping
from .inference import pipeline_steps

# What has products; norms, sums and NMS stay in float32.
QUANTIZED = ('Conv', 'MatMul', 'Gemm')


def quantize_graph(source: Path, path: Path, batches: Iterable[np.ndarray]) -> None:
    """Write a file whose matrix products and convolutions with weights compute in int8.

    Weights have a scale per output channel, activations one for the whole tensor, from their least and largest values
    on the calibration images. The file holds ``QuantizeLinear`` and ``DequantizeLinear`` of ONNX's standard operators,
    which onnxruntime and OpenVINO both run in int8.

    Args:
        source: a file in float32 that :func:`.export_graph` wrote, ``.onnx``.
        path: the file to write, ``.onnx``.
        batches: inputs of the graph, such as float32 ``[1, 3, H, W]``, of images like those to come.

    Raises:
        UserError: if onnxruntime is not installed, there are no images, or the file cannot be quantised, or its opset
            is older than 13, which has no scale per channel.
    """
    check_target(path)
    try:
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    except ImportError as error:
        raise UserError('int8 needs onnx and onnxruntime: pip install onnx onnxruntime') from error

    class Reader(CalibrationDataReader):
        def __init__(self, inputs: Iterator[dict[str, np.ndarray]]):
            self.inputs, self.count = inputs, 0

        def get_next(self) -> dict[str, np.ndarray] | None:
            found = next(self.inputs, None)
            self.count += found is not None
            return found

    name = _input_name(source)
    reader = Reader({name: batch} for batch in batches)
    with TemporaryDirectory() as folder:
        written = Path(folder) / 'int8.onnx'
        try:
            quantize_static(
                source,
                written,
                reader,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=[*QUANTIZED],
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                # Products of two maps have no weights, and their range varies with the image.
                extra_options=dict(MatMulConstBOnly=True),
            )
        except UserError:
            raise
        except Exception as error:
            reason = 'there are no calibration images' if reader.count == 0 else describe(error)
            raise UserError(f'{path} was not written: onnxruntime cannot quantise {source} ({reason})') from error
        with writing(path), atomic_file(path) as aside:
            aside.write_bytes(written.read_bytes())


def calibration_inputs(config: Config, model: nn.Module, graph: WholeGraph, folder: str) -> Iterator[np.ndarray]:
    """Yield the inputs of a graph for the images of a folder, as the config's test pipeline prepares them.

    Args:
        config: of the model.
        model: whose ``data_preprocessor`` normalises.
        graph: what is exported of it.
        folder: a folder of images, or a file, or a pattern.

    Raises:
        UserError: if there is no image, or one cannot be read.
    """
    dataset = image_dataset(config)
    pipeline = Compose(pipeline_steps(dataset.pipeline))
    pads = 'boxes' in (graph.output_names or ())
    _, images = find_images(folder, Path(folder) / 'none', image_suffixes(config))
    extra = dict(reduce_zero_label=bool(dataset.get('reduce_zero_label')), seg_fields=[], img_id=0, sample_idx=0)
    for path in images:
        try:
            with skipping('the test pipeline fails'):
                data = pipeline(dict(extra, img_path=str(read_image(path).path)))
        except BadImage as error:
            raise UserError(f'{path} cannot calibrate: {error}') from error
        yield graph_input(model, graph.input_name, pseudo_collate([data]), pads)[0]


def _input_name(source: Path) -> str:
    import onnx

    try:
        model = onnx.load(source, load_external_data=False)
        name, opset = model.graph.input[0].name, model.opset_import[0].version
    except Exception as error:
        raise UserError(f'{source} cannot be read as ONNX ({describe(error)})') from error
    if opset < 13:
        raise UserError(f'{source} is of opset {opset}, and int8 needs 13 or newer: export it anew')
    return name
