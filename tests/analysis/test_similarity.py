"""CKA is what its definitions give, and tools/similarity.py measures it on real pictures."""

import csv
import itertools
import math
import random
import shutil

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from rich.console import Console

import mlp_backbones as mb
from mlp_backbones.analysis.similarity import check_out, compare, gram, hsic, linear_cka, load_network, parse_size
from mlp_backbones.apis.images import find_images
from mlp_backbones.errors import UserError
from tests.conftest import ROOT, run

pytestmark = pytest.mark.slow

TOOL = ROOT / 'tools' / 'similarity.py'
CONFIG = """
default_scope = 'mmpretrain'
data_preprocessor = dict(num_classes=2, mean=[100, 110, 120], std=[50, 60, 70], to_rgb=True)
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mlp_backbones.ConvMLP', arch=dict(
        stem_dim=8, dims=(8, 12, 16), conv_depth=1, depths=(1, 1, 1), mlp_ratios=(2, 2, 2))),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=2, in_channels=16),
)
"""


def features(n, *shape):
    # With a mean far from 0, which no formula may see.
    return 5 + torch.randn(n, *shape)


def hsic_by_tuples(first, second):
    """The U-statistic by its definition: the mean of K_ij (L_ij + L_qr - 2 L_iq) over all 4 different pictures."""
    tuples = itertools.permutations(range(len(first)), 4)
    terms = [first[i, j] * (second[i, j] + second[q, r] - 2 * second[i, q]) for i, j, q, r in tuples]
    return math.fsum(terms) / len(terms)


def hsic_by_traces(first, second):
    """HSIC_1 as it is published."""
    n = len(first)
    k, m = (x - torch.diag(x.diagonal()) for x in (first, second))
    one = torch.ones(n, dtype=k.dtype)
    sums = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    return (torch.trace(k @ m) + sums - 2 / (n - 2) * one @ k @ m @ one) / (n * (n - 3))


def raw_gram(x):
    x = x.flatten(1).double()
    return x @ x.T


@pytest.mark.parametrize('n', [4, 6, 7])
def test_hsic_is_the_u_statistic(n):
    maps = [features(n, 3, 2, 2), features(n, 5), features(n, 1, 4, 1)]
    found = hsic(torch.stack([gram(x) for x in maps]))
    assert found.dtype == torch.float64
    for (i, x), (j, y) in itertools.product(enumerate(maps), repeat=2):
        grams = raw_gram(x), raw_gram(y)
        wanted = hsic_by_traces(*grams)
        torch.testing.assert_close(found[i, j], wanted, rtol=1e-9, atol=1e-9)
        assert hsic_by_tuples(*(k.numpy() for k in grams)) == pytest.approx(wanted.item(), rel=1e-9, abs=1e-9)


def test_four_points_by_hand():
    """Of four pictures a pair and the other two have one U-centred value: half their sum, less the mean of all sums."""
    x = torch.tensor([[0.0], [1.0], [3.0], [6.0]])
    sums = 0 * 1 + 3 * 6, 0 * 3 + 1 * 6, 0 * 6 + 1 * 3
    wanted = sum(((value - sum(sums) / 3) / 2) ** 2 for value in sums)
    assert wanted == 31.5
    assert hsic(gram(x)[None]).item() == pytest.approx(wanted)
    with pytest.raises(ValueError, match='at least 4 images, got 3'):
        hsic(gram(x[:3])[None])


def test_many_pictures_in_one_batch_come_near_the_biased_closed_form():
    x = features(400, 6)
    y = x @ torch.randn(6, 4) + torch.randn(400, 4)
    a, b = (z.double() - z.double().mean(0) for z in (x, y))
    wanted = (b.T @ a).norm() ** 2 / ((a.T @ a).norm() * (b.T @ b).norm())
    found = linear_cka(hsic(torch.stack([gram(x), gram(y)])))[0, 1]
    assert 0.2 < wanted < 0.9
    assert found == pytest.approx(wanted.item(), abs=0.02)


def test_identity_gives_1():
    x = features(9, 3, 4, 5)
    rotation = torch.linalg.qr(torch.randn(60, 60, dtype=torch.float64))[0]
    rotated = (x.flatten(1).double() @ rotation).view_as(x)
    same = [x, x.clone(), -7.5 * x.double(), rotated, x.double() + 3]
    found = linear_cka(hsic(torch.stack([gram(z) for z in same])))
    torch.testing.assert_close(found, torch.ones(5, 5, dtype=torch.float64), rtol=0, atol=1e-12)
    # It is no invariant of other linear maps.
    stretched = x.flatten(1) * torch.linspace(0, 3, 60)
    assert linear_cka(hsic(torch.stack([gram(x), gram(stretched)])))[0, 1] < 0.99


def test_independent_features_give_0():
    pairs = [torch.stack([gram(features(8, 20)), gram(features(8, 30))]) for _ in range(500)]
    found = linear_cka(sum(map(hsic, pairs)))[0, 1].item()
    # The biased estimate on batches so small is far from it.
    assert abs(found) < 0.05


@pytest.fixture
def pictures(tmp_path):
    """Ten small pictures of two colours in different places."""
    generator = np.random.default_rng(0)
    (tmp_path / 'in').mkdir()
    for i in range(10):
        image = generator.integers(0, 256, (1, 1, 3), np.uint8).repeat(40, 0).repeat(30, 1)
        top, left = generator.integers(0, 20, 2)
        image[top : top + 15, left : left + 10] = generator.integers(0, 256, 3)
        assert cv2.imwrite(str(tmp_path / 'in' / f'{i}.png'), image)
    return find_images(str(tmp_path / 'in'), tmp_path / 'out')[1]


def cells(path):
    with open(path, newline='') as file:
        return list(csv.DictReader(file))


def test_minibatches_against_one_formula(pictures, tmp_path):
    """The tool's numbers from features that are had in another way."""
    (tmp_path / 'config.py').write_text(CONFIG)
    config = Config.fromfile(tmp_path / 'config.py')
    init_default_scope('mmpretrain')
    model = MODELS.build(dict(config.model, data_preprocessor=config.data_preprocessor)).eval()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'x.pth')
    network = load_network(str(tmp_path / 'config.py'), str(tmp_path / 'x.pth'), ROOT / 'configs')
    layers, found = compare([network], [(40, 30), (24, 32)], pictures, Console(), batch_size=4)
    assert [[layer.size for layer in view] for view in layers] == [['40x30'] * 4, ['24x32'] * 4]
    assert [layer.stage for layer in layers[0]] == ['stage 1', 'stage 2', 'stage 3', 'stage 4']
    # A rest of two joins the last batch: 4 and 6 of the 10.
    shuffled = random.Random(0).sample(pictures, 10)
    assert shuffled != pictures
    maps = []
    model.backbone.out_norms = torch.nn.ModuleDict()
    with torch.no_grad():
        for path in shuffled:
            image = cv2.imread(str(path))[..., ::-1].copy()
            x = (torch.from_numpy(image).float() - torch.tensor([100.0, 110, 120])) / torch.tensor([50.0, 60, 70])
            maps.append(model.backbone(x.permute(2, 0, 1)[None]))
    grams = [[raw_gram(torch.cat(stage)) for stage in zip(*part, strict=True)] for part in (maps[:4], maps[4:])]
    mean = [[sum(hsic_by_traces(g[i], g[j]) for g in grams) / 2 for j in range(4)] for i in range(4)]
    for i, j in itertools.product(range(4), repeat=2):
        wanted = mean[i][j] / math.sqrt(mean[i][i] * mean[j][j])
        assert found[i, j].item() == pytest.approx(wanted.item(), abs=1e-4)
    assert found.diagonal().tolist() == pytest.approx([1] * 8, abs=1e-12)


def test_two_variants_with_their_files(pictures, tmp_path, run_here):
    """As a user runs it; docs/tools.md has the same commands."""
    torch.save({'model': mb.build_backbone('convmlp_s').state_dict()}, tmp_path / 'a.pth')
    torch.save({'model': mb.build_backbone('cyclemlp_b1').state_dict()}, tmp_path / 'b.pth')
    done = run_here(
        *(TOOL, 'in', 'convmlp_s', 'cyclemlp_b1', '--checkpoints', 'a.pth', 'b.pth', '--sizes', '32x32'),
        *('--batch-size', 5, '--out', 'new/similarity'),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout
    assert 'a.pth: loaded' in done.stdout and 'random' not in done.stdout
    assert 'new/similarity.png, new/similarity.csv: linear CKA over 10 images' in done.stdout
    rows = cells(tmp_path / 'new/similarity.csv')
    assert [(row['network_1'], row['stage_1'], row['network_2'], row['stage_2']) for row in rows] == [
        ('convmlp_s', f'stage {i}', 'cyclemlp_b1', f'stage {j}') for i in range(1, 5) for j in range(1, 5)
    ]
    assert {(row['weights_1'], row['weights_2'], row['size_1']) for row in rows} == {('a.pth', 'b.pth', '32x32')}
    assert all(-1 <= float(row['cka']) <= 1 for row in rows)
    assert min(cv2.imread(str(tmp_path / 'new/similarity.png')).shape[:2]) > 200

    before = (tmp_path / 'new/similarity.csv').read_bytes()
    done = run_here(TOOL, 'in', 'convmlp_s', '--out', 'new/similarity', cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == 'error: new/similarity.png exists: name another file, or add --force to replace it\n'
    assert (tmp_path / 'new/similarity.csv').read_bytes() == before


def test_one_variant_at_two_sizes_with_random_weights(pictures, tmp_path, run_here):
    command = (TOOL, 'in/*.png', 'convmlp_s', '--sizes', '32x32', '40x24', '--seed', 3)
    done = run_here(*command, '--out', 'a', cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert 'convmlp_s: the weights are random, of seed 3' in done.stdout
    rows = cells(tmp_path / 'a.csv')
    assert len(rows) == 16
    assert {(row['size_1'], row['size_2'], row['weights_1']) for row in rows} == {('32x32', '40x24', 'random, seed 3')}
    assert run(*command, '--out', 'b', cwd=tmp_path).returncode == 0
    assert (tmp_path / 'b.csv').read_bytes() == (tmp_path / 'a.csv').read_bytes()


def test_a_network_with_itself_and_every_block_of_one_scale(pictures):
    network = load_network('mlpmixer_s32', None, ROOT / 'configs', every_stage=True)
    layers, found = compare([network, network], [(32, 32)], pictures, Console())
    assert [layer.stage for layer in layers[0]] == [f'stage {i}' for i in range(1, 9)]
    ones = torch.ones(8, dtype=torch.float64)
    torch.testing.assert_close(found[:8, 8:].diagonal(), ones, rtol=0, atol=1e-12)
    torch.testing.assert_close(found, found.T, rtol=0, atol=1e-12)
    assert found[0, 7] < 0.999


def test_other_backbones_of_a_config(pictures, tmp_path, digits_config):
    config = digits_config('mask-rcnn_resnet-matched_digits')
    init_default_scope('mmdet')
    torch.save(dict(state_dict=MODELS.build(config.model).state_dict()), tmp_path / 'x.pth')
    name, path = 'mask-rcnn_resnet-matched_digits', str(tmp_path / 'x.pth')
    layers, found = compare([load_network(name, path, ROOT / 'configs')], [(32, 32)], pictures, Console())
    assert [layer.stage for layer in layers[0]] == [f'output {i}' for i in range(1, 5)] and found.shape == (4, 4)
    with pytest.raises(UserError, match='has a ResNet: --all'):
        load_network(name, path, ROOT / 'configs', every_stage=True)
    with pytest.raises(UserError, match='is a config, and its weights are missing: give --checkpoints'):
        load_network(name, None, ROOT / 'configs')


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['nowhere', 'convmlp_s'], 'nowhere is no file, no folder, and no file matches it as a pattern'),
        (['in', 'cyclemlp_b1x'], "unknown backbone 'cyclemlp_b1x', did you mean 'cyclemlp_b1'? There are: "),
        (['in', 'convmlp_s', '--checkpoints', 'a', 'b'], '--checkpoints got 2, expected 1: give one for each network'),
    ],
)
def test_one_sentence(arguments, sentence, pictures, tmp_path, run_here):
    done = run_here(TOOL, *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1 and done.stdout.startswith(f'error: {sentence}'), done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ['in']


def test_where_results_may_lie(pictures, tmp_path):
    folder = tmp_path / 'in'
    with pytest.raises(UserError, match='--out'):
        check_out(folder / 'deep' / 'x', str(folder))
    with pytest.raises(UserError, match=r'cannot write .*1\.png .*: .*give a folder that you may write to'):
        check_out(pictures[1] / 'x', str(folder / '*.png'))
    with pytest.raises(UserError, match=r'1\.png exists: name another file, or add --force'):
        check_out(folder / '1', str(folder / '*.png'))
    assert sorted(folder.iterdir()) == pictures
    (tmp_path / 'link.csv').symlink_to(tmp_path / 'nowhere')
    with pytest.raises(UserError, match=r'link\.csv: it is a link'):
        check_out(tmp_path / 'link', str(folder))
    check_out(tmp_path / 'a' / 'b' / 'x', str(folder))
    assert (tmp_path / 'a' / 'b').is_dir()


def test_pictures_that_will_not_do(pictures, tmp_path):
    network = [load_network('convmlp_s', None, ROOT / 'configs')]
    with pytest.raises(UserError, match='at least 4 images, got 3'):
        compare(network, [(32, 32)], pictures[:3], Console())
    with pytest.raises(UserError, match='a batch size of 3 is too small: the estimate takes at least 4'):
        compare(network, [(32, 32)], pictures, Console(), batch_size=3)
    with pytest.raises(UserError, match="device='gpu' cannot be used"):
        compare(network, [(32, 32)], pictures, Console(), device='gpu')
    for path in pictures[1:4]:
        shutil.copy(pictures[0], path)
    with pytest.raises(UserError, match='of convmlp_s in stage 1 at 32x32'):
        compare(network, [(32, 32)], pictures[:4], Console())
    pictures[2].write_text('no picture')
    with pytest.raises(UserError, match=r'2\.png: broken, or of a format .*; remove it, or give a pattern'):
        compare(network, [(32, 32)], pictures, Console())
    torch.nn.init.constant_(next(network[0].backbone.parameters()), math.nan)
    with pytest.raises(UserError, match='stage 1 at 32x32 are not finite: check its weights'):
        compare(network, [(32, 32)], pictures[3:], Console())


@pytest.mark.parametrize('text', ['224', '0x224', '224x', '2.5x3', '-4x4', '224X224', '4x4x4'])
def test_what_is_no_size(text):
    assert parse_size('224x320') == (224, 320)
    with pytest.raises(UserError, match='is not a size'):
        parse_size(text)
