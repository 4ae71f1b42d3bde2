"""The contestants of each comparison."""

import copy
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData
from torch import nn

import mlp_backbones as mb
from mlp_backbones.apis import load_config
from mlp_backbones.errors import UserError

from .measure import Step
from .naive import bound, naive
from .operators import OPERATORS, Operator, operators

CONFIGS = Path(__file__).parents[1] / 'configs'
DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16}

# Alternatives of 20 to 28 million parameters, with the outputs of all four stages and, like ours, without stochastic
# depth.
ALTERNATIVES = {
    'resnet50': dict(type='mmdet.ResNet', depth=50, out_indices=(0, 1, 2, 3), norm_eval=False),
    'swin_tiny': dict(type='mmdet.SwinTransformer', embed_dims=96, depths=(2, 2, 6, 2), drop_path_rate=0.0),
    'poolformer_s24': dict(type='mmpretrain.PoolFormer', arch='s24', out_indices=(0, 2, 4, 6), frozen_stages=-1),
    'convnext_tiny': dict(
        type='mmpretrain.ConvNeXt', arch='tiny', out_indices=(0, 1, 2, 3), gap_before_final_norm=False
    ),
}
NETWORKS = (
    *('cyclemlp_b1', 'asmlp_tiny', 'hiremlp_tiny', 'convmlp_s'),
    *('wavemlp_t', 'swinmlp_tiny_c12', 'visionpermutator_s7', 'mlpmixer_s16', 'sparsemlp_s'),
    *('activemlp_tiny', 'cmt_xs', 'gmlp_s16', 'msmlp_tiny', 'raftmlp_s', 'ramlp_tiny', 'resmlp_s12'),
    *('shiftvit_t_light', 'spiralmlp_b1'),
)


@dataclass(frozen=True)
class Row:
    """The input of one comparison.

    Attributes:
        mode: 'infer' or 'train'.
        precision: a key of :data:`DTYPES`; below fp32 by autocast.
        size: (H, W) of the images, in pixels.
        batch: number of images.
    """

    mode: str
    precision: str
    size: tuple[int, int]
    batch: int

    def autocast(self, device: str):
        dtype = DTYPES[self.precision]
        return nullcontext() if dtype == torch.float32 else torch.autocast(device, dtype)


@dataclass(frozen=True)
class Contestant:
    """One implementation of a model.

    Attributes:
        model: the model, e.g. 'cyclemlp_b1'.
        kind: 'ours', 'ours_fused', 'naive', 'bound' or 'alternative'.
        prepare: maps the row and a device to the call to measure.
        params: number of parameters.
        counted: whether torch can count its MACs, which then hold for all contestants of the model.
    """

    model: str
    kind: str
    prepare: Callable[[Row, str], Step]
    params: int
    counted: bool = False

    def takes_part(self, mode: str) -> bool:
        # A fused network serves only inference.
        return mode == 'infer' or self.kind != 'ours_fused'


@dataclass(frozen=True)
class Suite:
    """A set of contestants and the default settings of its measurement.

    Attributes:
        contestants: maps names of models and a device to groups of contestants, each timed in turn.
        models: the default.
        known: all models.
        sizes: the default (H, W), in pixels.
        batches: the default batch sizes by device.
        precisions: all precisions; the first one is the default.
    """

    contestants: Callable[[list[str], str], Iterator[list[Contestant]]]
    models: tuple[str, ...]
    known: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    batches: dict[str, tuple[int, ...]]
    precisions: tuple[str, ...] = tuple(DTYPES)


def network_contestants(models: list[str], device: str) -> Iterator[list[Contestant]]:
    """Yield all networks in one group, so that any two compare; networks of missing libraries are left out."""
    group = []
    for model in models:
        versions = network_versions(build_network(model).to(device))
        for kind, net in versions.items():
            group.append(Contestant(model, kind, partial(network_step, net), _params(net), kind == 'ours'))
    for model in installed_alternatives():
        net = build_network(model).to(device)
        group.append(Contestant(model, 'alternative', partial(network_step, net), _params(net), counted=True))
    yield group


def installed_alternatives() -> list[str]:
    return [model for model, cfg in ALTERNATIVES.items() if find_spec(cfg['type'].partition('.')[0])]


def build_network(model: str) -> nn.Module:
    """Build a variant or an alternative, in eval mode, without stochastic depth, with the same random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        is_ours = model not in ALTERNATIVES
        net = mb.build_backbone(model, drop_path_rate=0.0) if is_ours else MODELS.build(ALTERNATIVES[model])
    net.eval()  # mmdet's returns None
    return net


def engine_contestants(models: list[str], device: str) -> Iterator[list[Contestant]]:
    """Yield none: :mod:`benchmarks.engines` measures in processes of their own."""
    yield from ()


def network_versions(ours: mb.backbones.MLPBackbone) -> dict[str, nn.Module]:
    """Return ours, fused, naive and, where there is one, the bound, with the same weights."""
    versions = {'ours': ours, 'ours_fused': copy.deepcopy(ours).fuse(), 'naive': naive(ours)}
    still = bound(ours)
    return versions if still is None else {**versions, 'bound': still}


def network_step(net: nn.Module, row: Row, device: str) -> Step:
    """Return the call to measure: the outputs of a network, or a training step."""
    if device == 'meta':
        net = copy.deepcopy(net).to(device)
    net.train(row.mode == 'train')
    images = torch.rand(row.batch, 3, *row.size, device=device)

    def infer() -> None:
        with torch.inference_mode(), row.autocast(device):
            net(images)

    def train() -> None:
        with row.autocast(device):
            outputs = net(images)
        sum(out.float().square().mean() for out in outputs).backward()
        net.zero_grad()

    return train if row.mode == 'train' else infer


def operator_contestants(models: list[str], device: str) -> Iterator[list[Contestant]]:
    """Yield a group per operator, axis and stage, on the maps of the smallest variant of its family."""
    for model in models:
        for name, operator in operators(model):
            params = sum(w.numel() for w in operator.weights)
            yield [
                # A custom operator has MACs that torch does not count.
                Contestant(name, kind, partial(_operator_step, operator, kind), params, params > 0 and kind == 'bound')
                for kind in operator.versions
            ]


def _operator_step(operator: Operator, kind: str, row: Row, device: str) -> Step:
    function = operator.versions[kind]
    inputs = operator.inputs(row.size, row.batch, DTYPES[row.precision], device)
    inputs = [tensor.detach().requires_grad_(row.mode == 'train') for tensor in inputs]
    grad = torch.ones_like(inputs[0])

    def infer() -> None:
        with torch.inference_mode():
            function(*inputs)

    def train() -> None:
        torch.autograd.grad(function(*inputs), inputs, grad)

    return train if row.mode == 'train' else infer


def detector_contestants(models: list[str], device: str) -> Iterator[list[Contestant]]:
    """Yield Mask R-CNN of configs/ with each model, and mmdet's own with ResNet-50 as its config trains it."""
    if find_spec('mmdet') is None:
        raise UserError('--suite detectors: mmdet is not installed; install it, or measure another suite')
    group = []
    for model in models:
        net = mb.build_backbone(model, drop_path_rate=0.0)
        config = load_config('cyclemlp_maskrcnn_coco', CONFIGS).model
        config.neck.in_channels = list(net.out_channels)
        detector = _detector(config)
        for kind, backbone in network_versions(net).items():
            if kind != 'bound':
                whole = copy.deepcopy(detector)
                whole.backbone = backbone
                whole.to(device)
                group.append(Contestant(model, kind, partial(_detector_step, whole), _params(whole)))
    config = Config.fromstring("_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'", '.py').model
    detector = _detector(config).to(device)
    group.append(Contestant('resnet50', 'alternative', partial(_detector_step, detector), _params(detector)))
    yield group


def _detector(config: ConfigDict) -> nn.Module:
    # A measurement of speed downloads no weights.
    config.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmdet'):
        detector = MODELS.build(config)
    # An untrained detector finds nothing. With this bias it finds the maximum number of objects, with masks.
    detector.roi_head.bbox_head.fc_cls.bias.data[0] = 4
    return detector


def _detector_step(detector: nn.Module, row: Row, device: str) -> Step:
    training = row.mode == 'train'
    batch = detector.train(training).data_preprocessor(_scenes(row), training)

    def infer() -> None:
        with torch.inference_mode(), row.autocast(device):
            detector(**batch, mode='predict')

    def train() -> None:
        with row.autocast(device):
            losses = detector(**batch, mode='loss')
        detector.parse_losses(losses)[0].backward()
        detector.zero_grad()

    return train if training else infer


def _scenes(row: Row) -> dict[str, list]:
    """Return images of noise with eight objects each, half as wide and high as the image."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    height, width = row.size
    corners = [(y * height // 8, x * width // 4) for y in (0, 4) for x in (0, 1, 2, 2)]
    boxes = torch.tensor([[x, y, x + width // 2, y + height // 2] for y, x in corners], dtype=torch.float32)
    masks = np.zeros((len(corners), height, width), np.uint8)
    for mask, (y, x) in zip(masks, corners, strict=True):
        mask[y : y + height // 2, x : x + width // 2] = 1
    images, samples = [], []
    for _ in range(row.batch):
        images.append(torch.randint(0, 256, (3, height, width), dtype=torch.uint8))
        meta = dict(img_shape=row.size, ori_shape=row.size, pad_shape=row.size, scale_factor=(1.0, 1.0))
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = InstanceData(
            bboxes=boxes, labels=torch.arange(len(boxes)), masks=BitmapMasks(masks, height, width)
        )
        sample.ignored_instances = InstanceData(bboxes=boxes[:0], labels=torch.zeros(0, dtype=torch.long))
        samples.append(sample)
    return dict(inputs=images, data_samples=samples)


def _params(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


SIZES = ((224, 224), (512, 512), (512, 2048), (800, 1216))
BATCHES = {'cpu': (1, 2), 'cuda': (2, 16)}
SUITES = {
    'ops': Suite(operator_contestants, tuple(OPERATORS), tuple(OPERATORS), (SIZES[0], SIZES[3]), BATCHES),
    'backbones': Suite(network_contestants, NETWORKS, tuple(mb.list_backbones()), SIZES, BATCHES),
    'detectors': Suite(
        detector_contestants,
        models=('cyclemlp_b2',),
        known=tuple(mb.list_backbones()),
        sizes=SIZES[3:],
        batches={'cpu': (1,), 'cuda': (1,)},
        # mmcv's operators on regions do not support bfloat16.
        precisions=('fp32',),
    ),
    'engines': Suite(
        engine_contestants,
        models=(*NETWORKS[:4], *ALTERNATIVES),
        known=(*mb.list_backbones(), *ALTERNATIVES),
        sizes=SIZES[1:2],
        batches={'cpu': (1,), 'cuda': (1,)},
        precisions=('fp32', 'bf16', 'int8'),
    ),
}
