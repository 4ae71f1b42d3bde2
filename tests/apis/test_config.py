import argparse
import resource

import pytest

from mlp_backbones.apis import load_config, prepare_test, prepare_train
from mlp_backbones.apis.config import add_arguments, revert_sync_batchnorm
from mlp_backbones.apis.prepare import check_folder, data_paths
from mlp_backbones.errors import UserError
from tests.conftest import ROOT, TINY

CONFIGS = ROOT / 'configs'


def test_by_path_or_bare_name():
    path = CONFIGS / 'cyclemlp_maskrcnn_digits.py'
    by_name = load_config('cyclemlp_maskrcnn_digits', CONFIGS, {'train_cfg.max_epochs': 3})
    assert by_name.train_cfg.max_epochs == 3
    assert load_config(str(path), CONFIGS).model == by_name.model


def test_unknown_config_answers_with_the_nearest():
    with pytest.raises(
        UserError, match="unknown config 'cyclemlp_maskrcn_digits', did you mean cyclemlp_maskrcnn_digits, "
    ):
        load_config('cyclemlp_maskrcn_digits', CONFIGS)
    with pytest.raises(UserError, match='`python -m mlp_backbones zoo` lists them all'):
        load_config('nowhere/x.py', CONFIGS)


@pytest.mark.parametrize('option', ['foo', 'a=[(1,2)', 'a=1,(2'])
def test_options_that_cannot_be_parsed(option, capsys):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert parser.parse_args(['--cfg-options', 'a=1', 'b=[(1,2)]']).cfg_options == {'a': 1, 'b': [(1, 2)]}
    with pytest.raises(SystemExit, match='2'):
        parser.parse_args(['--cfg-options', 'a=1', option])
    assert f'error: --cfg-options {option}: give KEY=VALUE, as in train_cfg.max_epochs=3' in capsys.readouterr().err


@pytest.mark.parametrize('key', ['param_scheduler.9.end', 'param_scheduler.0', 'param_scheduler.end', 'model.type.x'])
def test_options_that_the_config_has_no_place_for(key):
    sentence = f'cyclemlp_maskrcnn_digits has no place for one of the options {key}=3 '
    with pytest.raises(UserError, match=sentence) as refused:
        load_config('cyclemlp_maskrcnn_digits', CONFIGS, {key: 3})
    assert len(str(refused.value)) < 450


def test_scenes_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_config('cyclemlp_maskrcnn_digits', CONFIGS, {'digit_scenes.train': 1, 'digit_scenes.val': 0})
    with pytest.raises(UserError, match=r"length >= 1 and seed >= 0; got split='val', length=0"):
        prepare_train(config, None, 'none', amp=False, resume=None)


@pytest.mark.parametrize('tool', ['train', 'test'])
def test_without_coco_one_sentence_helps(tool, tmp_path, run_here):
    extra = ['x.pth'] if tool == 'test' else []
    command = (CONFIGS.parent / 'tools' / f'{tool}.py', 'cyclemlp_maskrcnn_coco', *extra)
    done = run_here(*command, '--work-dir', tmp_path / 'w', cwd=tmp_path)
    last = done.stdout.strip().splitlines()[-1]
    assert done.returncode == 1
    split = 'val' if tool == 'test' else 'train'
    assert last.startswith(f'error: data/coco/annotations/instances_{split}2017.json is missing: lay COCO 2017 out as')
    assert 'cyclemlp_maskrcnn_digits` needs no download' in last


@pytest.mark.parametrize(
    ('name', 'sentence'),
    [
        ('cyclemlp_in1k', r'data/imagenet is missing: lay ImageNet-1K out as data/imagenet/\{train,val\}'),
        ('cyclemlp_upernet_ade20k', r'data/ade/ADEChallengeData2016/\S+ is missing: lay ADE20K out as'),
    ],
)
def test_layouts_of_other_data(name, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=sentence):
        prepare_train(load_config(name, CONFIGS), None, 'none', amp=False, resume=None)


@pytest.mark.parametrize(('amp', 'advice'), [(True, 'leave --amp out'), (False, 'optim_wrapper.type=OptimWrapper')])
def test_mixed_precision_without_a_gpu_is_an_error(digits_config, monkeypatch, amp, advice):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    config = digits_config('cyclemlp_maskrcnn_digits')
    if not amp:
        config.optim_wrapper.type = 'AmpOptimWrapper'
    with pytest.raises(UserError, match=f'needs a GPU.*{advice}'):
        prepare_train(config, None, 'none', amp=amp, resume=None)


def test_resume_from_nowhere(digits_config):
    with pytest.raises(UserError, match=r'nothing to resume from: gone\.pth is missing'):
        prepare_train(digits_config('cyclemlp_maskrcnn_digits'), None, 'none', amp=False, resume='gone.pth')
    with pytest.raises(UserError, match=r'nothing to resume from: a checkpoint in empty is missing'):
        prepare_train(digits_config('cyclemlp_maskrcnn_digits'), 'empty', 'none', amp=False, resume='auto')


def test_resuming_takes_the_work_directory_not_what_was_fine_tuned_from(digits_config, tmp_path):
    (tmp_path / 'epoch_3.pth').touch()
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_3.pth'))
    config = digits_config('cyclemlp_maskrcnn_digits')
    config.load_from = 'pretrained.pth'
    prepare_train(config, str(tmp_path), 'none', amp=False, resume='auto')
    assert config.load_from == str(tmp_path / 'epoch_3.pth')
    assert config.resume


def test_a_config_that_mmengine_saved_trains_as_the_first(digits_config, tmp_path):
    config = digits_config('cyclemlp_maskrcnn_digits')
    prepare_train(config, None, 'none', amp=False, resume=None)
    config.dump(tmp_path / 'saved.py')
    again = load_config(str(tmp_path / 'saved.py'), CONFIGS, TINY)
    prepare_train(again, None, 'none', amp=False, resume=None)
    assert again.custom_hooks == config.custom_hooks
    assert again.train_cfg == config.train_cfg


def test_what_would_be_loaded_over_the_tested_checkpoint_is_dropped(digits_config):
    config = digits_config('cyclemlp_maskrcnn_digits')
    config.load_from, config.resume = 'pretrained.pth', True
    prepare_test(config, None, 'none', out=None, show_dir=None)
    assert config.load_from is None
    assert not config.resume


def test_data_of_nested_data_sets():
    inner = dict(type='A', data_root='r', ann_file=['a.json', 'b.json'], data_prefix=dict(img='i', seg=''))
    nested = dict(type='RepeatDataset', dataset=dict(type='ConcatDataset', datasets=[inner, dict(data_root='whole')]))
    remote = dict(data_root='s3://bucket', ann_file='x.json')
    assert [str(path) for path in data_paths([nested, remote])] == ['r/a.json', 'r/b.json', 'r/i', 'whole']


def test_sync_batch_norm_is_reverted():
    config = load_config(str(CONFIGS / '_base_' / 'models' / 'upernet.py'), CONFIGS)
    assert config.model.decode_head.norm_cfg.type == 'SyncBN'
    revert_sync_batchnorm(config)
    assert 'SyncBN' not in str(config.model)
    assert config.model.auxiliary_head.norm_cfg.type == 'BN'


def test_out_must_be_a_pickle(digits_config):
    with pytest.raises(UserError, match=r'--out a\.json: predictions are saved as \.pkl'):
        prepare_test(digits_config('cyclemlp_maskrcnn_digits'), None, 'none', out='a.json', show_dir=None)


BASE = f'_base_ = {str(CONFIGS / "cyclemlp_upernet_digits.py")!r}\n'
LAZY = 'from mmengine.config import read_base\n'


@pytest.mark.parametrize(
    ('name', 'text', 'words'),
    [
        ('a.py', 'model = dict(\n', ['was never closed', 'line 1']),
        ('a.py', BASE + 'x = foo\n', ["'foo'", 'a.py, line 2']),
        ('a.py', BASE + 'import nowhere_mod\n', ['nowhere_mod', 'line 2', 'PYTHONPATH']),
        ('a.py', BASE + "custom_imports = dict(imports=['nowhere_mod'])\n", ['nowhere_mod', 'PYTHONPATH']),
        ('a.py', "_base_ = 'gone.py'\n", ['gone.py']),
        ('a.py', "_base_ = 'mmdet::gone/x.py'\n", ['gone/x.py']),
        ('a.py', "_base_ = ['./a.py']\n", ['lead back to itself']),
        ('a.py', BASE + 'model = dict(neck=dict(_delete_=True, a=1))\n', ['model.neck', '_delete_']),
        ('a.py', 'import sys\nsys.exit(0)\n', ['SystemExit', 'line 2']),
        ('a.py', bytes(range(256)), ['utf-8']),
        ('a.py', LAZY + 'with read_base():\n    from .gone import *\n', ['gone.py']),
        ('a.py', LAZY + 'with read_base():\n    from .a import *\n', ['lead back to itself']),
        ('a.py', LAZY + 'from mmseg.models import Gone\nmodel = dict(type=Gone)\n', ['Gone', 'line 2']),
        ('a.txt', 'a=1', ['py/yml/yaml/json']),
        ('a.json', '{"a":', ['not valid JSON', 'column']),
        ('a.json', '[1]', ['holds a list']),
        ('a.yaml', 'a: [1', ['line 1']),
    ],
)
def test_configs_that_cannot_be_read(name, text, words, tmp_path):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as refused:
        load_config(str(path), CONFIGS)
    sentence = str(refused.value)
    assert name in sentence and all(word in sentence for word in words), sentence
    assert '\n' not in sentence and len(sentence) < 800 and 'readthedocs' not in sentence


@pytest.mark.parametrize('name', ['', '/dev/null', 'x' * 5000, 'a\0b'])
def test_what_is_no_config_file(name):
    with pytest.raises(UserError) as refused:
        load_config(name, CONFIGS)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize('suffix', ['json', 'yaml'])
def test_configs_that_mmengine_saved_as_data(suffix, tmp_path):
    config = load_config('cyclemlp_maskrcnn_coco', CONFIGS)
    config.dump(tmp_path / f'saved.{suffix}')
    again = load_config(str(tmp_path / f'saved.{suffix}'), CONFIGS)
    assert again.provenance.config == 'saved'
    for part in ('train_dataloader', 'val_dataloader'):
        # mmcv's Resize takes a tuple.
        scales = [[step.get('scale') for step in c[part].dataset.pipeline] for c in (config, again)]
        assert any(scales[0]) and scales[0] == scales[1]
    assert isinstance(again.model.neck.in_channels, list)


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        *(('train_cfg.max_epochs', value) for value in (0, -1, 'abc', 1.5, True)),
        *(('randomness.seed', value) for value in (-1, 2**40, 'abc')),
        ('log_level', 'LOUD'),
        ('train_cfg.val_interval', 0),
        *((f'{part}_dataloader.batch_size', value) for part in ('train', 'val') for value in (0, 'abc')),
        ('train_dataloader.num_workers', -1),
        ('optim_wrapper.optimizer.lr', 'abc'),
        ('default_hooks.checkpoint.interval', 'abc'),
        *((key, None) for key in ('model', 'train_cfg', 'train_dataloader', 'optim_wrapper', 'val_dataloader')),
        *((key, 'abc') for key in ('model', 'custom_hooks', 'randomness', 'train_dataloader')),
        ('custom_hooks', [1]),
        ('default_scope', 3),
    ],
)
def test_values_that_are_not_valid(key, value, digits_config):
    config = digits_config('cyclemlp_maskrcnn_digits')
    config.merge_from_dict({key: value})
    with pytest.raises(UserError) as refused:
        prepare_train(config, None, 'none', amp=False, resume=None)
    assert f'{key}={value!r}' in str(refused.value)


def test_none_says_the_same_as_nothing(digits_config, tmp_path):
    config = digits_config('cyclemlp_maskrcnn_digits')
    for key in ('custom_hooks', 'default_hooks', 'env_cfg', 'log_level', 'randomness', 'visualizer'):
        config[key] = None
    prepare_test(config, None, 'none', out=None, show_dir=str(tmp_path / 'shown'))
    assert config.custom_hooks == [dict(type='mlp_backbones.ContactSheetHook', out_dir=str(tmp_path / 'shown'))]
    prepare_train(config, None, 'none', amp=False, resume=None, tensorboard=True)
    assert config.randomness == dict(seed=0)


@pytest.mark.parametrize('name', ['file', 'file/x', 'x' * 300, 'y/' * 3000, 'a\0b'])
def test_folders_that_cannot_be_written_to(name, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match='give another --work-dir') as refused:
        check_folder(f'{tmp_path}/{name}', '--work-dir')
    assert str(refused.value).isprintable() and len(str(refused.value)) < 500


def test_a_full_disk(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(UserError, match='cannot write to the folder'):
            check_folder(tmp_path / 'work', '--work-dir')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ('option', 'words'),
    [
        ('model.type=MaskRCNNN', ["'MaskRCNNN'", "'MaskRCNN'"]),
        ('model.backbone.arch=b9', ['CycleMLP', "'b9'"]),
        ('model.neck.foo=1', ['FPN', "'foo'"]),
        ('optim_wrapper.optimizer.type=Adamm', ["'Adamm'", "'Adam'"]),
        ('optim_wrapper.optimizer.foo=1', ['AdamW', "'foo'"]),
        ('train_dataloader.sampler.type=Gone', ["'Gone'", 'sampler']),
        ('runner_type=Gone', ["'Gone'", 'runner']),
    ],
)
def test_what_cannot_be_built(option, words, workspace, tmp_path, run_here):
    options = [f'{key}={value}' for key, value in TINY.items()]
    command = ('cyclemlp_maskrcnn_digits', '--work-dir', tmp_path, '--cfg-options', *options, option)
    done = run_here(ROOT / 'tools' / 'train.py', *command, cwd=workspace)
    last = done.stdout.strip().splitlines()[-1]
    assert done.returncode == 1 and last.startswith('error: cyclemlp_maskrcnn_digits.py: '), done.stdout
    assert all(word in last for word in words) and 'readthedocs' not in last


def test_errors_of_iterations_keep_their_traceback(workspace, tmp_path, run_here):
    (tmp_path / 'hooks_of_a_user.py').write_text(
        'from mmengine.hooks import Hook\nfrom mmengine.registry import HOOKS\n\n\n@HOOKS.register_module()\n'
        'class Faulty(Hook):\n    def __init__(self, when):\n        self.when = when\n        assert when\n\n'
        '    def after_train_iter(self, *args, **kwargs):\n        raise KeyError("a bug")\n'
    )
    options = [f'{key}={value}' for key, value in TINY.items()]
    hooks = "custom_imports = dict(imports=['hooks_of_a_user'])\ncustom_hooks = [dict(type='Faulty', when={})]\n"
    command = (tmp_path / 'own.py', '--work-dir', tmp_path, '--cfg-options', *options)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        (tmp_path / 'own.py').write_text(BASE + hooks.format('0'))
        done = run_here(ROOT / 'tools' / 'train.py', *command, cwd=workspace)
        assert done.returncode == 1 and 'hooks_of_a_user.py, line 9' in done.stdout.splitlines()[-1], done.stdout
        (tmp_path / 'own.py').write_text(BASE + hooks.format('1'))
        with pytest.raises(KeyError, match='a bug'):
            run_here(ROOT / 'tools' / 'train.py', *command, cwd=workspace)
