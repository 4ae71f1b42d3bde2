"""Sparse-MLP: Mixer whose last blocks mix by experts, of which each token takes a few. Source: arXiv 2109.02008."""

import logging
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn import functional as F

from ..compat import is_compiling
from ..layers import DropPath, Mlp
from ..ops import fx_leaf, gelu, is_exporting, is_transformed, on_native_grid
from ..ops.tensors import gelu_
from ..registry import register_family
from .arguments import check
from .base import Stage
from .mlpmixer import MLPMixer, Norm
from .published import PublishedNames

BLOCK = 256  # vectors that an expert maps at once in compiled graphs


class Gate(nn.Linear):
    """A linear map in at least float32, whatever autocast says.

    A vector between two experts shall not go to the other one for the rounding of half precision.
    """

    def forward(self, x: Tensor) -> Tensor:
        return _exact_linear(x, self.weight)


@fx_leaf
def _exact_linear(x: Tensor, weight: Tensor) -> Tensor:
    with nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False):
        exact = torch.promote_types(x.dtype, torch.float32)
        return F.linear(x.to(exact), weight.to(exact))


class Experts(nn.Module):
    """A mixture of MLPs: each vector goes to the experts that a gate finds best (section 3.1).

    ``y = sum over the top k experts e of softmax(gate(x) + noise)[e] * expert_e(x)``; the noise, of std 1 / N, is there
    in training alone.

    Args:
        width: length of the vectors.
        hidden: width inside an expert.
        num_experts: N.
        top_k: experts for each vector, at most N.
    """

    def __init__(self, width: int, hidden: int, num_experts: int, top_k: int):
        super().__init__()
        self.top_k = top_k
        self.gate = Gate(width, num_experts, bias=False)
        # In one parameter for all experts, none is without a gradient when an expert gets no vector.
        self.fc1 = nn.Parameter(torch.empty(num_experts, hidden, width))
        self.bias1 = nn.Parameter(torch.zeros(num_experts, hidden))
        self.fc2 = nn.Parameter(torch.empty(num_experts, width, hidden))
        self.bias2 = nn.Parameter(torch.zeros(num_experts, width))
        for weight in (self.gate.weight, self.fc1, self.fc2):
            nn.init.trunc_normal_(weight, std=weight.shape[-1] ** -0.5)
        self.imbalance: Tensor | None = None

    def __getstate__(self) -> dict:
        # A tensor of a graph can be neither copied nor pickled.
        return {**self.__dict__, 'imbalance': None}

    def forward(self, x: Tensor) -> Tensor:
        """Maps vectors ``[N, width]`` to ``[N, width]``; in training ``imbalance`` then holds the auxiliary loss."""
        logits = self.gate(x)
        noisy = logits + torch.randn_like(logits) / logits.shape[1] if self.training else logits
        gates = noisy.softmax(1)
        weights, chosen = gates.topk(self.top_k, 1)
        if self.training and isinstance(x, torch.fx.Proxy):
            raise RuntimeError('torch.fx cannot trace the auxiliary loss of SparseMLP: call eval() on the network')
        if self.training:
            self.imbalance = _imbalance(logits, noisy, gates, self.top_k)
        weights = weights.to(x.dtype)
        parameters = self.fc1, self.bias1, self.fc2, self.bias2
        if is_exporting() or is_transformed():
            return self._all_experts(x, torch.zeros_like(gates, dtype=x.dtype).scatter(1, chosen, weights))
        if is_compiling():
            return _experts_of_blocks(x, weights, chosen, *parameters)
        return _chosen_experts(x, weights, chosen, *parameters)

    def _all_experts(self, x: Tensor, weights: Tensor) -> Tensor:
        """The same numbers without choices: every expert maps every vector."""
        hidden = gelu(torch.einsum('nc,ehc->enh', x, self.fc1) + self.bias1[:, None])
        mapped = torch.einsum('enh,ech->enc', hidden, self.fc2) + self.bias2[:, None]
        return torch.einsum('enc,ne->nc', mapped, weights)


def _experts_of_blocks(x: Tensor, weights: Tensor, chosen: Tensor, *parameters: Tensor) -> Tensor:
    """Sparse dispatch in a graph, whose sizes cannot depend on choices.

    The vectors of each expert fill whole blocks, the last of which zeros complete. However the vectors are divided, no
    more than ``len(x) * top_k // BLOCK`` blocks and one for each expert are needed.
    """
    num_experts, choice = len(parameters[0]), chosen.flatten()
    order = choice.argsort(stable=True)
    owner = choice[order]
    counts = (choice[:, None] == torch.arange(num_experts, device=x.device)).sum(0)
    blocks = (counts + BLOCK - 1) // BLOCK
    last = blocks.cumsum(0)
    # What blocks before those of an expert have in excess moves its vectors on.
    excess = (last - blocks) * BLOCK - (counts.cumsum(0) - counts)
    place = torch.arange(len(choice), device=x.device) + excess[owner]
    total = len(choice) // BLOCK + num_experts
    rows = x.new_zeros(total * BLOCK, x.shape[1]).index_copy(0, place, x[order // chosen.shape[1]])
    expert = (torch.arange(total, device=x.device)[:, None] >= last).sum(1).clamp(max=num_experts - 1)
    w1, b1, w2, b2 = [parameter[expert] for parameter in parameters]
    hidden = gelu(torch.bmm(rows.view(total, BLOCK, x.shape[1]), w1.transpose(1, 2)) + b1[:, None])
    mapped = (torch.bmm(hidden, w2.transpose(1, 2)) + b2[:, None]).flatten(0, 1)[place]
    y = torch.empty_like(mapped).index_copy(0, order, mapped)
    return (y.view(*chosen.shape, x.shape[1]) * weights[:, :, None]).sum(1)


@fx_leaf
def _chosen_experts(x: Tensor, weights: Tensor, chosen: Tensor, *parameters: Tensor) -> Tensor:
    """Sparse dispatch: every expert maps the vectors that chose it, and no others."""
    (_, top_k), num_experts = weights.shape, len(parameters[0])
    choice = chosen.flatten()
    order = choice.argsort(stable=True)
    if torch.jit.is_tracing():
        # Counts would be numbers in the graph, which are those of one image.
        parts = [x[(choice == expert).nonzero().squeeze(1) // top_k] for expert in range(num_experts)]
    elif choice.is_meta:
        # No vector has values where MACs are counted; whichever experts map them, the sum is the same.
        parts = x[order // top_k].split([len(choice)] + [0] * (num_experts - 1))
    else:
        parts = x[order // top_k].split(choice.bincount(minlength=num_experts).tolist())
    experts = zip(parts, *parameters, strict=True)
    mapped = torch.cat([F.linear(gelu_(F.linear(part, w1, b1)), w2, b2) for part, w1, b1, w2, b2 in experts])
    # Every place is written once, so that the sum is the same in every run.
    y = torch.empty_like(mapped).index_copy(0, order, mapped)
    return (y.view(-1, top_k, x.shape[1]) * weights[:, :, None]).sum(1)


def _imbalance(logits: Tensor, noisy: Tensor, gates: Tensor, top_k: int) -> Tensor:
    """Half importance, half load, each the squared coefficient of variation over the experts (section 3.2).

    Load is the probability of an expert to be among the chosen ones if its noise were drawn anew, as in V-MoE, arXiv
    2106.05974, appendix A.
    """
    importance = gates.sum(0)
    threshold = noisy.topk(top_k, 1).values[:, -1:]
    margin = (logits - threshold) * logits.shape[1]
    load = torch.special.ndtr(margin).sum(0)
    # Without vectors both are zero, and so is the loss.
    tiny = torch.finfo(load.dtype).tiny
    variations = [part.var(correction=0) / part.mean().square().clamp_min(tiny) for part in (importance, load)]
    return torch.stack(variations).mean()


class Represent(nn.Module):
    """Norm, positions to ``tokens_out``, GELU, norm, channels to ``channels_out``, GELU, or channels first.

    Args:
        tokens: length of the input.
        channels: width of the input.
        tokens_out: length of the output.
        channels_out: width of the output.
        channels_first: the order of the two maps.
    """

    def __init__(self, tokens: int, channels: int, tokens_out: int, channels_out: int, channels_first: bool):
        super().__init__()
        self.channels_first = channels_first
        self.norm1 = Norm(channels)
        self.norm2 = Norm(channels_out if channels_first else channels)
        self.tokens = nn.Conv2d(tokens, tokens_out, 1)
        self.channels = nn.Conv2d(channels, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[B, C, S, 1]`` to ``[B, C', S', 1]``."""
        first, second = (self._channels, self._tokens) if self.channels_first else (self._tokens, self._channels)
        return second(self.norm2(first(self.norm1(x))))

    def _tokens(self, x: Tensor) -> Tensor:
        return gelu(self.tokens(x.transpose(1, 2)).transpose(1, 2))

    def _channels(self, x: Tensor) -> Tensor:
        return gelu(self.channels(x))


class SparseBlock(nn.Module):
    """Re-represent, mix tokens by experts, mix channels by experts, re-represent back (section 3.3).

    ``[B, C, H, W]`` to the same shape; the whole block knows one grid.
    """

    def __init__(self, grid: int, arch: dict, spatial_rule: str, drop_path: float):
        super().__init__()
        self.grid = grid
        self.spatial_rule = spatial_rule
        tokens, channels = arch['sparse_tokens'], arch['sparse_dim']
        self.represent = Represent(grid**2, arch['dim'], tokens, channels, channels_first=False)
        self.norm1 = Norm(channels)
        self.mlp_tokens = Experts(tokens, arch['token_hidden'], arch['token_experts'], 1)
        self.norm2 = Norm(channels)
        self.channels_dense = arch['channel_experts'] == 1
        if not self.channels_dense:
            self.mlp_channels = Experts(channels, arch['channel_hidden'], arch['channel_experts'], 2)
        else:
            self.mlp_channels = Mlp(channels, arch['channel_hidden'])
        self.restore = Represent(tokens, channels, grid**2, arch['dim'], channels_first=True)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        return on_native_grid(x, self.grid, self.spatial_rule, self.mix)

    def mix(self, x: Tensor) -> Tensor:
        x = self.represent(x.flatten(2).unsqueeze(3))
        batch, channels, tokens, _ = x.shape
        columns = self.norm1(x).flatten(0, 1).squeeze(2)
        x = x + self.drop_path(self.mlp_tokens(columns).view(batch, channels, tokens, 1))
        x = x + self.drop_path(self._mix_channels(self.norm2(x)))
        return self.restore(x).unflatten(2, (self.grid, self.grid)).squeeze(4)

    def _mix_channels(self, x: Tensor) -> Tensor:
        if self.channels_dense:
            return self.mlp_channels(x)
        rows = x.squeeze(3).transpose(1, 2)
        return self.mlp_channels(rows.flatten(0, 1)).view(rows.shape).transpose(1, 2).unsqueeze(3)


@register_family
class SparseMLP(MLPMixer):
    """Sparse-MLP (arXiv 2109.02008), a network of one scale; every block is a stage, dense ones first.

    In training ``auxiliary_loss`` holds what keeps the experts evenly used. OpenMMLab's runners add it to the loss, and
    log it, with ``custom_hooks = [dict(type='mlp_backbones.AuxiliaryLossHook')]``; a loop of one's own adds it to its
    loss. A network that trains without it says so once.

    The sources give no code; what they leave open is set as in MLP-Mixer.

    Args:
        arch: 's', 'b', 'l', or a dict with the keys of ``variants``: ``depths`` of dense and sparse blocks;
            ``sparse_tokens`` and ``sparse_dim``, the positions and channels that sparse blocks re-represent a map in;
            ``token_experts`` (each column takes 1), ``channel_experts`` (each row takes 2; 1 is a dense MLP), and
            their hidden widths.
        auxiliary_weight: factor of the auxiliary loss. Default 0.01.

    The other arguments, the attributes and the errors are those of :class:`MLPMixer`.
    """

    variants: ClassVar[dict[str, dict]] = {
        's': dict(
            dim=512,
            depths=(6, 2),
            patch_size=16,
            sparse_tokens=392,
            sparse_dim=512,
            token_experts=4,
            token_hidden=512,
            channel_experts=1,
            channel_hidden=2048,
        ),
        'b': dict(
            dim=768,
            depths=(10, 2),
            patch_size=16,
            sparse_tokens=392,
            sparse_dim=384,
            token_experts=8,
            token_hidden=768,
            channel_experts=4,
            channel_hidden=1536,
        ),
        'l': dict(
            dim=768,
            depths=(8, 6),
            patch_size=16,
            sparse_tokens=392,
            sparse_dim=384,
            token_experts=16,
            token_hidden=768,
            channel_experts=4,
            channel_hidden=1536,
        ),
    }

    published_names: ClassVar[PublishedNames | None] = None  # no weights were published

    def __init__(self, arch: str | dict, *, auxiliary_weight: float = 0.01, **kwargs: Any):
        ok = type(auxiliary_weight) in (int, float) and auxiliary_weight >= 0
        check('auxiliary_weight', auxiliary_weight, 'a number of at least 0', ok)
        self.auxiliary_weight = auxiliary_weight
        super().__init__(arch, **kwargs)
        self._loss_waits = self._warned = False

    @classmethod
    def stage_strides(cls, arch: dict) -> tuple[int, ...]:
        return (arch['patch_size'],) * sum(arch['depths'])

    def make_stage(self, index: int, drop_paths: list[float], with_cp: bool) -> nn.Module:
        if index < self.arch['depths'][0]:
            return super().make_stage(index, drop_paths, with_cp)
        return Stage([SparseBlock(self.grid, self.arch, self.spatial_rule, *drop_paths)], with_cp=with_cp)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        outputs = super().forward(x)
        if self.training and torch.is_grad_enabled() and self.auxiliary_weight and not is_compiling():
            if self._loss_waits and not self._warned:
                self._warned = True
                print_log(
                    'the auxiliary loss of a forward pass of SparseMLP was not used: add '
                    "dict(type='mlp_backbones.AuxiliaryLossHook') to custom_hooks, or auxiliary_loss to the loss after "
                    'each forward pass, or set auxiliary_weight=0',
                    logger='current',
                    level=logging.WARNING,
                )
            self._loss_waits = True
        return outputs

    @property
    def auxiliary_loss(self) -> Tensor:
        """``auxiliary_weight`` times the imbalance of the experts in the last forward pass in training, a number."""
        self._loss_waits = False
        parts = [m.imbalance for m in self.modules() if isinstance(m, Experts) and m.imbalance is not None]
        return self.auxiliary_weight * sum(parts, torch.zeros((), device=next(self.parameters()).device))
