from torch import Tensor, nn

from ..ops import on_native_grid


class PositionLinear(nn.Conv2d):
    """One linear map of all positions of the native grid, alike for all channels: ``[B, C, H, W]`` to the same shape.

    Args:
        grid: side of the native grid, in positions.
        spatial_rule: how maps of another size are mixed, see :func:`.ops.on_native_grid`.
    """

    def __init__(self, grid: int, spatial_rule: str):
        super().__init__(grid**2, grid**2, 1)
        self.grid = grid
        self.spatial_rule = spatial_rule

    def forward(self, x: Tensor) -> Tensor:
        return on_native_grid(x, self.grid, self.spatial_rule, self.mix)

    def mix(self, x: Tensor) -> Tensor:
        """Map ``[B, C, grid, grid]`` to the same shape."""
        positions_first = x.flatten(2).transpose(1, 2).unsqueeze(3)
        return super().forward(positions_first).squeeze(3).transpose(1, 2).unflatten(2, (self.grid, self.grid))
