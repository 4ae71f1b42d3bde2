"""Training loops that continue a stopped run exactly."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, islice

import numpy as np
import torch
from mmengine.dataset import worker_init_fn as default_worker_init_fn
from mmengine.dist import get_rank, get_world_size
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader, IterableDataset

from ..errors import UserError
from ..registry import LOOPS
from .state import random_state, set_random_state


class ResumableLoop:
    """A base of both training loops: seeds, the pending validation, and the loop's part of a checkpoint.

    A training is cut into parts (epochs, or blocks of iterations). Each part starts the random numbers of its process
    and of its data workers, which are started anew, from (seed, rank, part): it does not matter what ran before.
    Validation has random numbers of its own. A resumed training loads the batches of the current part that were
    trained before, so that the workers' random numbers are those of an uninterrupted run.
    """

    def _prepare(self, loader: DataLoader) -> None:
        self.batches = len(loader)
        self.init_worker = loader.worker_init_fn
        self.done = 0  # batches of the current part that were trained before
        self.random: dict | None = None  # the state after them
        self.outside: dict | None = None  # the state of the training, while it is validated
        self.validated = True

    def position(self, meta: dict) -> dict:
        """Return the state that a checkpoint with this ``meta`` needs beside epoch and iteration."""
        loader, processes = self.dataloader, get_world_size()
        size = getattr(loader if loader.batch_sampler is None else loader.batch_sampler, 'batch_size', None)
        images = None if isinstance(loader.dataset, IterableDataset) else len(loader.dataset)
        return dict(batches=self.batches, processes=processes, images=images, total=size and size * processes)

    def go_on(self, checkpoint: dict, random_state: dict | None) -> None:
        """Take over the position of a checkpoint.

        Another number of processes goes on where the images of an iteration are as many in all as before: rank ``r`` of
        ``n`` takes every ``n``-th image of one order, so that each iteration has the images of an uninterrupted run.

        Raises:
            UserError: if the data or the images of an iteration differ, or the number of processes does and the
                checkpoint does not tell how many images an iteration had.
        """
        meta = checkpoint['meta']
        position = checkpoint.get('position', {})
        now = ResumableLoop.position(self, meta)
        # mmengine's own loop saves at the end of an epoch, and does not note how many batches that is.
        batches = position.get('batches') or checkpoint.get('batches') or meta['iter'] // max(meta['epoch'], 1)
        before = dict(now, batches=batches if self._has_epochs or position else self.batches)
        before.update({key: position[key] for key in now if key in position})
        total, processes = position.get('total'), now['processes']
        same = {**now}
        if total and processes != before['processes']:
            same['processes'] = before['processes']
            if not self._has_epochs:
                # An endless sampler has the length of the data set in each process.
                same['batches'] = before['batches']
        if same != before:
            if total and total % processes:
                advice = f'a number of processes that divides {total}'
            elif total and total != now['total']:
                advice = f'train_dataloader.batch_size={total // processes}'
            else:
                advice = 'the batch size, data and number of processes of before'
            raise UserError(
                f'cannot go on: before there were {_tell(before)}, and now {_tell(now)}; resume with {advice}'
            )
        if processes != before['processes']:
            self.runner.logger.info(
                f'{before["processes"]} processes trained before, and {processes} do now: an iteration has the same '
                f'{total} images, unless the batch sampler sorts them within each process; from here on random numbers '
                f'are others'
            )
        self.random = random_state
        # Checkpoints of others do not note it; those from the end of a training were saved before its validation.
        self.validated = checkpoint.get('validated', not self._is_behind_the_end(meta))

    def seed_part(self, part: int) -> None:
        runner, loader = self.runner, self.dataloader
        apart = runner._randomness_cfg.get('diff_rank_seed', False)
        seed = (runner.seed - apart * get_rank()) % 2**64  # mmengine adds the rank, which meets that of a later epoch
        self.key = seed, part, get_rank() if apart else 0
        seed_all(*self.key)
        # A key of another length is another stream. Workers of different processes always draw differently.
        loader.worker_init_fn = partial(_init_worker, init=self.init_worker, key=(seed, part, get_rank()))
        # Workers that outlive an epoch would go on with what they drew and cached in it.
        loader._iterator = None

    def pass_over(self, batches: Iterator, done: int) -> Iterator:
        """Yield the numbered batches after the first ``done``, and restore the random state after those."""
        if done:
            self.runner.logger.info(f'passing over the {done} batches that were trained before')
            if self.random is None:
                self.runner.logger.warning(
                    'the checkpoint holds no random state of this process: random numbers differ'
                )
        number = -1
        for number, batch in enumerate(batches):
            if number >= done:
                yield number, batch
            elif number == done - 1 and self.random:
                set_random_state(self.random)
            elif number == done - 1:
                seed_all(*self.key, 0, done)  # not the numbers that the first batches of the part had
        if number + 1 < done:
            raise UserError(
                f'cannot go on: {done} batches were trained before, and the data loader gives {number + 1} now; '
                f'resume with the batch size, data and number of processes of before'
            )

    def validate_if_due(self) -> None:
        self._decide_current_val_interval()
        step, last = (self._epoch, self._max_epochs) if self._has_epochs else (self._iter, self._max_iters)
        if self.runner.val_loop is None or step < self.val_begin or (step % self.val_interval and step != last):
            return
        self.outside = random_state()
        seed_all(self.runner.seed % 2**64, step)
        self.runner.val_loop.run()
        set_random_state(self.outside)
        self.outside = None


@LOOPS.register_module()
class ResumableEpochLoop(ResumableLoop, EpochBasedTrainLoop):
    """mmengine's epochs, which a checkpoint from anywhere continues as if there had been no stop.

    Every epoch starts its random numbers and its data workers from (seed, epoch, rank), with ``persistent_workers``,
    too. The number of batches of an epoch is what the data loader gives; its ``len`` may be an estimate.
    """

    _has_epochs = True

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, *args, **kwargs):
        super().__init__(runner, dataloader, *args, **kwargs)
        self._prepare(self.dataloader)
        self.first = 0  # iteration that the current epoch began with

    def position(self, meta: dict) -> dict:
        within = meta['epoch'] == self._epoch
        return dict(super().position(meta), done=meta['iter'] - self.first if within else 0)

    def go_on(self, checkpoint: dict, random_state: dict | None) -> None:
        super().go_on(checkpoint, random_state)
        meta = checkpoint['meta']
        estimate = meta['iter'] - meta['epoch'] * self.batches
        self.done = checkpoint.get('position', {}).get('done', estimate if 0 < estimate <= self.batches else 0)
        self.first = meta['iter'] - self.done
        self.validated = self.validated or self.done > 0

    def _is_behind_the_end(self, meta: dict) -> bool:
        return meta['epoch'] >= self._max_epochs

    def run(self) -> torch.nn.Module:
        self.runner.call_hook('before_train')
        if not self.validated:
            self.validate_if_due()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self.validate_if_due()
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        done, self.done = self.done, 0
        self.first = self._iter - done
        self.seed_part(self._epoch)
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for number, batch in self.pass_over(self.dataloader, done):
            self.run_iter(number, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1
        self.first = self._iter


@LOOPS.register_module()
class ResumableIterLoop(ResumableLoop, IterBasedTrainLoop):
    """mmengine's iterations, which a checkpoint continues as if there had been no stop.

    The data workers are started anew every ``block`` iterations, with random numbers from (seed, block, rank). A
    resumed training draws the indices of all blocks before without loading them, and loads what was trained of the
    current block. Samplers draw their random numbers apart from the training.
    """

    _has_epochs = False
    block = 1000

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, *args, **kwargs):
        if not isinstance(dataloader, DataLoader):
            apart = runner._randomness_cfg.get('diff_rank_seed', False)
            dataloader = runner.build_dataloader(dataloader, seed=runner.seed, diff_rank_seed=apart)
        # mmengine 0.10.7 starts the workers in the constructor, which draws the first indices of an endless sampler.
        super().__init__(runner, DataLoader(dataloader.dataset, batch_size=None), *args, **kwargs)
        self.dataloader = dataloader
        self.dataloader_iterator = None
        self._prepare(dataloader)

    def position(self, meta: dict) -> dict:
        return dict(super().position(meta), block=self.block)

    def go_on(self, checkpoint: dict, random_state: dict | None) -> None:
        super().go_on(checkpoint, random_state)
        self.block = checkpoint.get('position', {}).get('block', self.block)
        if isinstance(self.dataloader.dataset, IterableDataset) and checkpoint['meta']['iter']:
            raise UserError(
                f'cannot go on: {type(self.dataloader.dataset).__name__} is an IterableDataset, which cannot continue '
                f'in its middle; use load_from to begin a training with these weights'
            )

    def _is_behind_the_end(self, meta: dict) -> bool:
        return meta['iter'] >= self._max_iters

    def run(self) -> torch.nn.Module:
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        if not self.validated:
            self.validate_if_due()
        batches = self._batches()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(batches))
            self.validate_if_due()
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def _batches(self) -> Iterator:
        if isinstance(self.dataloader.dataset, IterableDataset):
            for number in count():
                self.seed_part(number)
                yield from self.dataloader
        part, done = divmod(self._iter, self.block)
        indices = self._indices()
        seed_all(self.runner.seed % 2**64)
        # The first time the indices of all blocks before are drawn, too.
        drawn = list(islice(indices, part * self.block, (part + 1) * self.block))
        while True:
            sampler_state = random_state()
            self.seed_part(part)
            for _, batch in self.pass_over(self._load(drawn), done):
                yield batch
            set_random_state(sampler_state)
            drawn = list(islice(indices, self.block))
            part, done = part + 1, 0

    def _indices(self) -> Iterator:
        """Indices of batch after batch, without end."""
        loader = self.dataloader
        batch_sampler = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
        samplers = (loader.sampler, getattr(batch_sampler, 'sampler', None))
        for number in count():
            sampler = next((s for s in samplers if hasattr(s, 'set_epoch')), None)
            if sampler is not None:
                sampler.set_epoch(number)
            found = False
            for indices in batch_sampler:
                found = True
                yield indices
            if not found:
                raise UserError('the training data loader gives no batch: the data set is smaller than a batch')

    def _load(self, indices: list) -> DataLoader:
        loader = self.dataloader
        how = dict(sampler=indices, batch_size=None) if loader.batch_sampler is None else dict(batch_sampler=indices)
        names = ('num_workers', 'collate_fn', 'pin_memory', 'timeout', 'worker_init_fn', 'multiprocessing_context')
        options = {name: getattr(loader, name) for name in (*names, 'prefetch_factor')}
        return DataLoader(loader.dataset, **how, **options)


def _tell(position: dict) -> str:
    images = 'an unknown number' if position['images'] is None else position['images']
    return (
        f'{position["batches"]} batches an epoch of {images} images, {position["total"] or "an unknown number"} in an '
        f'iteration, in {position["processes"]} process(es)'
    )


def seed_all(*key: int) -> None:
    """Start all generators of this process from a key of non-negative integers, each key its own stream."""
    # As plain entropy a key would be the same with zeros behind it.
    sequence = np.random.SeedSequence(key[0], spawn_key=key[1:])
    first, second, third = sequence.generate_state(3, np.uint64).tolist()
    random.seed(first)
    np.random.seed([second % 2**32, second >> 32])
    torch.manual_seed(third)


def _init_worker(worker: int, init: Callable | None, key: tuple[int, ...]) -> None:
    is_default = isinstance(init, partial) and init.func is default_worker_init_fn
    if is_default:
        init(worker)  # for what it does beside seeding
    seed_all(*key, worker)
    if init is not None and not is_default:
        init(worker)
