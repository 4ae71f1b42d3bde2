"""One file per family; ``FAMILIES`` is all that the rest of the package needs to know of them."""

from .asmlp import ASMLP
from .base import MLPBackbone
from .classifier import Classifier
from .convmlp import ConvMLP
from .cyclemlp import CycleMLP
from .hiremlp import HireMLP
from .mlpmixer import MLPMixer
from .sparsemlp import SparseMLP
from .swinmlp import SwinMLP
from .visionpermutator import VisionPermutator
from .wavemlp import WaveMLP

FAMILIES: dict[str, type[MLPBackbone]] = {
    family.__name__: family
    for family in (ASMLP, ConvMLP, CycleMLP, HireMLP, MLPMixer, SparseMLP, SwinMLP, VisionPermutator, WaveMLP)
}

__all__ = [
    'ASMLP',
    'FAMILIES',
    'Classifier',
    'ConvMLP',
    'CycleMLP',
    'HireMLP',
    'MLPBackbone',
    'MLPMixer',
    'SparseMLP',
    'SwinMLP',
    'VisionPermutator',
    'WaveMLP',
]
