"""One file per family; :data:`FAMILIES` is all that the rest of the package needs to know of them."""

from .base import MLPBackbone
from .classifier import Classifier
from .cyclemlp import CycleMLP

FAMILIES: dict[str, type[MLPBackbone]] = {family.__name__: family for family in (CycleMLP,)}

__all__ = ['FAMILIES', 'Classifier', 'CycleMLP', 'MLPBackbone']
