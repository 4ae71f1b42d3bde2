"""The same network in each engine that runs it, every engine in a process of its own, in turns."""

import ctypes
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer

from mlp_backbones.apis import keep_freed_memory
from mlp_backbones.apis.export import PlainGraph, export_graph
from mlp_backbones.apis.quantize import quantize_graph
from mlp_backbones.errors import UserError, describe

from .suites import ALTERNATIVES, Row, build_network

CALIBRATION = 4  # images of noise, as those that are measured
PR_SET_PDEATHSIG = 1  # of Linux's prctl.h: the signal that a process gets when its parent ends
Run = Callable[[], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Job:
    """A network, its input and the outputs that it should give.

    Attributes:
        model: a variant or an alternative.
        row: mode 'infer', precision, size and batch.
        device: 'cpu' or 'cuda'.
        threads: of the engine.
        reference: file of the images and of the outputs in eager mode and fp32, as torch saves them.
        graph: file of the network in ONNX, of the row's precision, or None.
    """

    model: str
    row: Row
    device: str
    threads: int
    reference: Path
    graph: Path | None = None


def _torch_run(job: Job, images: Tensor, prepare: Callable[[nn.Module], nn.Module]) -> Run:
    net = prepare(build_network(job.model)).to(job.device)

    def run() -> tuple[Tensor, ...]:
        with torch.inference_mode(), job.row.autocast(job.device):
            return net(images)

    return run


def _eager(job: Job, images: Tensor) -> Run:
    return _torch_run(job, images, lambda net: net)


def _fused(job: Job, images: Tensor) -> Run:
    return _torch_run(job, images, _fuse)


def _compiled(job: Job, images: Tensor) -> Run:
    return _torch_run(job, images, lambda net: torch.compile(_fuse(net)))


def _frozen(job: Job, images: Tensor) -> Run:
    import torch._inductor.config

    torch._inductor.config.freezing = True
    channels_last = torch.channels_last
    return _torch_run(
        job,
        images.contiguous(memory_format=channels_last),
        lambda net: torch.compile(_fuse(net).to(memory_format=channels_last)),
    )


def _fuse(net: nn.Module) -> nn.Module:
    return net.fuse() if hasattr(net, 'fuse') else net


def _onnxruntime(job: Job, images: Tensor) -> Run:
    import onnxruntime

    provider = 'CUDAExecutionProvider' if job.device == 'cuda' else 'CPUExecutionProvider'
    if provider not in onnxruntime.get_available_providers():
        raise UserError(f'this onnxruntime has no {provider}: pip install onnxruntime-gpu')
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.threads
    session = onnxruntime.InferenceSession(job.graph, options, providers=[provider])
    feed = {session.get_inputs()[0].name: images.cpu().numpy()}
    return lambda: tuple(torch.from_numpy(y) for y in session.run(None, feed))


def _openvino(job: Job, images: Tensor) -> Run:
    import openvino

    hint = 'bf16' if job.row.precision == 'bf16' else 'f32'
    settings = {
        'INFERENCE_PRECISION_HINT': hint,
        'INFERENCE_NUM_THREADS': job.threads,
        'PERFORMANCE_HINT': 'LATENCY',
    }
    compiled = openvino.Core().compile_model(job.graph, 'CPU', settings)
    given = images.numpy()
    return lambda: tuple(torch.from_numpy(y) for y in compiled([given]).values())


@dataclass(frozen=True)
class Engine:
    """An engine: how it prepares a network, and in what it computes.

    Attributes:
        prepare: maps a job and its images to the call to measure.
        precisions: all that it computes in.
        default: those that are measured if no precision is named.
        package: that it needs, or None.
        takes_graph: whether it runs ONNX files.
        devices: those that it runs on.
        ours_only: whether only networks of this package have this form.
    """

    prepare: Callable[[Job, Tensor], Run]
    precisions: tuple[str, ...] = ('fp32', 'bf16')
    default: tuple[str, ...] = ('fp32', 'bf16')
    package: str | None = None
    takes_graph: bool = False
    devices: tuple[str, ...] = ('cpu', 'cuda')
    ours_only: bool = False


ENGINES = {
    'eager': Engine(_eager),
    'fused': Engine(_fused, ours_only=True),
    # Code for a network takes one to two minutes on two cores.
    'compiled': Engine(_compiled, default=('fp32',)),
    'frozen': Engine(_frozen, default=('fp32',)),
    # It has no bfloat16 for convolutions on a CPU.
    'onnxruntime': Engine(_onnxruntime, ('fp32', 'int8'), ('fp32', 'int8'), 'onnxruntime', takes_graph=True),
    'openvino': Engine(
        _openvino, ('fp32', 'bf16', 'int8'), ('fp32', 'bf16', 'int8'), 'openvino', takes_graph=True, devices=('cpu',)
    ),
}
DEFAULT_ENGINES = ('eager', 'fused', 'compiled', 'onnxruntime', 'openvino')


class OneImage(PlainGraph):
    """A network that fixes the batch in its graph, as mmdet's Swin Transformer does."""

    one_image = True


class Worker:
    """An engine in a process of its own, which is stopped while others have their turns."""

    def __init__(self, engine: str):
        context = get_context('spawn')
        self.engine = engine
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, engine))
        self.process.start()
        other.close()

    def send(self, *message: Any) -> None:
        # Threads of an engine may go on spinning after a run, and take the others' time.
        self._signal(signal.SIGCONT)
        self.connection.send(message)

    def receive(self) -> Any:
        try:
            return self.connection.recv()
        except EOFError as error:
            self.process.join()
            raise UserError(f'the process of {self.engine} ended with status {self.process.exitcode}') from error
        finally:
            self._signal(signal.SIGSTOP)

    def close(self) -> None:
        self.process.kill()
        self.process.join()

    def _signal(self, number: signal.Signals) -> None:
        if self.process.pid and self.process.is_alive():
            os.kill(self.process.pid, number)


def _serve(connection: Connection, engine: str) -> None:
    """Answer the messages of :class:`Worker` until it ends this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends all workers
    if sys.platform == 'linux':
        # A stopped process would outlive a parent that was killed.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    keep_freed_memory()
    steps: dict[str, Timer] = {}
    while True:
        message, *given = connection.recv()
        if message == 'time':
            precision, min_time = given
            connection.send(steps[precision].blocked_autorange(min_run_time=min_time).median * 1e3)
            continue
        steps.clear()
        found = {}
        for job in given[0]:
            try:
                steps[job.row.precision], found[job.row.precision] = _prepared(job, engine)
            except Exception as error:
                traceback.print_exc()
                found[job.row.precision] = str(error) if isinstance(error, UserError) else describe(error)
        connection.send(found)


def _prepared(job: Job, engine: str) -> tuple[Timer, tuple[float, float]]:
    """The timer of a job, the seconds until it was ready, and its error."""
    torch.set_num_threads(job.threads)
    torch.backends.cudnn.allow_tf32 = False
    images, wanted = torch.load(job.reference, weights_only=True)
    start = time.perf_counter()
    run = ENGINES[engine].prepare(job, images.to(job.device))
    outputs = run()
    seconds = time.perf_counter() - start
    error = max(_error(y.float().cpu(), reference) for y, reference in zip(outputs, wanted, strict=True))
    return Timer('run()', globals={'run': run}, num_threads=job.threads), (seconds, error)


def _error(found: Tensor, wanted: Tensor) -> float:
    return ((found - wanted).norm() / wanted.norm()).item()


@dataclass
class Found:
    """What was measured of one network in one engine.

    Attributes:
        engine: a key of :data:`ENGINES`.
        precision: 'fp32', 'bf16' or 'int8'.
        times: ms per batch, one for each repeat.
        seconds: until the engine had the network ready, its first run included.
        error: the largest over the outputs of |found - wanted| / |wanted|, by the eager network in fp32; norms of all
            elements.
        open_sizes: whether its file takes images of any size; None without a file.
    """

    engine: str
    precision: str
    times: list[float]
    seconds: float
    error: float
    open_sizes: bool | None


def available(names: list[str], device: str, log: Callable[[str], None]) -> list[str]:
    """Leave out engines that are not installed or do not run on the device, and log why."""
    kept = []
    for name in names:
        engine = ENGINES[name]
        if engine.package and find_spec(engine.package) is None:
            log(f'{name} is left out: it is not installed; pip install {engine.package}')
        elif device not in engine.devices:
            log(f'{name} is left out: it does not run on {device}')
        else:
            kept.append(name)
    return kept


class Race:
    """All engines, each with its process, over one network after the other.

    Args:
        engines: keys of :data:`ENGINES`.
        device: 'cpu' or 'cuda'.
        threads: of every engine.
        log: takes sentences on what is left out.
    """

    def __init__(self, engines: list[str], device: str, threads: int, log: Callable[[str], None]):
        self.device, self.threads, self.log = device, threads, log
        self.workers = {name: Worker(name) for name in available(engines, device, log)}

    def __enter__(self) -> 'Race':
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self.workers.values():
            worker.close()

    def measure(
        self, model: str, size: tuple[int, int], batch: int, precisions: list[str] | None, repeats: int, min_time: float
    ) -> Iterator[Found]:
        """Measure a network in all engines, in ``repeats`` rounds in which each engine has a turn per precision."""
        chosen = {
            name: [p for p in precisions or ENGINES[name].default if p in ENGINES[name].precisions]
            for name in self.workers
            if not (ENGINES[name].ours_only and model in ALTERNATIVES)
        }
        with TemporaryDirectory() as folder:
            found = self._prepare(model, size, batch, chosen, Path(folder))
            for _, (name, precision) in product(range(repeats), found):
                self.workers[name].send('time', precision, min_time)
                found[name, precision].times.append(self.workers[name].receive())
        yield from found.values()

    def _prepare(
        self, model: str, size: tuple[int, int], batch: int, chosen: dict[str, list[str]], folder: Path
    ) -> dict[tuple[str, str], Found]:
        net = build_network(model)
        images = torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            torch.save((images, tuple(net(images))), folder / 'reference.pt')

        def send(names: list[str], graphs: dict[str, Path]) -> None:
            for name in names:
                rows = [Row('infer', precision, size, batch) for precision in chosen[name]]
                jobs = [
                    Job(
                        model,
                        row,
                        self.device,
                        self.threads,
                        folder / 'reference.pt',
                        graphs.get('int8' if row.precision == 'int8' else 'fp32'),
                    )
                    for row in rows
                ]
                self.workers[name].send('prepare', jobs)

        # Machine code is made while the files are written.
        send([name for name in chosen if not ENGINES[name].takes_graph], {})
        takers = [name for name in chosen if ENGINES[name].takes_graph]
        graphs, is_open = {}, None
        if takers:
            wants_int8 = any('int8' in chosen[name] for name in takers)
            try:
                graphs, is_open = self._graphs(net, model, size, folder, wants_int8)
            except UserError as error:
                self.log(f'{model} is left out of {" and ".join(takers)}: {error}')
                takers = []
            send(takers, graphs)
        found = {}
        for name in [*(name for name in chosen if not ENGINES[name].takes_graph), *takers]:
            for precision, got in self.workers[name].receive().items():
                if isinstance(got, str):
                    self.log(f'{model} is left out of {name} in {precision}: {got}')
                else:
                    is_file_open = is_open if ENGINES[name].takes_graph else None
                    found[name, precision] = Found(name, precision, [], *got, is_file_open)
        return found

    def _graphs(
        self, net: nn.Module, model: str, size: tuple[int, int], folder: Path, wants_int8: bool
    ) -> tuple[dict[str, Path], bool]:
        graphs, is_open = {'fp32': folder / 'fp32.onnx'}, True
        _fuse(net)
        try:
            export_graph(net, graphs['fp32'], size)
        except UserError as error:
            self.log(f'{model} is exported for one image of {size[0]}x{size[1]} only: {error}')
            export_graph(OneImage(net), graphs['fp32'], size, dynamic=False)
            is_open = False
        if wants_int8:
            graphs['int8'] = folder / 'int8.onnx'
            generator = torch.Generator().manual_seed(1)
            batches = (torch.rand(1, 3, *size, generator=generator).numpy() for _ in range(CALIBRATION))
            quantize_graph(graphs['fp32'], graphs['int8'], batches)
        return graphs, is_open
