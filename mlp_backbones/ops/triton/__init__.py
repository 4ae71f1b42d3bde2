"""GPU kernels for the operators that bound the speed of CycleMLP and AS-MLP; nothing else here imports triton.

They take CUDA tensors, and CPU ones where the environment held ``TRITON_INTERPRET=1`` before triton was imported.
Without triton this package can be imported, and its functions say what is missing.
"""

from ...compat import require
from ...errors import UserError

try:
    require((2, 4), 'mlp_backbones.ops.triton')
    import triton  # noqa: F401
except (ImportError, UserError) as error:
    _reason = (
        str(error)
        if isinstance(error, UserError)
        else ('mlp_backbones.ops.triton needs the package triton: pip install triton')
    )

    def _missing(*args: object, **kwargs: object) -> None:
        raise ImportError(_reason)

    shift_linear = group_norm_gelu = cycle_offsets = axial_offsets = _missing
else:
    from .group_norm import group_norm_gelu
    from .shift_linear import axial_offsets, cycle_offsets, shift_linear

__all__ = ['axial_offsets', 'cycle_offsets', 'group_norm_gelu', 'shift_linear']
