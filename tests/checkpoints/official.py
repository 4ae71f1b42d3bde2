"""Files as the papers' authors publish them, for every variant."""

import argparse
from functools import cache

import numpy as np
import torch
from torch import Tensor

import mlp_backbones as mb
from mlp_backbones.backbones import FAMILIES
from mlp_backbones.checkpoints.key_maps import is_published, official_names, official_tensors
from tests.conftest import reference_state

VARIANTS = [(family, arch) for family, kind in FAMILIES.items() if is_published(family) for arch in kind.variants]


@cache
def official_state(family: str, arch: str) -> dict[str, Tensor]:
    """A classifier of a variant, of float16 numbers that take no room on disk: each tensor is one number, repeated."""
    with torch.device('meta'):
        net = mb.build_classifier(family, arch=arch)
    state = {}
    last = len(net.backbone.strides) - 1
    ours = {name: name.removeprefix('backbone.').replace(f'out_norms.{last}.', 'norm.') for name in net.state_dict()}
    names = official_names(family, ours.values())
    for i, (name, tensor) in enumerate(net.state_dict().items()):
        value = torch.tensor(i / 64, dtype=torch.float16) if tensor.is_floating_point() else torch.tensor(i)
        state |= official_tensors(family, names[ours[name]], value.expand(tensor.shape))
    return state


def official_file(family: str, state: dict[str, Tensor]) -> dict:
    """What lies around the tensors in the files of each family."""
    if FAMILIES[family].published_names.flat:
        return state
    extras = dict(
        optimizer=dict(state={0: dict(step=7, exp_avg=torch.zeros(2))}, param_groups=[dict(lr=1e-3, params=[0])]),
        epoch=299,
        args=argparse.Namespace(model=f'{family.lower()}', lr=1e-3, data_path='imagenet'),
        max_accuracy=np.float64(81.3),
        scaler=dict(scale=65536.0),
    )
    if family == 'HireMLP':
        extras['model_ema'] = {key: tensor + 1 for key, tensor in state.items()}
    return dict(model=state, **extras)


def reference_file(name: str) -> dict:
    """The published network of a reference output, in a file."""
    family = next(family for family in FAMILIES if family.lower() == name.split('_')[0])
    return official_file(family, reference_state(name))
