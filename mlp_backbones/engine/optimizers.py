"""Learning rates of a backbone: a multiple of the base rate, and a decay from the last layer to the first."""

from math import inf
from typing import Any

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from ..backbones import MLPBackbone
from ..registry import OPTIM_WRAPPER_CONSTRUCTORS, register


@register(OPTIM_WRAPPER_CONSTRUCTORS)
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Layer-wise learning rates for every backbone of this package, in mmdet, mmseg and mmpretrain configs.

    A parameter of layer ``d`` of ``n`` (:meth:`.MLPBackbone.get_layer_depth`) gets its learning rate times
    ``layer_decay_rate ** (n - 1 - d)``; parameters outside of the backbone keep theirs. The option stands in
    ``paramwise_cfg``, beside those of mmengine's constructor (``norm_decay_mult``, ``custom_keys``, ...).::

        optim_wrapper = dict(
            constructor='mlp_backbones.LayerDecayOptimWrapperConstructor',
            paramwise_cfg=dict(layer_decay_rate=0.8, norm_decay_mult=0.0),
            optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
        )

    Beside it, ``backbone_lr_mult`` (default 1) multiplies all rates of the backbone. A custom key ``backbone`` does the
    same, but turns ``norm_decay_mult`` off for the backbone's norms.

    Source: BEiT, arXiv 2106.08254, section 3.1, and the libraries' own for ConvNeXt.

    Raises:
        ValueError: if ``layer_decay_rate`` is missing or not above 0 and at most 1, ``backbone_lr_mult`` is not above
            0, the optimizer has no ``lr``, or the model holds no backbone of this package.
    """

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '', **kwargs: Any) -> None:
        """Add the groups of ``module`` to ``params``; mmengine calls this for the model, then for each child."""
        super().add_params(params, module, prefix=prefix, **kwargs)
        if prefix:
            return
        rate = self.paramwise_cfg['layer_decay_rate']
        depths = {}
        # By name: after a reload there are two classes of that name.
        for backbone in (m for m in module.modules() if MLPBackbone.__name__ in (k.__name__ for k in type(m).__mro__)):
            depths |= {id(p): backbone.get_layer_depth(name) for name, p in backbone.named_parameters()}
        if not depths:
            raise ValueError(f'layer_decay_rate={rate!r}: {type(module).__name__} holds no backbone of mlp_backbones')
        groups: dict[tuple, dict] = {}
        for group in params:
            (parameter,) = group.pop('params')
            group.setdefault('lr', self.base_lr)
            if id(parameter) in depths:
                depth, num_layers = depths[id(parameter)]
                group['lr'] *= self.paramwise_cfg.get('backbone_lr_mult', 1) * rate ** (num_layers - 1 - depth)
            groups.setdefault(tuple(sorted(group.items())), {'params': [], **group})['params'].append(parameter)
        params[:] = groups.values()
        rates = [group['lr'] for group in params]
        print_log(
            f'layer decay {rate} over {next(iter(depths.values()))[1]} layers: learning rates from {min(rates):.3g} to '
            f'{max(rates):.3g} in {len(params)} groups',
            logger='current',
        )

    def _validate_cfg(self) -> None:
        super()._validate_cfg()
        rate = (self.paramwise_cfg or {}).get('layer_decay_rate')
        if type(rate) not in (int, float) or not 0 < rate <= 1:
            raise ValueError(
                f'paramwise_cfg={self.paramwise_cfg!r} is not valid: it needs layer_decay_rate, a number above 0 '
                f'and at most 1'
            )
        mult = self.paramwise_cfg.get('backbone_lr_mult', 1)
        if type(mult) not in (int, float) or not 0 < mult < inf:
            raise ValueError(f'backbone_lr_mult={mult!r} is not valid: give a number above 0, such as 0.1')
        if self.base_lr is None:
            raise ValueError('optimizer has no lr, which layer_decay_rate scales: give it one')
