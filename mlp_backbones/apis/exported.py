"""Exported files in place of a model: the same predictions, computed by another engine."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from torch import Tensor, nn
from torch.nn import functional as F

from ..drawing import paste_masks
from ..errors import UserError, describe

ENGINES = ('onnxruntime', 'openvino')


class ExportedModel:
    """A file that ``tools/export.py`` wrote of a whole detector or segmentor, with the ``test_step`` of its model.

    Args:
        model: built of the same config; its weights are not used, only how it prepares images and reads results.
        engine: 'onnxruntime' or 'openvino', which computes on the CPU, in float32.
        path: the file, ``.onnx``.

    Raises:
        UserError: if the engine is unknown or not installed, or the file is missing, broken or of another model.
    """

    def __init__(self, model: nn.Module, engine: str, path: Path):
        self.model = model
        self.input_name, self.output_names, self.run = _load(engine, path)
        head = getattr(model, 'decode_head', None)
        given = {*self.output_names}
        fits = {'boxes', 'scores', 'labels'} <= given if head is None else given <= {'logits', 'labels'}
        if not fits or self.input_name not in ('images', 'bgr', 'rgb'):
            raise UserError(
                f'{path} takes {self.input_name} and gives {", ".join(self.output_names)}, which is not of a '
                f'{type(model).__name__} that tools/export.py wrote whole: export it from this config'
            )
        if head is not None and model.test_cfg.get('mode') == 'slide':
            raise UserError(
                f"the config's test_cfg has mode='slide', and {path} takes whole images: set test_cfg.mode='whole'"
            )

    def test_step(self, data: dict) -> list[BaseDataElement]:
        """Predict on a batch of one, as the model's own method does."""
        x, sample = graph_input(self.model, self.input_name, data, pads='boxes' in self.output_names)
        outputs = {name: torch.from_numpy(y) for name, y in zip(self.output_names, self.run(x), strict=True)}
        if 'boxes' in outputs:
            sample.pred_instances = self._instances(outputs, sample.metainfo)
        else:
            sample.pred_sem_seg = self._labels(outputs, sample.metainfo)
        return [sample]

    def _instances(self, outputs: dict[str, Tensor], meta: dict) -> InstanceData:
        scale = torch.tensor(meta.get('scale_factor', (1.0, 1.0))).repeat(2)
        found = InstanceData(bboxes=outputs['boxes'] / scale, scores=outputs['scores'], labels=outputs['labels'])
        if 'masks' in outputs:
            threshold = self.model.roi_head.test_cfg['mask_thr_binary']
            found.masks = paste_masks(outputs['masks'], found.bboxes, meta['ori_shape'][:2], threshold)
        return found

    def _labels(self, outputs: dict[str, Tensor], meta: dict) -> PixelData:
        head, size = self.model.decode_head, tuple(meta['ori_shape'][:2])
        maps = outputs['logits'] if 'logits' in outputs else outputs['labels'][:, None].float()
        if self.input_name == 'images':
            left, right, top, bottom = meta.get('img_padding_size', meta.get('padding_size', [0] * 4))
            maps = maps[:, :, top : maps.shape[2] - bottom, left : maps.shape[3] - right]
        if 'labels' in outputs:
            return PixelData(data=F.interpolate(maps, size, mode='nearest')[0].long())
        maps = F.interpolate(maps, size, mode='bilinear', align_corners=head.align_corners)[0]
        return PixelData(
            data=maps.argmax(0, keepdim=True) if len(maps) > 1 else (maps.sigmoid() > head.threshold).long()
        )


def graph_input(model: nn.Module, name: str, data: dict, pads: bool) -> tuple[np.ndarray, BaseDataElement]:
    """Return the input of a graph for a batch of one, and its data sample.

    Args:
        model: whose ``data_preprocessor`` normalises.
        name: of the graph's input: 'images', 'bgr' or 'rgb'.
        data: what the test pipeline gives, as a batch of one.
        pads: whether the graph pads by itself, after it took the size to which boxes are clipped.
    """
    raw = data['inputs'][0]
    data = model.data_preprocessor(data, False)
    sample = data['data_samples'][0]
    if name == 'images':
        height, width = sample.img_shape[:2] if pads else data['inputs'].shape[2:]
        return data['inputs'][:, :, :height, :width].numpy(), sample
    return raw[None].numpy() if name == 'bgr' else raw.flip(0)[None].numpy(), sample


def _load(engine: str, path: Path) -> tuple[str, tuple[str, ...], Callable[[np.ndarray], list[np.ndarray]]]:
    """Open a file: the name of its input, the names of its outputs, and what runs it."""
    if engine not in ENGINES:
        raise UserError(f'{engine!r} is no engine: name {" or ".join(ENGINES)}')
    if not path.is_file():
        raise UserError(f'{path} is missing: write it with tools/export.py')
    try:
        if engine == 'onnxruntime':
            import onnxruntime

            session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
            name = session.get_inputs()[0].name
            outputs = tuple(output.name for output in session.get_outputs())
            return name, outputs, lambda x: session.run(None, {name: x})
        import openvino

        compiled = openvino.Core().compile_model(path, 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
        outputs = tuple(output.any_name for output in compiled.outputs)
        return compiled.inputs[0].any_name, outputs, lambda x: [y.copy() for y in compiled([x]).values()]
    except ImportError as error:
        raise UserError(f'--engine {engine} needs the package {engine}: pip install {engine}') from error
    except Exception as error:
        raise UserError(f'{path} cannot be opened by {engine} ({describe(error)})') from error
