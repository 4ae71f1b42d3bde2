from torch import Tensor, nn

from .arguments import check
from .base import MLPBackbone


class Classifier(nn.Module):
    """Backbone, neck, linear: the networks of the papers' ImageNet tables.

    The neck is the family's, in most of them the mean over positions of the last stage's normed result.

    Args:
        backbone: a backbone whose only output is its last stage.
        num_classes: width of the result. Default 1000.

    Raises:
        ValueError: if ``num_classes`` is no integer of at least 1.
    """

    def __init__(self, backbone: MLPBackbone, num_classes: int = 1000):
        super().__init__()
        check('num_classes', num_classes, 'an integer of at least 1', type(num_classes) is int and num_classes > 0)
        self.backbone = backbone
        self.neck = backbone.make_neck()
        self.neck.apply(backbone.init_layer)
        self.head = nn.Linear(self.neck.out_channels, num_classes)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Maps images ``[B, C, H, W]`` to logits ``[B, num_classes]``."""
        return self.head(self.neck(self.backbone(x)[-1]))
