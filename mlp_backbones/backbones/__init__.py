"""One file a family, which registers itself when it is imported here."""

from ..registry import FAMILIES
from .activemlp import ActiveMLP as ActiveMLP
from .asmlp import ASMLP as ASMLP
from .base import MLPBackbone
from .builders import build_backbone, build_classifier, list_backbones
from .classifier import Classifier
from .cmt import CMT as CMT
from .convmlp import ConvMLP as ConvMLP
from .cyclemlp import CycleMLP as CycleMLP
from .gmlp import GMLP as GMLP
from .hiremlp import HireMLP as HireMLP
from .mlpmixer import MLPMixer as MLPMixer
from .msmlp import MSMLP as MSMLP
from .raftmlp import RaftMLP as RaftMLP
from .ramlp import RaMLP as RaMLP
from .resmlp import ResMLP as ResMLP
from .shiftvit import ShiftViT as ShiftViT
from .sparsemlp import SparseMLP as SparseMLP
from .spiralmlp import SpiralMLP as SpiralMLP
from .swinmlp import SwinMLP as SwinMLP
from .visionpermutator import VisionPermutator as VisionPermutator
from .wavemlp import WaveMLP as WaveMLP

__all__ = [
    *FAMILIES,
    'FAMILIES',
    'Classifier',
    'MLPBackbone',
    'build_backbone',
    'build_classifier',
    'list_backbones',
]
