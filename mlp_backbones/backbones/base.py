"""What all families share: one template of stem, stages and output norms, and the ways a user runs a backbone."""

import re
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from inspect import Signature, signature
from itertools import count, islice
from typing import Any, ClassVar, cast

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from ..checkpoints.incoming import convert_incoming, finish_incoming
from ..checkpoints.weights import Weights
from ..compat import autocast_dtype, is_compiling, log_untested
from ..errors import printable
from ..layers import DropPath, GlobalAverage, Mlp, Neck
from ..ops import active_backends, align_gradient, contiguous, fx_leaf, is_transformed, memory_format
from .arguments import PUBLISHED_INIT, check_call, check_names, check_template, resolve_arch, resolve_init_cfg
from .dilation import check_output_stride, hold_stride
from .hub import HubMixin
from .published import PublishedNames


class Block(nn.Module):
    """``x + DP(mixer(norm1(x)))``, then ``x + DP(mlp(norm2(x)))``; a family differs in its mixer and norm.

    Args:
        channels: width of the block.
        mixer: the token mixer, ``[B, C, H, W]`` to the same shape.
        norm: makes a norm layer from the number of channels.
        mlp_ratio: hidden width of the channel MLP, as a multiple of ``channels``.
        drop_path: probability of a branch being dropped in training.
    """

    def __init__(
        self, channels: int, mixer: nn.Module, norm: Callable[[int], nn.Module], mlp_ratio: float, drop_path: float
    ):
        super().__init__()
        self.norm1 = norm(channels)
        self.mixer = mixer
        self.norm2 = norm(channels)
        self.mlp = Mlp(channels, int(channels * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.mixer(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class Stage(nn.Module):
    """Downsampling, where there is one, then blocks.

    Args:
        blocks: the blocks, in order.
        downsample: runs before the blocks. Default None.
        with_cp: recompute each block in the backward pass instead of keeping what is inside. Default False.
    """

    def __init__(self, blocks: Sequence[nn.Module], downsample: nn.Module | None = None, with_cp: bool = False):
        super().__init__()
        self.downsample = downsample or nn.Identity()
        self.blocks = nn.ModuleList(blocks)
        self.with_cp = with_cp

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self.downsample(x))

    def run(self, x: Tensor, *shared: Tensor) -> Tensor:
        """Run the blocks, each on the result of the block before it and on what all of them share."""
        for block in self.blocks:
            x = self.run_block(block, x, *shared)
        return x

    def run_block(self, block: nn.Module, x: Tensor, *others: Any) -> Tensor:
        """Call a block, which is recomputed in the backward pass where ``with_cp`` asks for it."""
        # Transforms take no checkpoints, and torch.fx would record none.
        captured = is_transformed() or isinstance(x, torch.fx.Proxy)
        if not self.with_cp or not torch.is_grad_enabled() or captured:
            return block(x, *others)
        # A compiled graph leaves the state of the block alone by itself, and takes no such contexts.
        options: Any = {} if is_compiling() else dict(context_fn=partial(_checkpoint_contexts, block))
        return cast(Tensor, checkpoint(block, x, *others, use_reentrant=False, **options))


def _checkpoint_contexts(block: nn.Module) -> tuple[AbstractContextManager, AbstractContextManager]:
    return nullcontext(), _RestoreState(block)


class _RestoreState:
    """Lets the recomputation of a block leave no traces: its batch counts in running statistics once.

    One of them is entered in each backward pass through the same graph.
    """

    def __init__(self, block: nn.Module):
        self.block = block

    def __enter__(self) -> None:
        self.kept = [(module, dict(vars(module)), dict(module._buffers)) for module in self.block.modules()]
        for module, _, buffers in self.kept:
            module._buffers.update({name: b if b is None else b.clone() for name, b in buffers.items()})

    def __exit__(self, *error: object) -> None:
        for module, attributes, buffers in self.kept:
            vars(module).update(attributes)
            module._buffers.update(buffers)
        del self.kept


@cache
def _log_backends(device: str, operators: tuple[str, ...]) -> None:
    chosen = ', '.join(
        f'{op} {implementation}' for op, implementation in active_backends(device).items() if op in operators
    )
    print_log(
        f'mlp_backbones on {device} runs its operators as: {chosen} (mlp_backbones.ops.active_backends)',
        logger='current',
    )


@fx_leaf
def _check_image(x: Tensor, family: str, channels: int, operators: tuple[str, ...]) -> None:
    if x.ndim != 4 or x.shape[1] != channels:
        raise ValueError(
            f'{family} takes images [B, {channels}, H, W], got {list(x.shape)}; '
            f'set in_channels for images of another kind'
        )
    if not x.is_floating_point():
        raise ValueError(f'{family} takes images of floating-point numbers, got {x.dtype}: normalise them first')
    if is_compiling():
        return
    log_untested()
    if operators:
        _log_backends(x.device.type, operators)


_memory_format = fx_leaf(memory_format)


@fx_leaf
def _inner_format(x: Tensor, usual: torch.memory_format, cpu_format: torch.memory_format | None) -> torch.memory_format:
    """Return the memory format to compute in.

    ``cpu_format`` is channels_last in networks with GroupNorm, which torch computes in it on a CPU only. There it is
    faster without gradients and in half precision; training in fp32 is as fast without it, and more exact.
    """
    half = x.dtype != torch.float64 and (autocast_dtype(x.device.type) or x.dtype).itemsize < 4
    return cpu_format if cpu_format and x.is_cpu and (half or not torch.is_grad_enabled()) else usual


class CheckedCall(type(BaseModule)):
    """Calls a class only with arguments that it can take: Python's own errors do not say what to write instead."""

    def __call__(cls, *args: Any, **kwargs: Any) -> 'MLPBackbone':
        check_call(cls, args, kwargs)
        return super().__call__(*args, **kwargs)

    @property
    def __signature__(cls) -> Signature:
        # Else ``help`` would show the one of __call__.
        return Signature([*signature(cls.__init__).parameters.values()][1:])


class MLPBackbone(HubMixin, BaseModule, metaclass=CheckedCall):
    """A vision MLP: any image ``[B, C, H, W]`` to a tuple of maps, one for each of ``out_indices``.

    Output ``i``, of stage ``i``, is ``[B, out_channels, ~H / out_strides, ~W / out_strides]``, at least 1x1 and within
    one of the exact quotient. Stages beyond the last one in ``out_indices`` are not built, so that no parameter is ever
    without a gradient.

    A family gives its table of ``variants`` and the three ``make_*`` methods, and may override ``init_layer``. In a
    network of one scale every block is a stage.

    No size needs to divide by anything: detectors may use ``pad_size_divisor=1``, with which an image in a batch of its
    own gets the numbers of the unpadded image. In a batch that pads it to a common size it gets others, in every
    family: each one says why, and how far from the padding. Images of one size do not see each other (in eval mode).

    Args:
        arch: name of a published variant, or a dict of one's own with the keys of ``variants``.
        in_channels: channels of the image. Default 3.
        out_indices: which stages to return, counted from 0, in rising order. Default None: all four; of more than four
            every quarter's last.
        drop_path_rate: stochastic depth of the last block; it rises linearly from 0 at the first. Default 0.
        frozen_stages: -1 freezes nothing, 0 the stem, ``i`` the stem and the first ``i`` stages with their output
            norms, as in mmdet's Swin (mmpretrain's counts from the first stage instead). Frozen parts get no
            gradient and stay in eval mode. Default -1.
        norm_eval: keep BatchNorms in eval mode while training; other norms have no running statistics. Default False.
        with_cp: recompute blocks in the backward pass to save memory. Default False.
        out_norm: give each output a norm of its own, as the published dense networks do. Default True.
        init_cfg: mmengine's initialisation config. ``dict(type='Pretrained', checkpoint=FILE_OR_URL, prefix=None,
            ema=False, adapt_channels=False)`` goes through :func:`mlp_backbones.checkpoints.load_published`, when
            ``init_weights()`` is called, as mmengine does before training. Default None: the paper's initialisation.
        output_stride: coarsest stride of the outputs, 8, 16 or 32, for families whose ``dilates`` is True. Transitions
            that would exceed it lose their stride, and what follows is dilated, as in DeepLab (arXiv 1706.05587) and
            mmseg's ResNet-d8; weights stay the same. Default None: the strides of the published network.

    Attributes:
        out_channels: width of each output.
        out_strides: stride of each output, in pixels of the image.

    Raises:
        ValueError: if an argument has a wrong value; the sentence names the argument, the value and what is allowed.
            If there is no such argument, as for those of other libraries; the sentence says what to write instead.
    """

    variants: ClassVar[dict[str, dict]]
    arch_defaults: ClassVar[dict] = {}
    min_depth: ClassVar[int] = 1  # of a stage, in blocks
    renamed_arch_keys: ClassVar[dict[str, str]] = {}  # keys of saved configs, and their present names
    published_names: ClassVar[PublishedNames | None] = None  # None: no weights were published
    dilates: ClassVar[bool] = False  # whether output_stride may be set; a fixed grid cannot be dilated
    published_weights: ClassVar[tuple[Weights, ...]] = ()
    constant_drop_path: ClassVar[bool] = False  # whether stochastic depth has one rate for all blocks
    classifier_norm: ClassVar[bool] = True  # whether a classifier has the norm of its last output
    operators: tuple[str, ...] = ()  # those of mlp_backbones.ops.active_backends that the family runs
    # channels_last where LayerNorm runs over channels, which lie side by side in it.
    memory_format: ClassVar[torch.memory_format] = torch.contiguous_format
    cpu_format: ClassVar[torch.memory_format | None] = None  # in place of it on a CPU, where `_inner_format` says

    def __init__(
        self,
        arch: str | dict,
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        out_norm: bool = True,
        init_cfg: dict | list[dict] | None = None,
        output_stride: int | None = None,
        **unknown: Any,
    ):
        check_names(type(self), unknown)
        self.arch_name, self.arch = resolve_arch(type(self), arch)
        self.strides = self.stage_strides(self.arch)
        num_stages = len(self.strides)
        if out_indices is None:
            out_indices = sorted({max(num_stages * quarter // 4, 1) - 1 for quarter in (1, 2, 3, 4)})
        check_template(
            len(self.strides),
            in_channels,
            out_indices,
            drop_path_rate,
            frozen_stages,
            norm_eval=norm_eval,
            with_cp=with_cp,
            out_norm=out_norm,
        )
        check_output_stride(type(self), output_stride)
        super().__init__(init_cfg=resolve_init_cfg(init_cfg))
        self._awaits_weights = any(cfg['type'] == PUBLISHED_INIT for cfg in self.init_cfg or ())

        self.in_channels = in_channels
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.fused = False
        channels = self.stage_channels()
        self.out_channels = tuple(channels[i] for i in self.out_indices)
        coarsest = output_stride or max(self.strides)
        self.out_strides = tuple(min(self.strides[i], coarsest) for i in self.out_indices)

        self.stem = self.make_stem(in_channels)
        drop_paths = self.drop_path_rates(drop_path_rate)
        self.stages = nn.ModuleList(self.make_stage(i, drop_paths[i], with_cp) for i in range(self.out_indices[-1] + 1))
        if output_stride is not None:
            hold_stride(self.stages, self.strides[0], output_stride)
        out_norms = {str(i): self.make_out_norm(channels[i]) for i in self.out_indices} if out_norm else {}
        self.out_norms = nn.ModuleDict(out_norms)
        # On the meta device there is nothing to fill, and torch takes seconds to do so.
        if not any(parameter.is_meta for parameter in self.parameters()):
            self.apply(self.init_layer)
        for module in self.modules():
            # Convolutions copy weights that lie otherwise than their input, at every call; point-wise and depth-wise
            # ones lie in both formats.
            if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1) and module.groups == 1:
                module.to(memory_format=self.memory_format)  # pyright: ignore[reportCallIssue]
        for part in self._frozen_parts():
            part.requires_grad_(False)
        self.train()

    def make_stem(self, in_channels: int) -> nn.Module:
        """Image to the input of stage 0."""
        raise NotImplementedError

    def make_stage(self, index: int, drop_paths: list[float], with_cp: bool) -> nn.Module:
        """Stage ``index``, from the result of the stage before it; its result is dense output ``index``."""
        raise NotImplementedError

    def make_out_norm(self, channels: int) -> nn.Module:
        """The norm of one dense output."""
        raise NotImplementedError

    def make_neck(self) -> Neck:
        """The part of a classifier between the last output and the linear layer."""
        return GlobalAverage(self.out_channels[-1])

    @staticmethod
    def init_layer(layer: nn.Module) -> None:
        """Initialises one layer as the paper does; by default as torch does."""

    @classmethod
    def stage_strides(cls, arch: dict) -> tuple[int, ...]:
        """Stride of each dense output, in pixels of the image."""
        return (4, 8, 16, 32)

    def stage_channels(self) -> tuple[int, ...]:
        """Width of each dense output."""
        return tuple(self.arch['dims'])

    def stage_depths(self) -> tuple[int, ...]:
        """Number of blocks in each stage."""
        return tuple(self.arch['depths'])

    def drop_path_rates(self, rate: float) -> list[list[float]]:
        """Stochastic depth of every block by stage: linear from 0 to ``rate`` over the whole network, or constant."""
        depths = self.stage_depths()
        if self.constant_drop_path:
            return [[rate] * depth for depth in depths]
        rates = (rate * k / max(sum(depths) - 1, 1) for k in count())
        return [list(islice(rates, depth)) for depth in depths]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps an image ``[B, in_channels, H, W]`` of any size from 1x1 to the outputs, each ``[B, C_i, H_i, W_i]``.

        The outputs are contiguous, or in ``torch.channels_last`` where the image is.
        """
        _check_image(x, type(self).__name__, self.in_channels, self.operators)
        if not is_compiling():
            self._warn_of_missing_weights()
        layout = _memory_format(x)
        x = self.stem(contiguous(x, _inner_format(x, self.memory_format, self.cpu_format)))
        outputs = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in self.out_indices:
                if not self.out_norms:
                    outputs.append(contiguous(x, layout))
                    continue
                out_norm = self.out_norms[str(i)]
                # torch's BatchNorm is several times slower in channels_last on a CPU.
                y = contiguous(x, layout) if isinstance(out_norm, _BatchNorm) else x
                y = contiguous(out_norm(y), layout)
                outputs.append(align_gradient(y) if isinstance(out_norm, _BatchNorm) else y)
        return tuple(outputs)

    @property
    def feature_info(self) -> list[dict[str, Any]]:
        """What timm says of each output, by its keys ``num_chs``, ``reduction`` (the stride) and ``module``."""
        parts = 'out_norms' if self.out_norms else 'stages'
        outputs = zip(self.out_indices, self.out_channels, self.out_strides, strict=True)
        return [dict(num_chs=width, reduction=stride, module=f'{parts}.{i}') for i, width, stride in outputs]

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter for layer-wise learning rates, as in mmpretrain: the stem is layer 0, blocks count on.

        What lies between blocks counts as the block after it; output norms and all that is not of the backbone are
        the last layer.

        Args:
            param_name: name of the parameter, with its prefix.
            prefix: what the backbone's parameters begin with, e.g. ``'backbone.'``. Default ''.

        Returns:
            (depth of the layer, number of layers).

        Raises:
            ValueError: if the backbone has no such parameter.
        """
        blocks, depths = [], {}
        for name, _ in self.named_parameters():
            block = re.match(r'stages\..*?blocks\.\d+\.', name)
            if block and block[0] not in blocks:
                blocks.append(block[0])
            depths[name] = 0 if name.startswith('stem.') else len(blocks) + (block is None)
        num_layers = len(blocks) + 2
        if not param_name.startswith(prefix):
            return num_layers - 1, num_layers
        name = param_name.removeprefix(prefix)
        if name not in depths:
            raise ValueError(f'param_name={param_name!r} is not a parameter of this {type(self).__name__}')
        return depths[name], num_layers

    @torch.no_grad()
    def fuse(self) -> 'MLPBackbone':
        """Folds BatchNorms into the convolutions beside them, in place: the same numbers, faster, for inference only.

        Families of other norms have none to fold. Load weights before: fused ones have other names and values. Layers
        that have hooks, are parametrized or were replaced stay as they are, with the norms beside them; hooks that are
        added afterwards see the layers of the fused network. A second call changes nothing.

        Returns:
            the backbone itself, in eval mode; to train it from then on is an error.
        """
        if self.fused:
            return self
        self.eval()
        self.requires_grad_(False)
        for part in [*self.modules()]:
            fuse = getattr(part, 'fuse', None)
            if part is not self and fuse is not None:
                fuse()
        self.fused = True
        return self

    def train(self, mode: bool = True) -> 'MLPBackbone':
        if mode and self.fused:
            raise RuntimeError(f'this {type(self).__name__} was fused for inference and cannot train: build it anew')
        super().train(mode)
        for part in self._frozen_parts():
            part.eval()
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _frozen_parts(self) -> list[nn.Module]:
        parts = [self.stem] if self.frozen_stages >= 0 else []
        parts += self.stages[: max(self.frozen_stages, 0)]
        parts += [norm for i, norm in self.out_norms.items() if int(i) < self.frozen_stages]
        return parts

    def _warn_of_missing_weights(self) -> None:
        """Warn once where ``init_cfg`` names a file that nothing loaded."""
        if self._awaits_weights:
            self._awaits_weights = False
            init_cfg: Any = self.init_cfg
            warnings.warn(
                f'this {type(self).__name__} runs with random weights: its init_cfg names the file '
                f'{printable(init_cfg[-1]["checkpoint"], 500)}, which init_weights() loads; call it once',
                stacklevel=3,
            )

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        """Convert published names, and log tensors that do not make a whole stem and stages; mmengine would go on."""
        convert_incoming(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)
        if finish_incoming(self, state_dict, prefix):
            self._awaits_weights = False
