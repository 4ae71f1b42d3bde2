"""Compare ratios of times at small sizes with committed ones: no slower by accident."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

import mlp_backbones as mb
from mlp_backbones.engine.provenance import machine
from mlp_backbones.errors import UserError

from .measure import Step, interleave
from .suites import NETWORKS, Row, network_step, network_versions

COMMITTED = Path(__file__).parent / 'check.json'
TOLERANCE = 1.15
MODELS = NETWORKS[:4]
SIZE = (224, 224)
REPEATS = {'infer': 5, 'train': 3}
MIN_TIME = 0.05  # seconds of a measurement


@dataclass(frozen=True)
class Change:
    """A ratio that changed by more than the tolerance.

    Attributes:
        name: of the ratio.
        before: the committed ratio.
        now: the measured one.
    """

    name: str
    before: float
    now: float

    @property
    def slower(self) -> bool:
        return self.now > self.before

    def __str__(self) -> str:
        return f'{self.name}: {self.now:.2f}, committed {self.before:.2f}'


def changes(found: dict[str, float], committed: dict[str, float], tolerance: float = TOLERANCE) -> list[Change]:
    """Name the ratios that are more than ``tolerance`` times the committed ones, or less than the inverse."""
    pairs = [Change(name, committed[name], now) for name, now in found.items() if name in committed]
    return [pair for pair in pairs if not 1 / tolerance <= pair.now / pair.before <= tolerance]


def check(write: bool = False, committed: Path = COMMITTED, measure: Callable[..., dict] | None = None) -> int:
    """Measure the ratios, and compare them with committed ones.

    A ratio that seems slower is measured a second time, and the better of the two counts.

    Args:
        write: write the ratios in place of comparing them.
        committed: the file of the committed ratios.
        measure: measures the ratios, or those of some names. Default None: :func:`ratios`.

    Returns:
        The exit code: 1 if a ratio is more than 1.15 times the committed one, else 0.

    Raises:
        UserError: if the file is missing or broken.
    """
    measure, console = measure or ratios, Console(highlight=False, soft_wrap=True)
    here = {key: machine('cpu')[key] for key in ('cpu', 'threads')} | {'torch': torch.__version__}
    if write:
        committed.write_text(json.dumps({'machine': here, 'ratios': measure()}, indent=1, ensure_ascii=False) + '\n')
        console.print(f'{committed}: written')
        return 0
    try:
        content = json.loads(committed.read_text())
        before = {str(name): float(ratio) for name, ratio in content['ratios'].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f'{committed} holds no ratios: write them with `python -m benchmarks check --write`') from error
    if content.get('machine') != here:
        console.print(f'the committed ratios are of {content.get("machine")}, this is {here}: ratios may differ')
    found = measure()
    suspects = {change.name for change in changes(found, before) if change.slower}
    if suspects:
        again = measure(suspects)
        found |= {name: min(found[name], again[name]) for name in suspects}
    for name, ratio in found.items():
        console.print(f'{name:<44} {ratio:6.2f}, committed {before.get(name, float("nan")):6.2f}')
    changed = changes(found, before)
    for change in changed:
        console.print(f'{"slower" if change.slower else "faster, commit it with --write"}: {change}')
    if lacking := set(before) - set(found):
        console.print(f'not measured: {", ".join(sorted(lacking))}; write the ratios anew with --write')
    return int(any(change.slower for change in changed))


def ratios(names: set[str] | None = None) -> dict[str, float]:
    """Measure ours ÷ naive, in inference ours ÷ bound, and compiled ÷ eager of one block.

    Args:
        names: those to measure. Default None: all.

    Returns:
        By name, the quotient of the least times of pairs that take turns.
    """
    found: dict[str, float] = {}
    for model in MODELS:
        for mode in ('infer', 'train'):
            # A training step takes long: the naive form stands for both there.
            rivals = ('naive', 'bound') if mode == 'infer' else ('naive',)
            kinds = [kind for kind in rivals if _wanted(f'{model}, {mode}: ours ÷ {kind}', names)]
            if not kinds:
                continue
            torch.manual_seed(0)
            versions = network_versions(mb.build_backbone(model, drop_path_rate=0.0))
            row = Row(mode, 'fp32', SIZE, 1)
            kinds = [kind for kind in kinds if kind in versions]
            steps = {kind: network_step(versions[kind], row, 'cpu') for kind in ('ours', *kinds)}
            least = _least(steps, mode)
            found |= {f'{model}, {mode}: ours ÷ {k}': least['ours'] / least[k] for k in kinds}
        name = f'{model}, infer: compiled ÷ eager'
        if _wanted(name, names):
            least = _least(_compiled_steps(model), 'infer')
            found[name] = least['compiled'] / least['eager']
    return {name: round(ratio, 3) for name, ratio in found.items()}


def _wanted(name: str, names: set[str] | None) -> bool:
    return names is None or name in names


def _compiled_steps(model: str) -> dict[str, Step]:
    net = mb.build_backbone(model, drop_path_rate=0.0).eval()
    # Machine code of a whole network takes minutes.
    stage = next(module for name, module in net.named_modules() if re.search(r'blocks\.\d+$', name))
    given: list[tuple] = []
    hook = stage.register_forward_pre_hook(lambda _, args: given.append(args))
    with torch.inference_mode():
        net(torch.rand(1, 3, *SIZE))
    hook.remove()
    compiled = torch.compile(stage)

    def run(block: Callable) -> None:
        with torch.inference_mode():
            block(*given[0])

    return {'eager': partial(run, stage), 'compiled': partial(run, compiled)}


def _least(steps: dict[str, Step], mode: str) -> dict[str, float]:
    times = interleave(steps, REPEATS[mode], MIN_TIME, lambda name: None)
    return {name: min(found) for name, found in times.items()}
