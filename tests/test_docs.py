"""What the documentation says in numbers is what the code gives."""

import csv
import re
import shlex
import shutil

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import HOOKS, MODELS, init_default_scope

import mlp_backbones as mb
from mlp_backbones.backbones import FAMILIES
from mlp_backbones.engine import load_config
from mlp_backbones.engine.complexity import complexity
from mlp_backbones.engine.zoo import load_zoo
from mlp_backbones.hooks import AuxiliaryLossHook
from tests.conftest import ROOT

FOLDER = ROOT / 'docs' / 'families'
# Not the copies in the site that `make docs` built.
PAGES = [path for path in sorted(ROOT.glob('docs/**/*.md')) if '_build' not in path.parts]
PAGES += [ROOT / name for name in ('README.md', 'CHANGELOG.md', 'benchmarks/README.md')]
# Commands that a test below runs as they are written.
RUN_HERE = ('tools/complexity.py', 'tools/infer.py', '-m mlp_backbones zoo')
# How the others begin, and the tests that run them on less data. tests/test_distributed.py reads its page by itself.
RUN_BY = {
    '-m mlp_backbones leaderboard': 'leaderboard/test_build.py::test_the_commands',
    '-m benchmarks': 'test_benchmarks.py::test_a_run_writes_what_a_report_renders',
    'tools/convert_checkpoint.py': 'checkpoints/test_convert.py::test_the_tool',
    'tools/similarity.py': 'engine/test_similarity.py::test_two_variants_with_their_files',
    'tools/export.py': 'test_tools.py::test_export_of_a_variant_and_of_a_segmentor',
    'tools/report.py work_dirs/a': 'test_tools.py::test_train_test_and_report',
    'tools/train.py configs/cyclemlp_maskrcnn_coco.py': 'test_tools.py::test_mask_rcnn_on_coco_from_published_weights',
    'tools/train.py cyclemlp_maskrcnn_digits --work-dir': 'test_tools.py::test_train_test_and_report',
    'tools/test.py cyclemlp_maskrcnn_digits PTH --show-dir': 'test_tools.py::test_train_test_and_report',
    'tools/test.py cyclemlp_maskrcnn_digits PTH --work-dir': 'test_tools.py::test_train_test_and_report',
    'tools/test.py cyclemlp_maskrcnn_digits PTH --submission': 'test_submission.py::test_detections_for_test_dev',
    'tools/test.py cyclemlp_upernet_digits PTH --tta': 'test_submission.py::test_label_maps_for_ade20k',
}


def commands():
    """The arguments of ``python`` in the documentation's blocks of commands, but for those that "need" something."""
    found = []
    for page in PAGES:
        for block in re.findall(r'^```bash\n(.*?)^```', page.read_text(), re.M | re.S):
            for command, remark in re.findall(r'^python ([^#\n]+)(#.*)?$', block, re.M):
                if page.name != 'distributed.md' and not re.search(r'\bneeds\b', remark):
                    found.append(command.strip())
    return sorted(set(found))


OTHER_SIZE = r'^\| `(\w+)` \| (\d+)x(\d+) \| ([\d.]+) G \|'


def rows(page):
    return re.findall(r'^\| `(\w+)` \| ([\d,]+) \| ([\d.]+) G \|', page.read_text(), re.M)


@pytest.mark.parametrize('family', FAMILIES)
def test_page_of_a_family(family):
    page = FOLDER / f'{family.lower()}.md'
    assert [name for name, *_ in rows(page)] == [n for n in mb.list_backbones() if n.startswith(f'{family.lower()}_')]
    for name, parameters, macs in rows(page):
        counted, multiply_adds = complexity(name)
        assert f'{counted:,}' == parameters and f'{multiply_adds / 1e9:.2f}' == macs


def test_counts_at_other_sizes():
    found = [row for page in FOLDER.glob('*.md') for row in re.findall(OTHER_SIZE, page.read_text(), re.M)]
    assert len(found) >= 9
    for name, height, width, macs in found:
        assert f'{complexity(name, (int(height), int(width)))[1] / 1e9:.2f}' == macs, name


def test_pictures_are_those_that_the_script_draws(tmp_path, run_here):
    script = tmp_path / 'draw.py'
    script.write_text((FOLDER / 'draw.py').read_text())
    done = run_here(script)
    assert done.returncode == 0, done.stdout
    for family in FAMILIES:
        name = f'{family.lower()}.svg'
        assert (tmp_path / name).read_text() == (FOLDER / name).read_text(), f'draw {name} again'
        assert (FOLDER / name).stat().st_size < 100_000


def test_tables_are_those_that_the_script_writes(tmp_path, run_here):
    shutil.copytree(FOLDER, tmp_path / 'docs' / 'families')
    for name in ('configs', 'model-index.yml'):
        (tmp_path / name).symlink_to(ROOT / name)
    done = run_here(tmp_path / 'docs' / 'families' / 'tables.py')
    assert done.returncode == 0, done.stdout
    for page in FOLDER.glob('*.md'):
        written = (tmp_path / 'docs' / 'families' / page.name).read_text()
        assert written == page.read_text(), 'write them again: python docs/families/tables.py'


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
    loading, config = blocks('checkpoints.md', 'python')
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


def test_examples_of_export(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for block in blocks('export.md', 'python'):
        exec(block, {})
    assert '(1, 512, 7, 7)' in capsys.readouterr().out


def test_example_of_a_family(tmp_path, monkeypatch):
    """It runs in a config of mmdet, with what every family can do."""
    monkeypatch.syspath_prepend(tmp_path)
    family, swap = blocks('adding_a_family.md', 'python')
    (tmp_path / 'average_mlp.py').write_text(family)
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


def test_numbers_of_the_choice_are_those_of_their_sources():
    """Measured ones of the comparison and of the speed tables, reported ones of the zoo."""
    page = (ROOT / 'docs' / 'choosing.md').read_text()
    with (ROOT / 'docs' / 'leaderboard' / 'digits.csv').open() as file:
        measured = {row['config']: row for row in csv.DictReader(file)}
    trained = re.findall(r'^\| ([\w -]+) \| ([\d.]+ ± .*) \| (\d+) ms \|$', page, re.M)
    assert len(trained) == 12
    for network, cells, step in trained:
        kind = re.sub(r'\W', '', network).lower()
        detector, segmentor = (measured[f'{head}_{kind}-matched_digits'] for head in ('mask-rcnn', 'upernet'))
        expected = [(detector, 'box AP'), (detector, 'mask AP'), (segmentor, 'mIoU')]
        assert cells.split(' | ') == [f'{float(row[m]):.1f} ± {float(row[f"{m} std"]):.1f}' for row, m in expected]
        assert step == f'{float(detector["train_ms"]):.0f}'

    performance = (ROOT / 'docs' / 'performance.md').read_text()
    timed = re.findall(r'^\| (\S+) \| (\d+) \| (\d+) \| ([\d.]+) \|$', page, re.M)
    assert len(timed) == 4
    for network, *times, gain in timed:
        for size, ms in zip(('512x512', '800x1216'), times, strict=True):
            assert re.search(rf'^\| {network} \| {size} \| {ms} \|', performance, re.M), network
        assert re.search(rf'^\| {network} \| \d+ \| \d+ \| {gain} \|', performance, re.M), network
    others = re.search(r'In the same run ResNet-50 took (\d+ and \d+), Swin-T (\d+ and \d+)\.', page)
    assert f'ResNet-50 {others[1]},' in performance and f'Swin-T {others[2]}.' in performance

    newer = re.findall(r'^\| (\S+) \| (\d+) \| (\d+) \|$', page, re.M)
    assert len(newer) == 5
    for network, *times in newer:
        for size, ms in zip(('512x512', '800x1216'), times, strict=True):
            assert re.search(rf'^\| {network} \| {size} \| {ms} \|', performance, re.M), network
    for network, times in re.findall(r'(CycleMLP-B1 took|ResNet-50) (\d+ and \d+)(?: ms|:)', page):
        assert f'{network.removesuffix(" took")} {times}' in performance

    zoo = load_zoo(ROOT)
    reported = re.findall(r'^\| \[(\S+)\]\(\S+\) \| ([\d.]+) M \| ([\d.]+) G \| ([\d./ ]+) \|$', page, re.M)
    assert len(reported) >= 9
    for name, parameters, macs, numbers in reported:
        found = [row for row in zoo if row.name == name]
        assert f'{found[0].parameters / 1e6:.1f} {found[0].macs / 1e9:.1f}' == f'{parameters} {macs}', name
        wanted = [float(number) for number in numbers.split(' / ')]
        metrics = ('box AP', 'mask AP', 'mIoU', 'mIoU (ms+flip)')
        assert wanted in [[row.metrics[m] for m in metrics if m in row.metrics] for row in found], name


def test_the_counting_tool(run_here):
    done = run_here('tools/complexity.py', 'convmlp_s', '--size', '256', '128')
    assert done.returncode == 0 and '9,022,920' in done.stdout and '256x128' in done.stdout
    failed = run_here('tools/complexity.py', 'convmlp_x')
    assert failed.returncode == 1 and "unknown backbone 'convmlp_x', did you mean" in failed.stdout


@pytest.mark.parametrize('command', [command for command in commands() if command.startswith(RUN_HERE)])
def test_commands_run_as_they_are_written(command, command_folder, run_here):
    done = run_here(*shlex.split(command), cwd=command_folder)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope='module')
def command_folder(tmp_path_factory, workspace):
    """A folder with the tools, photos, and checkpoints of networks that were not trained."""
    folder = tmp_path_factory.mktemp('commands')
    for name in ('tools', 'configs'):
        (folder / name).symlink_to(ROOT / name)
    (folder / 'photos').mkdir()
    shutil.copy(next(workspace.glob('data/digit_scenes/images/val/*.png')), folder / 'photos')
    for name, path in (('maskrcnn', 'a/epoch_4.pth'), ('upernet', 'b/epoch_5.pth')):
        config = load_config(f'cyclemlp_{name}_digits', ROOT / 'configs')
        init_default_scope(config.default_scope)
        (folder / 'work_dirs' / path).parent.mkdir(parents=True)
        torch.save(dict(state_dict=MODELS.build(config.model).state_dict()), folder / 'work_dirs' / path)
    return folder


def test_every_other_command_is_run_by_a_test_or_marked():
    for command in commands():
        begins = [start for start in RUN_BY if re.sub(r'\S+\.pth(?= --)', 'PTH', command).startswith(start)]
        assert begins or command.startswith(RUN_HERE), (
            f'python {command}: run it in a test that RUN_BY names, or mark it: # needs ...'
        )
    for test in RUN_BY.values():
        path, _, name = test.partition('::')
        assert f'def {name}(' in (ROOT / 'tests' / path).read_text()
