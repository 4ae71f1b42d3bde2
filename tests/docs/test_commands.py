"""The commands of the documentation run: here as they are written, or in a test that is named."""

import re
import shlex
import shutil

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from mlp_backbones.apis import load_config
from tests.conftest import ROOT
from tests.docs.test_docs import PAGES

pytestmark = pytest.mark.slow

# Commands that a test below runs as they are written.
RUN_HERE = ('tools/complexity.py', 'tools/infer.py', '-m mlp_backbones zoo')
# How the others begin, and the tests that run them on less data; tests/engine/test_distributed.py and
# test_what_works.py read pages of their own.
RUN_BY = {
    '-m mlp_backbones': 'test_install.py::test_the_tools_of_the_wheel',
    '-m benchmarks.leaderboard': 'benchmarks/leaderboard/test_build.py::test_the_commands',
    '-m benchmarks': 'benchmarks/test_benchmarks.py::test_a_run_writes_what_a_report_renders',
    '-m mlp_backbones swap': 'apis/test_swap.py::test_command_writes_a_config_that_it_has_tried',
    'tools/convert_checkpoint.py': 'checkpoints/test_convert.py::test_the_tool',
    'tools/similarity.py': 'analysis/test_similarity.py::test_two_variants_with_their_files',
    'tools/export.py': 'tools/test_tools.py::test_export_of_a_variant_and_of_a_segmentor',
    'tools/report.py work_dirs/a': 'tools/test_tools.py::test_train_test_and_report',
    'tools/train.py configs/cyclemlp_maskrcnn_coco.py': (
        'tools/test_tools.py::test_mask_rcnn_on_coco_from_published_weights'
    ),
    'tools/train.py cyclemlp_maskrcnn_digits --work-dir': 'tools/test_tools.py::test_train_test_and_report',
    'tools/test.py cyclemlp_maskrcnn_digits PTH --show-dir': 'tools/test_tools.py::test_train_test_and_report',
    'tools/test.py cyclemlp_maskrcnn_digits PTH --work-dir': 'tools/test_tools.py::test_train_test_and_report',
    'tools/test.py cyclemlp_maskrcnn_digits PTH --submission': 'apis/test_submission.py::test_detections_for_test_dev',
    'tools/test.py cyclemlp_upernet_digits PTH --tta': 'apis/test_submission.py::test_label_maps_for_ade20k',
}


def commands():
    """The arguments of ``python`` in the documentation's blocks of commands, but for those that "need" something."""
    found = []
    for page in PAGES:
        for block in re.findall(r'^```bash\n(.*?)^```', page.read_text(), re.M | re.S):
            for command, remark in re.findall(r'^python ([^#\n]+)(#.*)?$', block, re.M):
                if page.name not in ('distributed.md', 'what_works.md') and not re.search(r'\bneeds\b', remark):
                    found.append(command.strip())
    return sorted(set(found))


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
