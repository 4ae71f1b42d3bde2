"""What result files say, and what makes two configs the same."""

import resource
import statistics
from dataclasses import replace

import pytest

from mlp_backbones.apis import load_config, prepare_train
from mlp_backbones.engine import build_runner
from mlp_backbones.engine.hooks.result import Result, ResultHook, average, from_logs
from mlp_backbones.engine.provenance import command, commit, config_hash, machine, versions
from mlp_backbones.errors import UserError
from tests.conftest import ROOT, TINY

CONFIGS = ROOT / 'configs'


def result(seed: int, box_ap: float) -> Result:
    hardware = machine('cpu')
    return Result(
        config='cyclemlp_maskrcnn_digits',
        options={'randomness.seed': seed},
        config_hash='0' * 64,
        completed=True,
        test='single',
        metrics={'box AP': box_ap, 'mask AP': box_ap / 2},
        seeds=[seed],
        threads=hardware.pop('threads'),
        machine=hardware,
        versions=versions(),
        commit=commit(),
        date='2026-11-21',
        command=command(),
    )


def test_a_file_gives_back_what_was_written(tmp_path):
    result(0, 70.0).write(tmp_path / 'result.json')
    assert Result.read(tmp_path / 'result.json') == result(0, 70.0)
    assert [path.name for path in tmp_path.iterdir()] == ['result.json']


def test_average_over_seeds():
    values = [70.0, 71.0, 75.0]
    whole = average([result(seed, value) for seed, value in enumerate(values)])
    assert whole.seeds == [0, 1, 2] and whole.metrics == {'box AP': 72.0, 'mask AP': 36.0}
    assert whole.spread == pytest.approx({'box AP': statistics.stdev(values), 'mask AP': 1.32}, abs=0.005)
    assert average([result(3, 70.0)]).spread == {}
    assert not average([result(0, 70.0), replace(result(1, 70.0), completed=False)]).completed


def test_a_hash_stands_for_values_and_options():
    name = 'cyclemlp_maskrcnn_digits'
    one, same, other = (load_config(name, CONFIGS, options) for options in ({}, {}, {'train_cfg.max_epochs': 5}))
    assert one.provenance.config_hash == same.provenance.config_hash != other.provenance.config_hash
    assert other.provenance.options == {'train_cfg.max_epochs': 5}
    turned = one.copy()
    turned.model = dict(reversed(turned.model.items()))
    assert config_hash(turned) == config_hash(one)


def test_an_alias_goes_by_the_name_of_its_recipe():
    alias, own = (load_config(name, CONFIGS) for name in ('convmlp_in1k', 'convmlp-m_300e_in1k'))
    assert alias.provenance == own.provenance and own.provenance.config == 'convmlp-m_300e_in1k'


def test_a_full_disk_keeps_the_file_and_is_one_sentence(tmp_path):
    path = tmp_path / 'result.json'
    result(0, 50.0).write(path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(UserError) as refused:
            result(1, 60.0).write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(path) in str(refused.value)
    assert Result.read(path).seeds == [0]


@pytest.mark.slow
def test_a_detector_that_finds_nothing_has_zero_ap(workspace, tmp_path, monkeypatch):
    monkeypatch.chdir(workspace)
    options = {'train_cfg.max_epochs': 1, 'model.test_cfg.rcnn.score_thr': 2}
    config = load_config('cyclemlp_maskrcnn_digits', CONFIGS, TINY | options)
    prepare_train(config, str(tmp_path), 'none', amp=False, resume='')
    runner = build_runner(config)
    runner.train()
    result = Result.read(tmp_path / 'result.json')
    assert result.completed
    masks = {f'mask AP{end}': 0.0 for end in ('', '50', '75')}
    assert result.metrics == {f'box AP{end}': 0.0 for end in ('', '50', '75')} | masks

    (record,) = (hook.record for hook in runner.hooks if isinstance(hook, ResultHook))

    def tested(logged, **options):
        runner.cfg.test_evaluator.update(options)
        return from_logs(runner, logged, record, dict(epoch=1), 'single')

    assert tested({'coco/bbox_mAP': 0.5}).metrics == {'box AP': 50.0} | masks
    # What was not evaluated, or is not read by its name, is not zero.
    assert tested({}, format_only=True) is None and tested({}, format_only=False, prefix='digits') is None
