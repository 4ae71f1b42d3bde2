import argparse

import pytest

from mlp_backbones.engine import UserError, load_config, prepare_test, prepare_train
from mlp_backbones.engine.config import _data_paths, _revert_sync_batchnorm, add_arguments
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
    assert 'cyclemlp_maskrcnn_digits.py` needs no download' in last


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


def test_amp_without_a_gpu_is_an_error(digits_config, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    with pytest.raises(UserError, match='--amp needs a GPU'):
        prepare_train(digits_config('cyclemlp_maskrcnn_digits'), None, 'none', amp=True, resume=None)


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
    assert [str(path) for path in _data_paths([nested, remote])] == ['r/a.json', 'r/b.json', 'r/i', 'whole']


def test_sync_batch_norm_is_reverted():
    config = load_config(str(CONFIGS / '_base_' / 'upernet.py'), CONFIGS)
    assert config.model.decode_head.norm_cfg.type == 'SyncBN'
    _revert_sync_batchnorm(config)
    assert 'SyncBN' not in str(config.model)
    assert config.model.auxiliary_head.norm_cfg.type == 'BN'


def test_out_must_be_a_pickle(digits_config):
    with pytest.raises(UserError, match=r'--out a\.json: predictions are saved as \.pkl'):
        prepare_test(digits_config('cyclemlp_maskrcnn_digits'), None, 'none', out='a.json', show_dir=None)
