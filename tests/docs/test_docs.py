"""The numbers of the documentation are those of the code and of the result files."""

import importlib
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import mmdet
import mmseg
import numpy as np
import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import HOOKS, MODELS, init_default_scope

import mlp_backbones as mb
from benchmarks.report import rounded
from mlp_backbones.analysis.complexity import complexity
from mlp_backbones.apis.zoo import load_references, load_zoo
from mlp_backbones.backbones import FAMILIES
from mlp_backbones.backbones.asmlp import AxialLinear
from mlp_backbones.backbones.swinmlp import WindowMixer
from mlp_backbones.engine.hooks.auxiliary_loss import AuxiliaryLossHook
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

FOLDER = ROOT / 'docs' / 'families'
RESULTS = ROOT / 'benchmarks' / 'leaderboard' / 'results'
# Names on the pages of what benchmarks measure.
VARIANTS = {
    **{'CycleMLP-B1': 'cyclemlp_b1', 'Hire-MLP-T': 'hiremlp_tiny', 'ConvMLP-S': 'convmlp_s', 'AS-MLP-T': 'asmlp_tiny'},
    **{'Wave-MLP-T': 'wavemlp_t', 'Swin-MLP-T/C12': 'swinmlp_tiny_c12', 'Mixer-S/16': 'mlpmixer_s16'},
    **{'Sparse-MLP-S': 'sparsemlp_s', 'ViP-S/7': 'visionpermutator_s7'},
}
# Not the copies in the site that `make docs` built.
PAGES = [path for path in sorted(ROOT.glob('docs/**/*.md')) if '_build' not in path.parts]
PAGES += [ROOT / name for name in ('README.md', 'CHANGELOG.md', 'benchmarks/README.md', 'benchmarks/results/README.md')]


def tables(text):
    """The tables of Markdown: head and rows of cells, without signs of code."""
    found = []
    for block in re.findall(r'(?:^\|.*\|\n)+', text, re.M):
        head, _, *rows = (
            tuple(cell.strip(' `') for cell in line.strip('|').split(' | ')) for line in block.splitlines()
        )
        found.append((head, rows))
    return found


def builder(name):
    """A module of those that build the pages."""
    with pytest.MonkeyPatch.context() as patch:
        for folder in (FOLDER, ROOT / 'docs'):
            patch.syspath_prepend(folder)
        return importlib.import_module(name)


@pytest.fixture(scope='module')
def built():
    """The tables of the families by name."""
    return builder('tables').tables()


@pytest.mark.parametrize('family', FAMILIES)
def test_tables_of_a_family(family, built):
    family = family.lower()
    ((_, rows),) = tables(built[f'{family}-variants.md'])
    assert [name for name, *_ in rows] == [n for n in mb.list_backbones() if n.startswith(f'{family}_')]
    name, parameters, macs, _ = rows[0]  # one function writes all rows
    counted, multiply_adds = complexity(name)
    assert f'{counted:,}' == parameters and f'{multiply_adds / 1e9:.2f} G' == macs
    # Links lead from the page to the configs.
    for config in re.findall(r'\]\((\.\S+?)\)', built[f'{family}-results.md']):
        assert (FOLDER / config).is_file()
    page = (FOLDER / f'{family}.md').read_text()
    for name in ('drawings', 'variants', 'results'):
        assert f'\n<!-- built: {family}-{name}.md -->\n' in page


def test_table_of_the_recipes():
    """It has a row for each config of the metafiles, with its counts; links lead to the configs."""
    ((_, rows),) = tables(builder('tables').counts())
    zoo = {row.name: row for row in load_zoo(ROOT)}
    found = dict((re.fullmatch(r'\[(.+)\]\(\.\./(.+)\)', link).groups() for link, *_ in rows))
    assert found == {name: row.config for name, row in zoo.items()} and len(rows) == len(found)
    for link, parameters, macs, size in rows:
        row = zoo[link[1 : link.index(']')]]
        assert parameters.split(' / ')[0] == f'{row.parameters / 1e6:.2f}', link
        assert macs.split(' / ')[0] == f'{row.macs / 1e9:.1f}' and size == 'x'.join(map(str, reversed(row.size))), link
    published = {link[1 : link.index(']')]: macs.split(' / ')[1] for link, _, macs, _ in rows}
    # As the papers print them.
    assert published['upernet_asmlp-t_160k_ade20k-512x512'] == '937'
    assert published['semfpn_asmlp-t_40k_ade20k-512x512'] == '-'


def test_table_of_the_weights():
    """It has a row for each published file, with its address and the variant in it."""
    ((_, rows),) = tables(builder('tables').weights())
    listed = {weights.name: weights for weights in mb.list_weights()}
    assert [name for name, *_ in rows] == [*listed]
    for name, variant, file, metrics, source, licence in rows:
        weights = listed[name]
        assert variant == weights.variant and f']({weights.address})' in file and weights.file in file
        assert source == weights.source and licence == (weights.licence or 'not stated')
        shown = {metric: value for metric, value in weights.metrics.items() if not metric.endswith(('50', '75'))}
        assert all(f'{value} {metric}' in metrics for metric, value in shown.items())
    assert '\n<!-- built: weights-table.md -->\n' in (ROOT / 'docs' / 'weights.md').read_text()


def test_table_of_the_swaps():
    """It has what was measured; at least 60 configs took a backbone, of nine families."""
    entries = json.loads((ROOT / 'docs' / 'measured' / 'swaps.json').read_text())
    (_, done), (_, refused) = tables(builder('tables').swaps())
    assert len(done) >= 60 and len(done) + len(refused) == len(entries)
    names = {row[0].strip('`'): row for row in done + refused}
    for entry in entries:
        _, *columns = names[entry['config'].removesuffix('.py')]
        if entry['refused']:
            assert columns[0]
        else:
            assert columns[:5] == [entry[key] or '-' for key in ('model', 'neck', 'head', 'old', 'new')]
    families = {entry['new'].partition('_')[0] for entry in entries if not entry['refused']}
    assert families <= {family.lower() for family in FAMILIES} and len(families) >= 9


def test_counts_at_other_sizes():
    found = [row for page in FOLDER.glob('*.md') for _, rows in tables(page.read_text()) for row in rows]
    found = [row for row in found if len(row) == 3 and row[0] in mb.list_backbones() and 'x' in row[1]]
    assert len(found) >= 9
    for name, size, macs in found:
        assert f'{complexity(name, tuple(map(int, size.split("x"))))[1] / 1e9:.2f} G' == macs, name


@pytest.fixture(scope='module')
def draw():
    return builder('draw')


def test_a_receptive_field_is_that_of_the_operator(draw):
    torch.manual_seed(0)
    x = torch.randn(1, 10, 16, 16, requires_grad=True)
    kernel = torch.nn.Conv2d(10, 4, 5, padding=2)
    expected = np.zeros((16, 16), bool)
    expected[6:11, 6:11] = True
    found = draw.influence(kernel(x), x)
    assert ((found > 0) == expected).all() and found.max() == 1
    # A window of 4x4 that begins at 8, and no other.
    window = WindowMixer(2, 4, False)
    found = draw.influence(window(x), x)
    assert (found[8:12, 8:12] > 0).all() and np.count_nonzero(found) == 16
    # The middle, and two positions each way along W.
    shift = AxialLinear(10, 3, 5, 1)
    assert np.argwhere(draw.influence(shift(x), x) > 0).tolist() == [[8, x] for x in (6, 7, 8, 9, 10)]


@pytest.mark.parametrize('family', ['cyclemlp', 'convmlp', 'sparsemlp'])
def test_drawings_of_a_family(family, draw):
    """They show the network as it is, and have no colour of their own for ink or ground."""
    page = draw.PAGES[family]
    files = draw.drawings(family)
    net = mb.build_backbone(page.variant)
    texts = re.findall(r'<text[^>]*>([^<]*)</text>', files[f'{family}-network.svg'])
    for channels, stride in zip(net.out_channels, net.out_strides, strict=True):
        assert f'{channels} channels' in texts and f'stride {stride}' in texts
    blocks = sum(
        int(number) for number, kind in (text.split(' ', 1) for text in texts if ' ' in text) if 'block' in kind
    )
    assert blocks == sum(isinstance(module, draw.BLOCKS) for module in net.modules())
    for name, text in files.items():
        if name.endswith('.svg'):
            ElementTree.fromstring(text)
            assert 'currentColor' in text and draw.INK not in text and 'fill: #ffffff' not in text


def test_the_picture_of_the_readme():
    pictures = builder('pictures')
    assert pictures.readme_picture() == pictures.README_PICTURE.read_text(), 'run python docs/pictures.py'
    # One way of training and of testing, and the best source of each config.
    rows = pictures.comparable(load_zoo(ROOT) + load_references(ROOT))
    assert {(row.head, row.schedule, row.scales, row.test, row.size) for row in rows} == {
        ('Mask R-CNN', '1x', 'single', 'single', (800, 1280))
    }
    found = {row.name: row.metrics['box AP'] for row in rows}
    assert len(found) == len(rows) >= 22 and found['mask-rcnn_cyclemlp-b2_fpn_1x_coco'] == 42.1
    assert found['mask-rcnn_r50_fpn_1x_coco'] == 38.2
    assert {'PVT', 'PoolFormer', 'ResNet', 'Swin'} <= {row.family for row in rows}


def test_the_table_of_the_readme():
    """Counts, reported ranges and published weights are those of the variants and metafiles."""
    page = (ROOT / 'README.md').read_text()
    ((_, rows),) = tables(page.partition('<!-- families -->')[2].partition('<!-- /families -->')[0])
    zoo, variants = load_zoo(ROOT), mb.list_backbones()
    assert len(rows) == len(FAMILIES) and f'{len(variants)} published variants of {len(rows)} families' in page
    assert f'all {len({row.name for row in zoo if row.dataset != "DigitScenes"})} recipes' in page

    def ends(values, decimals):
        return tuple(dict.fromkeys(f'{end(values):.{decimals}f}' for end in (min, max) if values))

    for family, _, number, parameters, top1, box_ap, weights, link in rows:
        name = re.sub(r'\W', '', family).lower()
        assert f'](docs/families/{name}.md)' in link
        own = [variant for variant in variants if variant.startswith(f'{name}_')]
        results = [row for row in zoo if row.backbone in own]
        assert int(number) == len(own)
        numbers = r'\d+\.\d'
        counts = {row.backbone: row.parameters / 1e6 for row in results if row.dataset == 'ImageNet-1K'}
        assert sorted(counts) == sorted(own) and tuple(re.findall(numbers, parameters)) == ends(counts.values(), 1)
        found = [row.metrics['Top 1 Accuracy'] for row in results if 'Top 1 Accuracy' in row.metrics]
        assert tuple(re.findall(numbers, top1)) == ends(found, 1), family
        detectors = [row for row in results if (row.head, row.schedule) == ('Mask R-CNN', '1x') and row.metrics]
        assert tuple(re.findall(numbers, box_ap)) == ends([row.metrics['box AP'] for row in detectors], 1), family
        assert ('multi-scale' in box_ap) == any(row.scales == 'multi' for row in detectors)
        linked = {row.backbone.partition('_')[2] for row in results if row.weights and row.dataset == 'ImageNet-1K'}
        named = {variant for variant in linked if re.search(rf'\b{variant.replace("_", "-")}\b', weights, re.I)}
        assert linked == named or (weights == 'B1 to B5' and linked == {f'b{i}' for i in range(1, 6)}), (family, linked)


def test_memory_is_as_the_libraries_report_it():
    ((_, rows),) = tables((ROOT / 'docs' / 'practical.md').read_text())
    reported = {}
    for library in (mmdet, mmseg):
        root = Path(library.__path__[0]) / '.mim'
        for path in root.glob('configs/*/metafile.y*ml'):
            content = yaml.safe_load(path.read_text())
            models = content['Models'] if isinstance(content, dict) else []
            reported |= {model['Name']: (model, root / model['Config']) for model in models or []}
    for name, batch, memory, devices in rows:
        model, path = reported[name.strip('`')]
        meta = model['Metadata']
        assert float(memory) == meta.get('Training Memory (GB)', meta.get('Memory (GB)'))
        assert devices == meta.get('Training Resources', 'not stated')
        # Their batch is in the name, or mmdet's usual one.
        on_a_gpu = re.search(r'8xb(\d)', path.stem)
        assert int(batch) == (int(on_a_gpu[1]) if on_a_gpu else 2)


def test_the_demo_of_the_readme():
    """Its scores and size are those of the metafile."""
    (row,) = [row for row in load_zoo(ROOT) if row.name == 'mask-rcnn_cyclemlp-slim_digits' and row.metrics]
    ((head, (cells,)),) = [table for table in tables((ROOT / 'README.md').read_text()) if 'minutes' in table[0]]
    shown = dict(zip(head, cells, strict=True))
    assert shown['parameters'] == f'{row.parameters / 1e6:.2f} M'
    assert {name: float(shown[name]) for name in row.metrics} == row.metrics


@pytest.mark.parametrize(
    ('value', 'text'),
    [(1097.4, '1,100'), (99.96, '100'), (12.34, '12.3'), (0.01234, '0.0123'), (0, '0'), (123456, '123,000')],
)
def test_numbers_have_no_exponent(value, text):
    assert rounded(value) == text


def anchors(page):
    """The anchors that code hosts make of headings."""
    text = re.sub(r'^```.*?^```', '', page.read_text(), flags=re.M | re.S)
    return {re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for title in re.findall(r'^#+ (.+)$', text, re.M)}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere_on_a_code_host(page):
    """`make docs` checks those of the site that it builds."""
    for target, anchor in re.findall(r'\]\(([^)#\s]*)(?:#([^)\s]*))?\)', page.read_text()):
        if not target.startswith('http'):
            path = page.parent / target if target else page
            assert path.exists(), target
            assert not anchor or anchor in anchors(path), f'{target}#{anchor}'


def blocks(page, language):
    found = re.findall(r'^```(\w*)\n(.*?)^```$', (ROOT / 'docs' / page).read_text(), re.M | re.S)
    return [text for kind, text in found if kind == language]


def test_examples_of_checkpoints(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    content = mb.checkpoints.convert({'state_dict': mb.build_classifier('cyclemlp_b1').state_dict()}, to='official')[0]
    torch.save(content, 'CycleMLP_B1.pth')
    loading, config, folder = blocks('checkpoints.md', 'python')
    report, refusal = blocks('checkpoints.md', '')
    exec(loading, {})
    assert capsys.readouterr().out == report
    given = {}
    exec(config, given)
    net = mb.build_backbone('cyclemlp_b1', init_cfg=given['init_cfg'])
    net.init_weights()
    assert torch.equal(net.stem.proj.weight, content['model']['patch_embed.proj.weight'])
    with pytest.raises(mb.checkpoints.CheckpointError) as error:
        mb.checkpoints.load_published(mb.build_backbone('cyclemlp_b2'), 'CycleMLP_B1.pth')
    assert f'{error.value}\n' == refusal
    exec(folder, given := dict(mb=mb, net=net))
    assert given['part'].out_indices == (1, 2)
    assert torch.equal(given['same'].stem.proj.weight, net.stem.proj.weight)


def test_examples_of_export(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for block in blocks('export.md', 'python'):
        exec(block, {})
    assert '(1, 512, 7, 7)' in capsys.readouterr().out


def test_example_of_a_family(tmp_path, monkeypatch):
    """It runs in a config of mmdet, with what every family can do."""
    monkeypatch.syspath_prepend(ROOT / 'docs')
    monkeypatch.setitem(FAMILIES, 'AverageMLP', None)  # so that it is gone afterwards
    (swap,) = blocks('adding_a_family.md', 'python')
    (tmp_path / 'config.py').write_text("_base_ = 'mmdet::rpn/rpn_r50_fpn_1x_coco.py'\n" + swap)
    init_default_scope('mmdet')
    model = MODELS.build(Config.fromfile(tmp_path / 'config.py').model)
    assert model.extract_feat(torch.zeros(2, 3, 67, 93))[0].shape == (2, 256, 17, 23)
    with pytest.raises(ValueError, match=r'side=4 is not valid: side must be an odd integer'):
        MODELS.build(dict(type='AverageMLP', arch='tiny', side=4))


def test_example_of_one_scale(tmp_path):
    (tmp_path / 'config.py').write_text(blocks('use_in_configs.md', 'python')[1])
    config = Config.fromfile(tmp_path / 'config.py')
    init_default_scope('mmdet')
    model = MODELS.build(config.model).eval()
    maps = model.extract_feat(torch.zeros(1, 3, 224, 448))
    assert [tuple(x.shape[1:]) for x in maps[:4]] == [(256, 224 // stride, 448 // stride) for stride in (4, 8, 16, 32)]
    assert isinstance(HOOKS.build(config.custom_hooks[0]), AuxiliaryLossHook)


def steps(name):
    """Milliseconds of inference of one image, by (variant, size, precision): after fuse() where that was measured."""
    found = {}
    for row in json.loads((ROOT / 'benchmarks' / 'results' / f'{name}.json').read_text())['results']:
        if row['contestant'] in ('ours', 'ours_fused') and row['infer_batch_size'] == 1:
            found[row['model'], row['infer_img_size'], row['precision']] = row['infer_step_time']
    return found


def test_numbers_of_the_choice_are_those_of_their_sources():
    """Measured ones of result files, reported ones of the zoo."""
    page = tables((ROOT / 'docs' / 'choosing.md').read_text())
    found = dict(page)
    trained = found['network', 'box AP', 'mask AP', 'mIoU', 'training step']
    assert len(trained) == len(list(RESULTS.glob('mask-rcnn_*-matched_digits.json'))) > 12
    for network, *scores, step in trained:
        kind = re.sub(r'\W', '', network).lower()
        files = (RESULTS / f'{head}_{kind}-matched_digits.json' for head in ('mask-rcnn', 'upernet'))
        detector, segmentor = (json.loads(path.read_text()) for path in files)
        expected = [(detector, 'box AP'), (detector, 'mask AP'), (segmentor, 'mIoU')]
        assert scores == [f'{row["metrics"][m]:.1f} ± {row["spread"][m]:.1f}' for row, m in expected]
        assert step == f'{detector["cost"]["train_ms"]:.0f} ms'

    timed = found['network', '512x512', '800x1216', 'bf16']
    newer = found['network', '512x512', '800x1216']
    assert len(timed) == 4 and len(newer) == 5
    for rows, measured in ((timed, steps('backbones-cpu')), (newer, steps('backbones-cpu-families'))):
        for network, *times in rows:
            assert times[:2] == [f'{measured[VARIANTS[network], size, "fp32"]:.0f}' for size in ('512x512', '800x1216')]
    halves = steps('backbones-cpu-bf16')
    for network, *_, gain in timed:
        fp32, bf16 = (halves[VARIANTS[network], '512x512', precision] for precision in ('fp32', 'bf16'))
        assert f'{fp32 / bf16:.2f}' == gain


def test_reported_tables_of_the_choice():
    """Each has one protocol and one row for each family; the page has all of them."""
    built, page = builder('tables'), (ROOT / 'docs' / 'choosing.md').read_text()
    assert all(f'\n<!-- built: {name} -->\n' in page for name in built.choices())
    # ResNet-50 with Semantic FPN is only known with another schedule.
    for name, protocol in built.CHOICES.items():
        rows = built.nearest(*protocol)
        assert {(row.head, row.schedule, row.scales, row.test, row.state) for row in rows} == {(*protocol, 'reported')}
        assert len({row.family for row in rows}) == len(rows) >= 4
        assert ('resnet50' in {row.backbone for row in rows}) == (name != 'semfpn-40k')
    ((_, rows),) = tables(built.choices()['choosing-mask-rcnn-1x.md'])
    found = {re.match(r'\[(.+?)\]', link)[1]: cells for link, *cells in rows}
    assert found['resnet50'] == ['ResNet, *reference*', '44.4 M', '259.3 G', '800x1280', '38.2', '34.7']
    assert found['cyclemlp_b2'] == ['CycleMLP', '46.5 M', '249.1 G', '800x1280', '42.1', '38.9']
