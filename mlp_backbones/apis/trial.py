"""One training step and one prediction with random images, which show that a config works."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.logging import MessageHub, MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData, PixelData
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..engine.nodes import dicts, type_name
from ..errors import UserError
from .config import build_model, library
from .explain import explain
from .seams import Level

# (H, W) in pixels, of training and of prediction; the larger ones are for models that the smaller ones do not fit, such
# as those that choose 900 positions.
SIZES = ((128, 160), (117, 91)), ((320, 384), (317, 331))
PROBE_SIZE = 224


def probe_backbone(node: dict, scope: str) -> list[Level]:
    """Learn the outputs of a backbone: on the meta device where it can be built there, else with a random image.

    Args:
        node: config of the backbone.
        scope: library in which its type is looked up.

    Raises:
        UserError: if it cannot be built or run, or gives something else than maps or vectors.
    """
    node = {key: value for key, value in node.items() if key not in ('init_cfg', 'pretrained', 'frozen_stages')}
    side = node.get('img_size', PROBE_SIZE)
    size = tuple(side) if isinstance(side, (list, tuple)) else (side, side)
    outputs: Any = None
    for device in ('meta', 'cpu'):
        try:
            with _quiet(), torch.device(device), _RatesOnCPU(), torch.no_grad():
                backbone = MODELS.build(ConfigDict(node, _scope_=node.get('_scope_', scope)))
                backbone.eval()
                outputs = backbone(torch.zeros(1, node.get('in_channels', 3) or 3, *size))
            break
        except Exception as error:
            # Some operators and some constructors do not run on the meta device; on the CPU, all must.
            if device == 'cpu':
                raise UserError(f'the old backbone {type_name(node)} does not run: {explain(error)}') from error
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    if not all(isinstance(output, Tensor) and output.ndim in (2, 4) and len(output) == 1 for output in outputs):
        raise UserError(
            f'the old backbone {type_name(node)} gives tokens or nested outputs, and what reads them cannot read '
            f'maps, which the new one gives'
        )
    return [Level(x.shape[1], round(size[0] / x.shape[2]) if x.ndim == 4 else None) for x in outputs]


def try_config(config: Config, load_weights: bool = False) -> tuple[nn.Module, list[str]]:
    """Build the model of a config, take one training step and predict for an image of an odd size, on the CPU.

    Args:
        config: stays as it is.
        load_weights: whether the backbone loads the file that its ``init_cfg`` names. Default False.

    Returns:
        The model, and the names of its backbone's parameters that got no gradient.

    Raises:
        UserError: if any of it fails, or a loss is not finite.
    """
    # Estimators of poses are built for one size.
    fixed = tuple(config.get('codec', {}).get('input_size', ()))[::-1] if library(config) == 'mmpose' else ()
    choices = [(fixed, fixed)] if fixed else SIZES
    for sizes in choices:
        with _quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            try:
                return _try(_small(config, load_weights), *sizes, load_weights)
            except UserError:
                if sizes == choices[-1]:
                    raise
    raise AssertionError


def _try(
    config: Config, size: tuple[int, int], odd: tuple[int, int], load_weights: bool
) -> tuple[nn.Module, list[str]]:
    model: Any = build_model(config)
    backbone = model.backbone if hasattr(model, 'backbone') else model.image_encoder[0]
    model.init_weights()
    init_default_scope(library(config))
    step = 'a training step'
    try:
        wrapper = build_optim_wrapper(model, config.optim_wrapper) if 'optim_wrapper' in config else None
        model.train()
        for key in ('iter', 'epoch'):
            MessageHub.get_current_instance().update_info(key, 0)
            MessageHub.get_current_instance().update_info(f'max_{key}s', 1)
        samples = [_sample(config, size, seed) for seed in range(2)]
        data = model.data_preprocessor(pseudo_collate(samples), True)
        loss = model.parse_losses(model(**data, mode='loss'))[0]
        if not loss.isfinite():
            raise UserError(f'the loss is {loss.item()} in the first step: the config does not train')
        loss.backward()
        idle = [name for name, p in backbone.named_parameters() if p.requires_grad and p.grad is None]
        if wrapper is not None:
            wrapper.step()
        step = f'a prediction for an image of {odd[0]} x {odd[1]} pixels'
        model.eval()
        with torch.no_grad():
            model.test_step(pseudo_collate([_sample(config, odd, 2)]))
    except UserError:
        raise
    except Exception as error:
        raise UserError(f'{step} fails: {explain(error)}') from error
    return model, idle


def _small(config: Config, load_weights: bool) -> Config:
    """A copy for small images on a CPU, without padding to fixed sizes, mixed precision, data sets and downloads."""
    config = deepcopy(config)
    for node in dicts(config.model):
        if isinstance(node.get('pretrained'), str):
            node['pretrained'] = None
        if node.get('init_cfg') and not (load_weights and _is_ours(node)):
            cfgs = node['init_cfg'] if isinstance(node['init_cfg'], (list, tuple)) else [node['init_cfg']]
            node['init_cfg'] = [cfg for cfg in cfgs if type_name(cfg) != 'Pretrained'] or None
    for owner in (config, config.model):
        preprocessor = owner.get('data_preprocessor')
        if preprocessor:
            for key in ('size', 'batch_augments'):
                if key in preprocessor and library(config) != 'mmpretrain':
                    preprocessor.pop(key)
            if preprocessor.get('test_cfg') and 'size' in preprocessor.test_cfg:
                preprocessor.test_cfg = dict(size_divisor=32)
            if type_name(preprocessor) == 'SegDataPreProcessor' and 'size_divisor' not in preprocessor:
                preprocessor.size_divisor = 32
            steps = config.get('test_dataloader', {}).get('dataset', {}).get('pipeline', ())
            if type_name(preprocessor) == 'DetDataPreprocessor' and 'Pad' in map(type_name, steps):
                preprocessor.pad_size_divisor = max(preprocessor.get('pad_size_divisor', 1), 32)
    wrapper = config.get('optim_wrapper')
    if wrapper and type_name(wrapper).startswith('Amp'):
        wrapper.type = 'OptimWrapper'
        for key in ('loss_scale', 'dtype', 'use_fp16'):
            wrapper.pop(key, None)
    if 'prototype' in config.model:
        # One vector for each image of a gallery.
        config.model.prototype = torch.rand(4, config.model.head.in_channels)
    return config


def _is_ours(node: dict) -> bool:
    return str(node.get('type')).startswith('mlp_backbones.')


def _sample(config: Config, size: tuple[int, int], seed: int) -> dict:
    """A random image with its truth, as the data pipelines of a library give it."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(256, (3, *size), generator=generator, dtype=torch.uint8)
    make = SAMPLES.get(library(config))
    if make is None:
        raise UserError(
            f'a config of {library(config)!r} cannot be tried: there are no random images with truth for '
            f'this library; leave the dry run out'
        )
    return dict(inputs=image, data_samples=make(config, size, generator))


def _classification(config: Config, size: tuple[int, int], generator: torch.Generator) -> Any:
    from mmpretrain.structures import DataSample

    label = torch.randint(_classes(config), (1,), generator=generator)
    return DataSample(metainfo=dict(img_shape=size, ori_shape=size)).set_gt_label(label)


def _segmentation(config: Config, size: tuple[int, int], generator: torch.Generator) -> Any:
    from mmseg.structures import SegDataSample

    meta = dict(
        img_shape=size, ori_shape=size, pad_shape=size, scale_factor=(1.0, 1.0), flip=False, reduce_zero_label=False
    )
    sample = SegDataSample(metainfo=meta)
    labels = torch.randint(_classes(config), (1, *(side // 16 + 1 for side in size)), generator=generator)
    labels = labels.repeat_interleave(16, 1).repeat_interleave(16, 2)[:, : size[0], : size[1]]
    sample.gt_sem_seg = PixelData(data=labels.clone())
    return sample


def _detection(config: Config, size: tuple[int, int], generator: torch.Generator) -> Any:
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    height, width = size
    meta: dict = dict(img_shape=size, ori_shape=size, pad_shape=size, batch_input_shape=size, scale_factor=(1.0, 1.0))
    sample = DetDataSample(metainfo=meta | dict(flip=False, img_id=0, border=[0, height, 0, width]))
    corner = torch.rand(3, 2, generator=generator) * torch.tensor([width / 2, height / 2])
    extent = 24 + torch.rand(3, 2, generator=generator) * torch.tensor([width / 3, height / 3])
    boxes = torch.cat([corner, corner + extent], 1)
    masks = np.zeros((3, height, width), np.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = 1
    labels = torch.randint(_classes(config), (3,), generator=generator)
    sample.gt_instances = InstanceData(bboxes=boxes, labels=labels)
    sample.ignored_instances = InstanceData(bboxes=boxes[:0], labels=labels[:0])
    steps = dicts(config.get('train_dataloader', [dict(with_mask=True)]))
    if any(step.get('with_mask', type_name(step) == 'LoadPanopticAnnotations') for step in steps):
        sample.gt_instances.masks = BitmapMasks(masks, height, width)
        sample.ignored_instances.masks = BitmapMasks(masks[:0], height, width)
    if 'roi_head' in config.model and 'rpn_head' not in config.model:
        sample.proposals = InstanceData(bboxes=boxes.clone(), scores=torch.ones(3))
    scale: Any = next((node['scale_factor'] for node in dicts(config) if type_name(node) == 'SegRescale'), 1)
    stuff = torch.full((1, round(height * scale), round(width * scale)), _classes(config) - 1)
    sample.gt_sem_seg = PixelData(sem_seg=stuff)
    return sample


def _rotated(config: Config, size: tuple[int, int], generator: torch.Generator) -> Any:
    from mmrotate.structures.bbox import RotatedBoxes  # pyright: ignore[reportMissingImports]

    sample = _detection(config, size, generator)
    for instances in (sample.gt_instances, sample.ignored_instances):
        left, top, right, bottom = instances.bboxes.unbind(1)
        turned = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top, torch.full_like(left, 0.3))
        instances.bboxes = RotatedBoxes(torch.stack(turned, 1))
    return sample


def _pose(config: Config, size: tuple[int, int], generator: torch.Generator) -> Any:
    from mmpose.testing import get_packed_inputs  # pyright: ignore[reportMissingImports]

    codec = config.codec
    heatmap = codec.get('heatmap_size') or [side // 4 for side in codec.input_size]
    packed = get_packed_inputs(
        batch_size=1,
        num_keypoints=config.model.head.out_channels,
        img_shape=size,
        input_size=codec.input_size,
        heatmap_size=heatmap,
        simcc_split_ratio=codec.get('simcc_split_ratio', 2.0),
    )
    return packed['data_samples'][0]


SAMPLES = dict(mmpose=_pose, mmdet=_detection, mmrotate=_rotated, mmseg=_segmentation, mmpretrain=_classification)


def _classes(config: Config) -> int:
    """The smallest number of classes of any head."""
    found = [
        node[key]
        for node in dicts(config.model)
        for key in ('num_classes', 'num_things_classes')
        if isinstance(node.get(key), int) and node[key] > 0
    ]
    return min(found, default=2)


class _RatesOnCPU(TorchFunctionMode):
    """Keeps ``torch.linspace`` on the CPU: backbones read drop path rates from it, and meta tensors have no values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}) | (dict(device='cpu') if func is torch.linspace else {}))


@contextmanager
def _quiet() -> Iterator[None]:
    """Neither warnings nor log lines: they are about a model that is thrown away."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('ERROR')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logger.setLevel(level)
