from torch import Tensor, nn


class DropPath(nn.Module):
    """Stochastic depth: in training, zero whole samples with probability ``drop_prob`` and scale the others up.

    Source: Deep Networks with Stochastic Depth, arXiv 1603.09382.

    Args:
        drop_prob: probability of a sample being dropped, in [0, 1). Default 0: does nothing.
    """

    def __init__(self, drop_prob: float = 0.0):
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.drop_prob == 0:
            return x
        keep = 1 - self.drop_prob
        return x * x.new_empty((x.shape[0], 1, 1, 1)).bernoulli_(keep).div_(keep)

    def extra_repr(self) -> str:
        return f'drop_prob={self.drop_prob:.4g}'
