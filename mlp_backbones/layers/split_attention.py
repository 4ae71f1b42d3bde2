from torch import Tensor

from .mlp import Mlp


class SplitAttention(Mlp):
    """Split attention: a sum of branches, weighted per channel by a softmax that looks at their global average.

    Source: ResNeSt, arXiv 2004.08955, section 3.1, as in Vision Permutator, arXiv 2106.12368, section 3.2.

    Args:
        channels: width of each branch.
        num_branches: how many branches are mixed.
    """

    def __init__(self, channels: int, num_branches: int):
        super().__init__(channels, max(channels // 4, 1), channels * num_branches)

    def forward(self, *branches: Tensor) -> Tensor:
        """Mix branches ``[B, C, H, W]`` into one ``[B, C, H, W]``."""
        weights = self.branch_weights(sum(branches[1:], branches[0]).mean((2, 3), keepdim=True), len(branches))
        first, *others = (branch * weights.select(2, i) for i, branch in enumerate(branches))
        return sum(others, first)

    def branch_weights(self, average: Tensor, num_branches: int) -> Tensor:
        """Map the average of the branches' sum ``[B, C, 1, 1]`` to weights ``[B, C, num_branches, 1, 1]``."""
        # The branch index runs fastest in the published weights.
        return super().forward(average).unflatten(1, (-1, num_branches)).softmax(2)
