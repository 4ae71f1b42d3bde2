"""A resumed training of a tiny model ends as an uninterrupted one, to the bit."""

import resource
import shutil
import signal
import threading
from contextlib import suppress
from functools import partial
from uuid import uuid4

import numpy as np
import pytest
import torch
from mmdet.datasets.samplers import AspectRatioBatchSampler
from mmdet.models.data_preprocessors import BatchSyncRandomResize
from mmengine.dataset import DefaultSampler, InfiniteSampler, worker_init_fn
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import EarlyStoppingHook, EMAHook, Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch.utils.data import DataLoader, Dataset

from mlp_backbones.checkpoints import CheckpointError, read_checkpoint
from mlp_backbones.engine import InterruptHook, KeepingCheckpointHook, TerminalRunner
from mlp_backbones.engine.hooks.checkpoint import newest_checkpoint
from mlp_backbones.engine.loops import ResumableIterLoop, seed_all
from mlp_backbones.engine.state import random_state, set_random_state
from mlp_backbones.errors import UserError


class Images(Dataset):
    """Twelve images with augmentations from all three generators; some are wide, some are high."""

    def __len__(self):
        return 12

    def get_data_info(self, index):
        return dict(width=2 + index % 3, height=3)

    def __getitem__(self, index):
        noise = np.random.rand() + torch.rand(1).item()
        return torch.full((3, 64, 64), index / 12.0) + 0.1 * noise


class Network(BaseModel):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Dropout(0.3))
        self.resize = BatchSyncRandomResize((32, 128), interval=4, size_divisor=32)
        self.assigner = Assigner()

    def forward(self, inputs, mode='tensor'):
        if mode == 'predict':
            torch.rand(3), np.random.rand()
            return [self.layers(inputs).mean().item()]
        inputs, _ = self.resize(inputs, [])
        self.assigner.threshold *= 1.01
        return dict(loss=(self.layers(inputs) - self.assigner.threshold).square().mean())


class Assigner:
    """A part of a head that is no module and changes in training, as that of Dynamic R-CNN."""

    threshold = 0.5

    def __init__(self):
        self.threshold = 0.5


class Loss(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        return dict(score=float(np.mean(results)))


class Event(Hook):
    """Does something once, when a hook is called at an iteration."""

    priority = 'VERY_LOW'

    def __init__(self, point, iteration, act):
        self.losses, self.iteration, self.act = [], iteration, act
        if point != 'after_train_iter':
            setattr(self, point, self._look)
        self.after_train_iter = self._record
        self.is_train = point == 'after_train_iter'

    def _record(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append((runner.iter, outputs['loss'].item()))
        if self.is_train:
            self._look(runner, offset=1)

    def _look(self, runner, offset=0, **kwargs):
        if runner.iter + offset == self.iteration:
            self.act(runner)


class Killed(Exception):
    pass


def kill(runner):
    raise Killed


def ask(runner):
    next(hook for hook in runner.hooks if isinstance(hook, InterruptHook)).asked = True


def build_loader(kind, workers):
    data = Images()
    options = dict(num_workers=workers, persistent_workers=workers > 0)
    if workers:
        options['worker_init_fn'] = partial(worker_init_fn, num_workers=workers, rank=0, seed=0)
    if kind == 'buckets':
        sampler = AspectRatioBatchSampler(DefaultSampler(data, seed=0), 5)
        return DataLoader(data, batch_sampler=sampler, **options)
    if kind == 'endless':
        return DataLoader(data, batch_size=2, sampler=InfiniteSampler(data, seed=0), **options)
    if kind == 'shuffled':  # by a sampler that draws from the global generator
        return DataLoader(data, batch_size=2, shuffle=True, **options)
    return DataLoader(data, batch_size=2, sampler=DefaultSampler(data, seed=0), **options)


def train(
    folder, event=('before_run', -1, None), resume=False, loop='Epoch', data='plain', workers=0, accumulate=1, **more
):
    torch.manual_seed(0)
    model = Network()
    event = Event(*event)
    every = dict(max_epochs=3) if loop == 'Epoch' else dict(max_iters=18, val_interval=6)
    checkpoint = dict(type=KeepingCheckpointHook, by_epoch=loop == 'Epoch', interval=1 if loop == 'Epoch' else 6)
    checkpoint |= more.pop('checkpoint', {})
    hooks = [event, EMAHook(momentum=0.1), *more.pop('hooks', []), InterruptHook()]
    path = newest_checkpoint(folder) if resume else None
    runner = TerminalRunner(
        model,
        str(folder),
        build_loader(data, workers),
        optim_wrapper=OptimWrapper(torch.optim.AdamW(model.parameters(), lr=0.01), accumulative_counts=accumulate),
        param_scheduler=[dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=10)],
        train_cfg=dict(type=f'mlp_backbones.Resumable{loop}Loop', **every),
        val_cfg=dict(),
        val_dataloader=DataLoader(
            [dict(inputs=torch.ones(1, 3, 8, 8) * i) for i in range(3)], 1, collate_fn=lambda b: b[0]
        ),
        val_evaluator=Evaluator([Loss()]),
        default_hooks=dict(checkpoint=checkpoint, logger=None),
        custom_hooks=hooks,
        log_level=more.pop('log_level', 'ERROR'),
        randomness=dict(seed=0),
        resume=resume,
        load_from=path,
        experiment_name=str(uuid4()),  # mmengine's message hub goes by it
        **more,
    )
    model.data_preprocessor.forward = lambda batch, training=False: (
        batch if isinstance(batch, dict) else dict(inputs=batch)
    )
    runner.cfg.setdefault('provenance', {})
    with suppress(KeyboardInterrupt, Killed):
        runner.train()
    return event.losses, runner


def end(runner):
    ema = next(hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook))
    return {**runner.model.state_dict(), **{f'ema.{k}': v for k, v in ema.state_dict().items()}}


def assert_same(found, expected):
    losses, runner = found
    whole, ended = expected
    assert losses == whole[-len(losses) :]
    ends = end(runner), end(ended)
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    assert runner.model.assigner.threshold == ended.model.assigner.threshold


@pytest.mark.slow
@pytest.mark.parametrize(
    ('loop', 'data', 'workers', 'accumulate', 'stops'),
    [
        ('Epoch', 'plain', 0, 1, (2, 12)),
        ('Epoch', 'plain', 1, 4, (9,)),
        ('Epoch', 'buckets', 0, 1, (4,)),
        ('Iter', 'endless', 1, 4, (11,)),
        ('Iter', 'shuffled', 0, 1, (7, 8)),
    ],
)
def test_a_stop_changes_nothing(tmp_path, monkeypatch, loop, data, workers, accumulate, stops):
    monkeypatch.setattr(ResumableIterLoop, 'block', 4)
    options = dict(loop=loop, data=data, workers=workers, accumulate=accumulate)
    whole = train(tmp_path / 'whole', **options)
    for number, stop in enumerate(stops):
        part, _ = train(tmp_path / 'broken', ('after_train_iter', stop, ask), resume=number > 0, **options)
        assert part[-1][0] == stop - 1
        assert newest_checkpoint(tmp_path / 'broken').endswith('interrupted.pth')
    found = train(tmp_path / 'broken', resume=True, **options)
    assert found[0][0][0] == stops[-1]
    assert_same(found, whole)


def test_gradients_of_two_processes_go_on_in_one_as_their_mean(tmp_path):
    """What one process had, split unevenly into two; the random numbers from there on are others."""
    options = dict(accumulate=4, checkpoint=dict(interval=9))
    train(tmp_path, ('after_train_iter', 10, ask), **options)
    path = tmp_path / 'interrupted.pth'
    checkpoint = torch.load(path, weights_only=False)
    (state,) = checkpoint['processes']
    gradients = state['gradients'][0]
    checkpoint['processes'] = [dict(state, gradients=[[s * g for g in gradients]]) for s in (0.5, 1.5)]
    checkpoint['position'].update(processes=2)
    torch.save(checkpoint, path)
    found = []
    look = Event('before_train', 10, lambda runner: found.extend(p.grad.clone() for p in runner.model.parameters()))
    losses, _ = train(tmp_path, resume=True, hooks=[look], **options)
    assert losses[0][0] == 10 and len(losses) == 8
    assert len(found) == len(gradients) and all(g.abs().max() > 0 for g in gradients)
    for gradient, expected in zip(found, gradients, strict=True):
        torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize(
    ('loop', 'data', 'point', 'at', 'act'),
    [
        ('Epoch', 'plain', 'after_val_iter', 6, kill),
        ('Epoch', 'plain', 'after_val_iter', 18, kill),
        ('Epoch', 'plain', 'before_val_iter', 12, ask),
        ('Iter', 'endless', 'after_train_iter', 8, kill),
        ('Iter', 'endless', 'after_val_iter', 18, kill),
    ],
)
def test_a_stop_or_kill_in_a_validation_is_validated(tmp_path, monkeypatch, loop, data, point, at, act):
    monkeypatch.setattr(ResumableIterLoop, 'block', 4)
    options = dict(loop=loop, data=data, accumulate=4, checkpoint=dict(save_best='score', rule='less'))
    early = lambda: [EarlyStoppingHook('score', 'less', patience=5)]  # noqa: E731
    whole = train(tmp_path / 'whole', hooks=early(), **options)
    train(tmp_path / 'broken', (point, at, act), hooks=early(), **options)
    validated = []
    seen = Event('after_val_epoch', -1, None)
    seen._look = lambda runner, **kwargs: validated.append(runner.iter)
    seen.after_val_epoch = seen._look
    found = train(tmp_path / 'broken', resume=True, hooks=[*early(), seen], **options)
    assert validated[-1] == 18 and (at != 18 or validated == [18])
    assert_same(found, whole) if found[0] else assert_equal_ends(found[1], whole[1])
    for key in ('best_score', 'best_ckpt'):
        results = [str(run.message_hub.get_info(key)).rpartition('/')[2] for run in (found[1], whole[1])]
        assert results[0] == results[1]
    states = [
        (h.wait_count, h.best_score) for r in (found[1], whole[1]) for h in r.hooks if isinstance(h, EarlyStoppingHook)
    ]
    assert states[0] == states[1]
    assert sorted(p.name for p in (tmp_path / 'whole').glob('best*')) == sorted(
        p.name for p in (tmp_path / 'broken').glob('best*')
    )


def assert_equal_ends(found, expected):
    ends = end(found), end(expected)
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_a_full_disk_keeps_what_was_saved(tmp_path):
    def fill(runner):
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(UserError, match=r'cannot write .*epoch_2\.pth'):
            train(tmp_path, ('before_train_epoch', 6, fill), checkpoint=dict(max_keep_ckpts=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert newest_checkpoint(tmp_path) == str(tmp_path / 'epoch_1.pth')
    assert read_checkpoint(tmp_path / 'epoch_1.pth')['meta']['iter'] == 6
    (tmp_path / '.epoch_2.pth.0123456789abcdef.partial').write_bytes(b'half')  # of a killed writer
    losses, _ = train(tmp_path, resume=True, checkpoint=dict(max_keep_ckpts=1))
    assert losses[0][0] == 6
    assert {path.name for path in tmp_path.iterdir() if path.is_file() and path.suffix != '.py'} == {
        'epoch_3.pth',
        'last_checkpoint',
    }


def test_the_newest_checkpoint_is_found_whatever_last_checkpoint_holds(tmp_path):
    train(tmp_path / 'first', ('after_train_iter', 14, kill), checkpoint=dict(save_best='score', rule='less'))
    first = tmp_path / 'first'
    best = {path.name: path.read_bytes() for path in first.glob('best*')}
    for text in ('', str(first / 'gone.pth'), str(first / 'epoch_1.pth'), None):
        (first / 'last_checkpoint').unlink(missing_ok=True)
        if text is not None:
            (first / 'last_checkpoint').write_text(text)
        assert newest_checkpoint(first) == str(first / 'epoch_2.pth')
    assert newest_checkpoint(tmp_path / 'nowhere') is None

    # A copy goes on with its own files, and leaves those of the first alone.
    copied = tmp_path / 'copied'
    shutil.copytree(first, copied, copy_function=shutil.copy)
    (copied / 'last_checkpoint').write_text(str(first / 'epoch_2.pth'))
    assert newest_checkpoint(copied) == str(copied / 'epoch_2.pth')
    _, runner = train(copied, resume=True, checkpoint=dict(save_best='score', rule='less'))
    assert runner.message_hub.get_info('best_ckpt').startswith(str(copied))
    assert {path.name: path.read_bytes() for path in first.glob('best*')} == best
    # A file that was cut short is passed over.
    (copied / 'epoch_3.pth').write_bytes(b'half')
    assert newest_checkpoint(copied) == str(copied / 'epoch_2.pth')
    next(copied.glob('best*')).rename(copied / 'interrupted.pth')
    for path in copied.glob('epoch*'):
        path.unlink()
    with pytest.raises(CheckpointError, match='lacks optimizer'):
        train(copied, resume=True)


def test_a_thread_trains_and_signals_stay(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    found = []
    thread = threading.Thread(target=lambda: found.append(train(tmp_path / 'thread', log_level='INFO')))
    thread.start()
    thread.join()
    assert len(found[0][0]) == 18 and signal.getsignal(signal.SIGINT) is before
    assert 'Ctrl-C will not save' in next((tmp_path / 'thread').glob('*/*.log')).read_text()


def test_streams_of_seeds_ranks_and_epochs_do_not_meet():
    state = random_state()
    drawn = set()
    keys = [(seed, epoch, rank) for seed in (0, 1, 2**40) for epoch in range(4) for rank in range(4)]
    for key in [*keys, *((*key, worker) for key in keys for worker in range(2))]:
        seed_all(*key)
        drawn |= {torch.rand(1, dtype=torch.float64).item(), np.random.rand()}
    set_random_state(state)
    assert len(drawn) == 2 * 3 * len(keys)
