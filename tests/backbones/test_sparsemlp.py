"""Experts: who maps what, what keeps them even, and how that reaches training in every library."""

import copy
import json
from operator import itemgetter

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import mlp_backbones as mb
from mlp_backbones.backbones import sparsemlp
from mlp_backbones.backbones.sparsemlp import Experts
from tests.backbones.slim import loss_of, slim, slim_arch
from tests.configs.test_models import MODELS, data


def experts(num=5, top_k=2, width=6, hidden=7):
    layer = Experts(width, hidden, num, top_k).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return layer


@pytest.mark.parametrize(('num', 'top_k'), [(1, 1), (4, 1), (5, 2), (3, 3)])
@pytest.mark.parametrize('vectors', [1, 2, 50])
def test_each_vector_gets_its_best_experts(num, top_k, vectors):
    layer = experts(num, top_k).eval()
    x = torch.randn(vectors, 6, dtype=torch.float64, requires_grad=True)
    expected = []
    for vector in x:
        gates = (layer.gate.weight @ vector).softmax(0)
        best = gates.argsort(descending=True)[:top_k]
        hidden = [F.gelu(layer.fc1[e] @ vector + layer.bias1[e]) for e in best]
        expected.append(sum(gates[e] * (layer.fc2[e] @ h + layer.bias2[e]) for e, h in zip(best, hidden, strict=True)))
    y, expected = layer(x), torch.stack(expected)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    inputs = (x, *layer.parameters())
    for got, wanted in zip(
        torch.autograd.grad(y.square().sum(), inputs), torch.autograd.grad(expected.square().sum(), inputs), strict=True
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)
    assert torch.equal(layer(x), y) and layer.imbalance is None


@pytest.mark.newer
@pytest.mark.parametrize(('num', 'top_k'), [(1, 1), (4, 1), (5, 2), (3, 3)])
@pytest.mark.parametrize('vectors', [0, 1, 50, 64])
@pytest.mark.parametrize('dynamic', [False, True])
def test_compiled_experts_map_blocks_of_vectors(num, top_k, vectors, dynamic, monkeypatch):
    monkeypatch.setattr(sparsemlp, 'BLOCK', 8)
    layer = experts(num, top_k).eval()
    torch.compiler.reset()
    compiled = torch.compile(layer, fullgraph=True, dynamic=dynamic, backend='aot_eager')
    x = torch.randn(vectors, 6, dtype=torch.float64, requires_grad=True)
    inputs = (x, *layer.parameters())
    got, wanted = compiled(x), layer(x)
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
    grads = [torch.autograd.grad(y.square().sum(), inputs) for y in (got, wanted)]
    torch.testing.assert_close(*grads, rtol=1e-10, atol=1e-12)


def test_only_the_chosen_experts_are_computed():
    layer = experts(num=8, top_k=2)
    with FlopCounterMode(display=False) as counter:
        layer(torch.randn(40, 6, dtype=torch.float64))
    assert counter.get_total_flops() == 2 * 40 * (2 * (6 * 7 + 7 * 6) + 8 * 6)


def test_an_expert_without_a_vector_has_a_gradient_of_zero():
    layer = experts(num=3, top_k=1)
    with torch.no_grad():
        layer.gate.weight.zero_()[0] = 100.0
    layer(torch.rand(9, 6, dtype=torch.float64)).sum().backward()
    assert layer.fc1.grad[0].any() and not layer.fc1.grad[1:].any() and not layer.bias2.grad[1:].any()


def test_imbalance_is_zero_where_experts_are_used_alike_and_largest_where_one_is():
    layer = experts(num=4, top_k=1).train()
    with torch.no_grad():
        layer.gate.weight.zero_()
    x = torch.rand(40_000, 6, dtype=torch.float64) + 1
    layer(x)
    assert 0 <= layer.imbalance < 1e-3
    with torch.no_grad():
        layer.gate.weight[2] = 1e4
    layer(x)
    # All on one of N: mean 1 / N, variance (N - 1) / N^2, so that the squared coefficient of variation is N - 1.
    assert layer.imbalance.item() == pytest.approx(3, abs=1e-6)


def test_noise_has_the_published_width():
    layer = experts(num=4, top_k=1).train()
    with torch.no_grad():
        layer.gate.weight.zero_()
        layer.bias2.copy_(torch.arange(4.0)[:, None].expand(4, 6))  # an expert gives its number, times its gate
        layer.fc2.zero_()
    x = torch.randn(50, 6, dtype=torch.float64)
    torch.manual_seed(3)
    noise = torch.randn(50, 4, dtype=torch.float64) / 4
    torch.manual_seed(3)
    gates, chosen = noise.softmax(1).max(1)
    expected = (gates * chosen)[:, None].expand(50, 6)
    torch.testing.assert_close(layer(x), expected)


def test_auxiliary_loss_is_the_weighted_sum_of_all_blocks_and_reaches_the_gates():
    net = slim('SparseMLP', auxiliary_weight=0.5).double().train()
    net(torch.randn(2, 3, 40, 40, dtype=torch.float64))
    layers = [m for m in net.modules() if isinstance(m, Experts)]
    assert len(layers) == 4  # tokens and channels of two blocks
    torch.testing.assert_close(net.auxiliary_loss, 0.5 * sum(layer.imbalance for layer in layers))
    net.auxiliary_loss.backward()
    assert all(layer.gate.weight.grad.any() for layer in layers)
    assert copy.deepcopy(net).auxiliary_loss == 0


def test_training_without_the_auxiliary_loss_is_logged_once(caplog, monkeypatch):
    logger = MMLogger.get_current_instance()
    monkeypatch.setattr(logger, 'handlers', [*logger.handlers, caplog.handler])

    def steps(net, use):
        caplog.clear()
        for _ in range(3):
            loss_of(net(torch.randn(2, 3, 20, 20))).backward()
            if use:
                assert net.auxiliary_loss > 0
        return [record.message for record in caplog.records if 'auxiliary' in record.message]

    (said,) = steps(slim('SparseMLP').train(), use=False)
    assert said.startswith(
        'the auxiliary loss of a forward pass of SparseMLP was not used: add '
        "dict(type='mlp_backbones.AuxiliaryLossHook')"
    )
    assert steps(slim('SparseMLP').train(), use=True) == []
    assert steps(slim('SparseMLP', auxiliary_weight=0).train(), use=False) == []


class Batches(torch.utils.data.Dataset):
    """Two images and their truth, as a data set of batches."""

    def __init__(self, name):
        self.name = name

    def __len__(self):
        return 3

    def __getitem__(self, index):
        torch.manual_seed(index)
        return data(self.name)


def train(name, folder, backbone, hook):
    """Three steps in mmengine's Runner; what it logged, and the model."""
    torch.manual_seed(0)
    cfg = MODELS[name](backbone, (8, 8, 8, 8))
    scope = cfg['type'].split('.')[0]
    with DefaultScope.overwrite_default_scope(scope):
        runner = Runner(
            model=ConfigDict(cfg),
            work_dir=str(folder),
            train_dataloader=dict(
                dataset=Batches(name),
                batch_size=1,
                sampler=dict(type='DefaultSampler', shuffle=False),
                collate_fn=dict(type=itemgetter(0)),
            ),
            train_cfg=dict(by_epoch=True, max_epochs=1),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1e-3), accumulative_counts=3),
            default_hooks=dict(logger=dict(type='LoggerHook', interval=1), checkpoint=None),
            custom_hooks=[dict(type=hook)],
            default_scope=scope,
            randomness=dict(seed=0),
            experiment_name=f'{name}_{folder.name}',
        )
        runner.train()
    (path,) = folder.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()], runner.model


@pytest.mark.parametrize('name', ['mask_rcnn', 'upernet', 'classifier'])
def test_the_hook_adds_the_loss_and_the_runner_logs_it(name, tmp_path):
    backbone = dict(type='mlp_backbones.SparseMLP', arch=slim_arch('SparseMLP'), auxiliary_weight=2.0)
    logged, model = train(name, tmp_path / 'a', backbone, 'mlp_backbones.AuxiliaryLossHook')
    assert len(logged) == 3
    for line in logged:
        parts = [value for key, value in line.items() if 'loss' in key and key != 'loss']
        # mmpretrain's head calls its own part `loss`, which takes the place of the sum in the log.
        total = line['loss'] + (line['loss_auxiliary'] if name == 'classifier' else 0)
        assert line['loss_auxiliary'] > 0 and total == pytest.approx(sum(parts) + (name == 'classifier') * line['loss'])
    assert not model._forward_hooks
    without = train(name, tmp_path / 'b', {**backbone, 'auxiliary_weight': 0.0}, 'mlp_backbones.AuxiliaryLossHook')[1]
    gates = [m.backbone.stages[2].blocks[0].mlp_tokens.gate.weight for m in (model, without)]
    assert not torch.allclose(*gates, rtol=1e-6)


def test_the_hook_refuses_a_model_that_has_no_such_loss(tmp_path):
    backbone = dict(type='mlp_backbones.MLPMixer', arch=slim_arch('MLPMixer'))
    with pytest.raises(ValueError, match='no backbone of this ImageClassifier has an auxiliary loss, as SparseMLP has'):
        train('classifier', tmp_path / 'b', backbone, 'mlp_backbones.AuxiliaryLossHook')


def test_published_parameter_counts():
    """Of the networks without their classifiers, which the paper's table cuts to whole millions."""
    for name, millions in dict(sparsemlp_s=22, sparsemlp_b=69, sparsemlp_l=130).items():
        with torch.device('meta'):
            net = mb.build_backbone(name, out_indices=None)
        assert int(sum(p.numel() for p in net.parameters()) / 1e6) == millions, name
