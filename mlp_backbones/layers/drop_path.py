from torch import Tensor, nn


class DropPath(nn.Module):
    """Stochastic depth: in training, zeroes whole samples with probability ``rate`` and scales the others up.

    Source: Deep Networks with Stochastic Depth, arXiv 1603.09382.

    Args:
        rate: probability of a sample being dropped, in [0, 1). Default 0: does nothing.
    """

    def __init__(self, rate: float = 0.0):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        return x * x.new_empty((x.shape[0], 1, 1, 1)).bernoulli_(keep).div_(keep)

    def extra_repr(self) -> str:
        return f'rate={self.rate:.4g}'
