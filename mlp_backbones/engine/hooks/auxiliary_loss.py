"""A hook that adds the auxiliary losses of backbones to the losses of the model."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from ...registry import HOOKS, register


@register(HOOKS)
class AuxiliaryLossHook(Hook):
    """Add the auxiliary losses of backbones to a model's losses, as ``loss_auxiliary``, which the runner logs.

    :class:`.SparseMLP` has one. Mixed precision, gradient accumulation and several processes treat it as any other
    loss, as it is one of those that the detector, segmentor or classifier returns::

        custom_hooks = [dict(type='mlp_backbones.AuxiliaryLossHook')]
    """

    def before_train(self, runner: Runner) -> None:
        """Register the forward hook.

        Raises:
            ValueError: if no backbone of the model has an auxiliary loss.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self.backbones = [module for module in model.modules() if hasattr(type(module), 'auxiliary_loss')]
        if not self.backbones:
            raise ValueError(
                f'AuxiliaryLossHook: no backbone of this {type(model).__name__} has an auxiliary loss, as '
                f'SparseMLP has; take the hook out of custom_hooks'
            )
        self.handle = model.register_forward_hook(self._add)

    def after_train(self, runner: Runner) -> None:
        """Remove the forward hook."""
        self.handle.remove()

    def _add(self, model: nn.Module, args: tuple, outputs: object) -> object:
        if not isinstance(outputs, dict):
            return outputs  # predictions
        return {**outputs, 'loss_auxiliary': sum(backbone.auxiliary_loss for backbone in self.backbones)}
