#!/usr/bin/env python
"""Build the documentation site in docs/_build/html: tables, plots and drawings, then the pages.

Measurements (result files, metafiles) are committed. Their renderings go to docs/_build/rendered, in the folders of the
repository, and become part of the site.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(DOCS), str(DOCS / 'families')]

import pictures  # noqa: E402
from draw import PAGES, drawings  # noqa: E402
from mmengine.logging import MMLogger  # noqa: E402
from tables import choices, counts, swaps, tables, weights  # noqa: E402

from benchmarks.comparison import write_csv  # noqa: E402
from benchmarks.leaderboard.collect import RESULTS, RUNS  # noqa: E402
from benchmarks.report import report  # noqa: E402
from mlp_backbones.engine.hooks.result import Result  # noqa: E402

# Log lines would hide the progress.
MMLogger.get_instance('docs', log_level='WARNING')
LEADERBOARD = 'benchmarks.leaderboard build'
LINKS = (
    '**[Open the leaderboard](leaderboard/index.html)**, or get it as [CSV](leaderboard/leaderboard.csv) or '
    '[JSON](leaderboard/leaderboard.json).\n'
)
START = time.monotonic()


def progress(text: str) -> None:
    print(f'[{time.monotonic() - START:4.0f} s] {text}', flush=True)


def write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def write_tables(out: Path) -> None:
    write(out / 'docs' / 'families', tables())
    files = {'recipes-counts.md': counts(), 'weights-table.md': weights(), 'swaps-table.md': swaps()}
    write(out / 'docs', {**files, **choices()})


def write_drawings(out: Path) -> None:
    for family in PAGES:
        write(out / 'docs' / 'families', drawings(family))


def write_plots(out: Path) -> None:
    write(
        out / 'docs',
        {'distributed_curves.svg': pictures.distributed_curves(), 'similarity.svg': pictures.similarity_map()},
    )


def write_benchmarks(out: Path) -> None:
    folder = out / 'benchmarks' / 'results'
    folder.mkdir(parents=True, exist_ok=True)
    for result in sorted((ROOT / 'benchmarks' / 'results').glob('*.json')):
        with open(os.devnull, 'w') as nowhere, redirect_stdout(nowhere):
            report(result, base=None, tolerance=1.1, force=False, out=folder)


def write_leaderboard(out: Path) -> None:
    folder = out / 'docs' / 'leaderboard'
    command = [sys.executable, '-m', *LEADERBOARD.split(), '--out', str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    # The site has the repository's root two folders above the page.
    for path in folder.iterdir():
        path.write_text(path.read_text().replace(os.path.relpath(ROOT, folder), '../..'))
    write(folder, {'links.md': LINKS})
    averages = json.loads((ROOT / RESULTS / RUNS).read_text())['averages']
    write_csv(folder / 'digits.csv', [Result(**average) for average in averages])


STEPS: dict[str, tuple[str, Callable[[Path], None]]] = {
    'tables': ('tables of the families, recipes and swaps', write_tables),
    'drawings': ('drawings of the families', write_drawings),
    'plots': ('loss curves and similarity map', write_plots),
    'benchmarks': ('tables and plots of the benchmarks', write_benchmarks),
    'leaderboard': ('the leaderboard', write_leaderboard),
}


def render(out: Path, steps: Iterable[str] = STEPS) -> None:
    """Render the measurements.

    Args:
        out: folder for the renderings, in the folders of the repository.
        steps: names from ``STEPS``. Default: all.
    """
    for name in steps:
        text, step = STEPS[name]
        progress(text)
        step(out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--fast', action='store_true', help='leave out the gallery, which runs its scripts')
    parser.add_argument('--only', nargs='+', choices=STEPS, metavar='STEP', help=f'render and stop: {", ".join(STEPS)}')
    parser.add_argument('--out', type=Path, default=DOCS / '_build', metavar='DIR', help='(default: docs/_build)')
    args = parser.parse_args()
    if args.only:
        render(args.out / 'rendered', args.only)
        return 0
    shutil.rmtree(args.out, ignore_errors=True)
    render(args.out / 'rendered')
    progress('the pages' if args.fast else 'the gallery, the API and the pages')
    command = [sys.executable, '-m', 'sphinx', '-W', '--keep-going', '-c', str(DOCS), '-d', str(args.out / 'doctrees')]
    # On a terminal Sphinx rewrites one line; elsewhere each step would be a line.
    command += [] if sys.stdout.isatty() else ['-q']
    command += ['-t', 'fast'] if args.fast else []
    status = subprocess.run([*command, str(ROOT), str(args.out / 'html')], cwd=ROOT).returncode
    progress(f'failed, status {status}' if status else f'open {os.path.relpath(args.out)}/html/index.html')
    return status


if __name__ == '__main__':
    sys.exit(main())
