import torch
from torch import Tensor


def memory_format(x: Tensor) -> torch.memory_format:
    """channels_last for a map that lies so and no other way, contiguous for all else."""
    channels_last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format
