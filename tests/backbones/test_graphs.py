"""Compiled and exported networks give the numbers of the plain ones."""

import re
from collections import Counter
from inspect import signature

import onnx
import onnxruntime
import pytest
import torch
from torch.export import Dim

from mlp_backbones.apis.export import export_graph
from mlp_backbones.apis.opsets import lower_opset
from mlp_backbones.backbones import FAMILIES
from mlp_backbones.ops import SPATIAL_RULES
from tests.backbones.slim import loss_of, slim_arch

pytestmark = [pytest.mark.slow, pytest.mark.parametrize('family', FAMILIES)]
# torch makes graphs of their own for a batch of one, and for squares where the first image was one.
SIZES = [(2, 3, 70, 93), (3, 3, 77, 101), (4, 3, 130, 67)]


def slim(family, **kwargs):
    """One block in each of the first two stages, to save time, and two in the first where every second one differs:
    Hire-MLP's rolls, Swin-MLP's shifts its windows."""
    arch = slim_arch(family)
    if len(arch.get('depths', ())) > 2:
        least = FAMILIES[family].min_depth
        first = 2 if family in ('HireMLP', 'SwinMLP') else least
        arch['depths'] = (first, *[least] * 3)[: len(arch['depths'])]
        kwargs.setdefault('out_indices', (0, 1))
    return FAMILIES[family](arch, **kwargs)


def test_compiles_into_one_graph_for_all_sizes(family):
    torch.manual_seed(0)
    net = slim(family, drop_path_rate=0.0).double().train()
    twin = slim(family, drop_path_rate=0.0).double().train()
    twin.load_state_dict(net.state_dict())
    torch.compiler.reset()
    graphs = Counter()

    def count(graph, inputs):
        graphs['all'] += 1
        return graph

    compiled = torch.compile(net, fullgraph=True, dynamic=True, backend=count)
    for size in SIZES:
        x = torch.randn(size, dtype=torch.float64)
        torch.manual_seed(1)
        outputs = compiled(x)
        torch.manual_seed(1)
        expected = twin(x)
        for a, b in zip(outputs, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
        loss_of(outputs).backward()
        loss_of(expected).backward()
    for (name, p), q in zip(net.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-8, atol=1e-8, msg=name)
    assert graphs['all'] == 1


def test_compiles_into_one_graph_for_one_size(family):
    net = slim(family).double().eval()
    torch.compiler.reset()
    x = torch.randn(SIZES[0], dtype=torch.float64)
    with torch.no_grad():
        for got, wanted in zip(torch.compile(net, fullgraph=True, backend='eager')(x), net(x), strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9)


def test_compiles_to_machine_code(family):
    """One token mixer (in ConvMLP one block), that which rolls or shifts where there is one, for any height: machine
    code of a whole network with all sizes open takes minutes."""
    net, inputs = slim(family).eval(), []
    blocks = [module for name, module in net.named_modules() if re.search(r'blocks\.\d+$', name)]
    block = blocks[:2][-1]  # ConvMLP has one here
    mixer = getattr(block, 'mixer', block)
    mixer.register_forward_pre_hook(lambda _, args: inputs.append(args))
    with torch.no_grad():
        for height in (70, 77):
            net(torch.randn(2, 3, height, 93))
        mixer._forward_pre_hooks.clear()
        torch.compiler.reset()
        compiled = torch.compile(mixer, fullgraph=True)
        for pair in zip(*inputs, strict=True):
            sides = [dim for dim, sizes in enumerate(zip(*(t.shape for t in pair), strict=True)) if len({*sizes}) > 1]
            for tensor in pair:
                torch._dynamo.mark_dynamic(tensor, sides)
        for args in inputs:
            torch.testing.assert_close(compiled(*args), mixer(*args), rtol=1e-4, atol=1e-4)


def test_exports_with_free_batch_height_and_width(family):
    kind = FAMILIES[family]
    rules = getattr(kind, 'spatial_rules', SPATIAL_RULES if 'spatial_rule' in signature(kind).parameters else [None])
    for rule in rules:
        net = slim(family, **(dict(spatial_rule=rule) if rule else {})).double().eval()
        free = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
        example = torch.randn(2, 3, 70, 93, dtype=torch.float64)
        program = torch.export.export(net, (example,), dynamic_shapes=(free,)).module()
        for size in SIZES:
            x = torch.randn(size, dtype=torch.float64)
            for a, b in zip(program(x), net(x), strict=True):
                torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_onnx_with_standard_operators(family, tmp_path):
    # The exporter takes seconds for each stage; what is between stages is in the graphs of the test above, too.
    with_transition = family in ('ASMLP', 'CycleMLP', 'HireMLP', 'ConvMLP', 'SwinMLP')
    net = slim(family, out_indices=(0, 1) if with_transition else (0,)).eval()
    # Sparse blocks have no way around their norms, which make differences larger (PyTorch's own float32 result is up to
    # 4e-5 from that in float64); RaftMLP's ways round its mixers are interpolated.
    tolerance = {'SparseMLP': 5e-4, 'RaftMLP': 1e-4}.get(family, 1e-5)
    assert export_graph(net, tmp_path / 'net.onnx', size=(70, 93)) < tolerance
    model = onnx.load(tmp_path / 'net.onnx')
    onnx.checker.check_model(model, full_check=True)
    assert {(o.domain, o.version) for o in model.opset_import if o.domain == ''} == {('', 18)}
    assert {node.domain for node in model.graph.node} == {''} and not model.functions
    for graph in model, lower_opset(model, 11):
        session = onnxruntime.InferenceSession(graph.SerializeToString())
        torch.manual_seed(0)  # images on which Sparse-MLP's routing has no near tie
        for size in [*SIZES, (1, 3, 1, 1), (2, 3, 5, 33)]:
            x = torch.randn(size)
            outputs = session.run(None, {'images': x.numpy()})
            for a, b in zip(outputs, net(x), strict=True):
                assert (torch.from_numpy(a) - b).abs().max() < tolerance * b.abs().max()
