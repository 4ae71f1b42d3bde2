"""Tensor functions that the token mixers are made of; they need torch alone."""

from .shift import cycle_linear, cycle_shift

__all__ = ['cycle_linear', 'cycle_shift']
