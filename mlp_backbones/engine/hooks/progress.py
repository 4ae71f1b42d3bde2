"""A live bar on a terminal."""

import atexit
import logging
import sys

from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ...registry import HOOKS


@HOOKS.register_module()
class ProgressHook(Hook):
    """A live bar on a terminal: epoch, iteration, loss, seconds an iteration and of data, time left.

    If the output is not a terminal, it does nothing: mmengine's log lines hold the same.
    """

    priority = 'LOWEST'

    def __init__(self):
        self.progress: Progress | None = None

    def before_train(self, runner: Runner) -> None:
        if runner.rank or not sys.stdout.isatty():
            return
        self.progress = Progress(
            TextColumn('{task.description}'),
            BarColumn(),
            TextColumn('{task.completed:.0f}/{task.total:.0f} {task.fields[values]}'),
            TimeElapsedColumn(),
            TextColumn('left'),
            TimeRemainingColumn(),
        )
        self.progress.add_task('train', total=runner.max_iters, completed=runner.iter, values='')
        self.progress.start()
        # However training ends, the terminal gets its cursor back.
        atexit.register(self.progress.stop)
        for handler in terminal_handlers(runner.logger):
            # Rich prints other lines above the bar; the lines that the bar shows are left out.
            handler.setStream(sys.stdout)
            handler.addFilter(self._is_not_on_the_bar)

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        if self.progress:
            scalars = runner.message_hub.log_scalars
            names = dict(loss='loss {:.3f}', time='{:.2f} s/it', data_time='data {:.2f} s')
            found = {name: scalars.get(f'train/{name}') for name in names}
            values = '  '.join(names[name].format(value.current()) for name, value in found.items() if value)
            description = f'epoch {runner.epoch + 1}/{runner.max_epochs}' if runner.max_epochs > 1 else 'train'
            self.progress.update(0, completed=runner.iter + 1, description=description, values=values)

    def after_train(self, runner: Runner) -> None:
        if self.progress:
            self.progress.stop()
            for handler in terminal_handlers(runner.logger):
                handler.setStream(sys.stdout)
                handler.removeFilter(self._is_not_on_the_bar)
            self.progress = None

    @staticmethod
    def _is_not_on_the_bar(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith(('Epoch(train)', 'Iter(train)'))


def terminal_handlers(logger: logging.Logger) -> list[logging.StreamHandler]:
    return [handler for handler in logger.handlers if type(handler) is logging.StreamHandler]
