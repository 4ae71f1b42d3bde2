"""Published weights by name: from the table to a network, over a server of this machine."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.runner import CheckpointLoader, load_checkpoint

import mlp_backbones as mb
from mlp_backbones.checkpoints import CheckpointError, CheckpointMissing, convert, find_weights, read_checkpoint
from mlp_backbones.checkpoints.weights import log_use
from tests.checkpoints.server import serve

HUB = 'hub/checkpoints'


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.chdir(tmp_path)


def put(monkeypatch, family: type, **changes: object) -> None:
    """Change what the table has of a family."""
    monkeypatch.setattr(family, 'published_weights', tuple(replace(w, **changes) for w in family.published_weights))


@pytest.fixture(scope='module')
def source():
    return mb.build_classifier('convmlp_s')


@pytest.fixture
def served(source, monkeypatch):
    """The published file of ConvMLP-S, at the address that the table has."""
    with serve(convert(source.state_dict(), 'official')[0]) as address:
        put(monkeypatch, mb.ConvMLP, address=f'{address}/convmlp_s.pth')
        yield


def same(net, other) -> bool:
    wanted = other.state_dict()
    body = [name for name in wanted if name.startswith(('stem.', 'stages.'))]
    return len(body) > 100 and all(torch.equal(net.state_dict()[name], wanted[name]) for name in body)


def test_builders(served, source, tmp_path):
    for net in (
        mb.build_backbone('convmlp_s', pretrained=True),
        mb.build_backbone('ConvMLP', arch='s', pretrained=True),
        mb.build_backbone('convmlp_s', pretrained='mlp_backbones://convmlp_s'),
        mb.build_classifier('convmlp_s', num_classes=10, pretrained=True).backbone,
    ):
        assert same(net, source.backbone)
    whole = mb.build_classifier('convmlp_s', pretrained=True).state_dict()
    assert all(torch.equal(whole[name], tensor) for name, tensor in source.state_dict().items())
    assert not same(mb.build_backbone('convmlp_s'), source.backbone)
    assert len([*(tmp_path / HUB).iterdir()]) == 1  # it was fetched once


def test_a_path_as_pretrained(source, tmp_path):
    torch.save(convert(source.state_dict(), 'official')[0], tmp_path / 'a.pth')
    assert same(mb.build_backbone('convmlp_s', pretrained='a.pth'), source.backbone)


def test_init_cfg(served, source):
    init_cfg = dict(type='Pretrained', checkpoint='mlp_backbones://convmlp_s')
    net = mb.ConvMLP('s', init_cfg=init_cfg)
    net.init_weights()
    assert same(net, source.backbone)
    with pytest.raises(ValueError, match='init_cfg'):
        mb.build_backbone('convmlp_s', pretrained=True, init_cfg=init_cfg)


@pytest.mark.parametrize('safe', [False, True])
def test_loaders_of_mmengine(served, source, safe, monkeypatch):
    if safe:
        monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
        mb.checkpoints.install_loader()
    net = mb.build_backbone('convmlp_s')
    load_checkpoint(net, 'mlp_backbones://convmlp_s')
    assert same(net, source.backbone)


def test_hashes_of_the_table_are_checked(source, monkeypatch):
    content = convert(source.state_dict(), 'official')[0]
    with serve(content) as address:
        put(monkeypatch, mb.ConvMLP, address=f'{address}/a.pth', sha256='0123456789abcdef')
        with pytest.raises(CheckpointError, match='SHA-256'):
            mb.build_backbone('convmlp_s', pretrained=True)
        put(monkeypatch, mb.ConvMLP, sha256='')
        read_checkpoint('mlp_backbones://convmlp_s')
        (path,) = Path(HUB).iterdir()
        put(monkeypatch, mb.ConvMLP, sha256=hashlib.sha256(path.read_bytes()).hexdigest()[:16])
        assert same(mb.build_backbone('convmlp_s', pretrained=True), source.backbone)


def test_a_file_that_only_a_page_serves(tmp_path):
    source = mb.build_classifier('asmlp_tiny')
    with pytest.raises(CheckpointMissing) as error:
        mb.build_backbone('asmlp_tiny', pretrained=True)
    weights, text = find_weights('asmlp_tiny'), str(error.value)
    assert weights.address in text and 'checkpoints/asmlp_tiny.pth' in text and str(tmp_path / HUB) in text
    for folder in (tmp_path / HUB, tmp_path / 'checkpoints'):
        folder.mkdir(parents=True)
    torch.save(convert(source.state_dict(), 'official')[0], tmp_path / HUB / 'asmlp_tiny.pth')
    assert same(mb.build_backbone('asmlp_tiny', pretrained=True), source.backbone)
    (tmp_path / HUB / 'asmlp_tiny.pth').rename('checkpoints/asmlp_tiny.pth')
    assert 'model' in read_checkpoint('mlp_backbones://asmlp_tiny')


@pytest.mark.parametrize(
    ('kwargs', 'fact'),
    [
        (dict(name='mlpmixer_s16', pretrained=True), 'mlpmixer_b16'),
        (dict(name='sparsemlp_s', pretrained=True), 'SparseMLP'),
        (dict(name='CycleMLP', arch=dict(dims=(8,) * 4, depths=(1,) * 4), pretrained=True), 'cyclemlp_b5'),
        (dict(name='cyclemlp_b1', pretrained='mlp_backbones://cyclemlp_b11'), 'cyclemlp_b1'),
        (dict(name='cyclemlp_b1', pretrained='mlp_backbones://'), 'list_weights'),
    ],
)
def test_weights_that_do_not_exist(kwargs, fact):
    with pytest.raises(CheckpointMissing, match=fact):
        mb.build_backbone(**kwargs)


@pytest.mark.parametrize('wrong', [1, None, '', 0.5])
def test_pretrained_is_a_flag_or_a_source(wrong):
    with pytest.raises(ValueError, match='pretrained'):
        mb.build_backbone('cyclemlp_b1', pretrained=wrong)


def test_another_normalisation_is_logged_once(caplog):
    logger = MMLogger.get_instance('weights', logger_name='weights', log_level='INFO')
    logger.addHandler(caplog.handler)
    log_use.cache_clear()
    for name in ('mlpmixer_b16', 'cyclemlp_b1', 'mlpmixer_b16'):
        log_use(name)
    (record,) = caplog.records
    assert '127.5' in record.getMessage() and 'ImageNet-21k' in record.getMessage()
