"""Float64 equality with the published networks, to 1e-9 relative."""

import numpy as np
import pytest
import torch

import mlp_backbones as mb
from mlp_backbones.checkpoints.key_maps import official_names
from tests.conftest import ROOT, reference, reference_state
from tests.data import recipe

TOLERANCE = 1e-9
FAMILIES = {name.lower(): name for name in mb.backbones.FAMILIES}
# In every backend that the CPU has, for families with more than one.
BACKENDS = {'asmlp': ('plain', 'folded'), 'cyclemlp': ('plain', 'folded'), 'hiremlp': ('plain', 'folded')}
REFERENCES = [path.stem for path in sorted((ROOT / 'tests' / 'data').glob('*_*.json'))]


def assert_matches(tensor: torch.Tensor, expected: dict) -> None:
    values = tensor.detach().numpy()
    assert list(values.shape) == expected['shape']
    scale = expected['std'] + abs(expected['mean'])
    samples = values.ravel()[recipe.sample_index(values.size)]
    np.testing.assert_allclose(samples, expected['samples'], rtol=TOLERANCE, atol=TOLERANCE * scale)
    assert abs(values.mean() - expected['mean']) < TOLERANCE * scale
    assert abs(values.std() - expected['std']) < TOLERANCE * scale


def cases():
    """All references in all backends; those after the first of a family are slow."""
    families = set()
    for name in REFERENCES:
        family = name.split('_')[0]
        marks = [pytest.mark.slow] if family in families else []
        families.add(family)
        for backend in BACKENDS.get(family, ('plain',)):
            yield pytest.param(name, backend, marks=marks)


@pytest.mark.parametrize(('name', 'backend'), [*cases()])
def test_published_network(name, backend):
    with mb.ops.use_backend(backend):
        check_published_network(name)


def check_published_network(name: str) -> None:
    expected = reference(name)
    build = mb.build_backbone if expected['task'] == 'dense' else mb.build_classifier
    family = FAMILIES[name.split('_')[0]]
    rule = {key: expected[key] for key in ('spatial_rule',) if key in expected}
    net = build(family, arch=expected['variant'], **rule).double().eval()
    assert sum(p.numel() for p in net.parameters()) == expected['parameters']
    report = mb.checkpoints.load_published(net, {'model': reference_state(name)})
    assert not report.missing and not report.unexpected

    for case in expected['cases']:
        image = torch.from_numpy(recipe.image(case['seed'], case['input'])).requires_grad_()
        outputs = net(image)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        for output, wanted in zip(outputs, case['outputs'], strict=True):
            assert_matches(output, wanted)
        if 'loss' in case:
            weights = [torch.from_numpy(recipe.image(100 + i, output.shape)) for i, output in enumerate(outputs)]
            loss = sum((output * weight).sum() for output, weight in zip(outputs, weights, strict=True))
            assert loss.item() == pytest.approx(case['loss'], rel=TOLERANCE)
            loss.backward()
            assert_matches(image.grad, case['grad_input'])
            gradients = {name.removeprefix('backbone.'): p.grad.norm().item() for name, p in net.named_parameters()}
            names = official_names(family, gradients)
            if expected['task'] == 'classification':
                last = {name: f'norm.{name.split(".")[2]}' for name in names if name.startswith('out_norms.')}
                names |= {name: official_names(family, [norm])[norm] for name, norm in last.items()}
            norms = {names[name]: norm for name, norm in gradients.items()}
            assert norms == pytest.approx(case['grad_norm'], rel=TOLERANCE)
