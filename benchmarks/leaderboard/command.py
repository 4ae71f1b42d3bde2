"""``python -m benchmarks.leaderboard``: build, add, check."""

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from mlp_backbones.apis import load_config
from mlp_backbones.apis.zoo import Row, load_references, load_zoo
from mlp_backbones.engine.hooks.result import Result
from mlp_backbones.errors import UserError, printable
from mlp_backbones.files import atomic_file, check_target, write_text, writing

from .check import check_result, read_bytes
from .collect import RESULTS, check_metafiles, collect, load_configs, result_files
from .formats import as_csv, as_json, as_markdown
from .page import as_html
from .tables import rank

ROOT = Path(__file__).parents[2]
OUT = 'docs/_build/leaderboard'


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks.leaderboard', description='Build the leaderboard, and check or add result files.'
    )
    commands = parser.add_subparsers(metavar='COMMAND', required=True)
    build = commands.add_parser('build', help='write index.html, leaderboard.csv, .json and .md')
    build.add_argument(
        '--work-dirs', nargs='+', type=Path, default=[], metavar='DIR', help='also search these for result files'
    )
    build.add_argument('--out', type=Path, default=ROOT / OUT, metavar='DIR', help=f'(default: {OUT})')
    build.add_argument('--base', help='address of the repository, for links to configs (default: the path from --out)')
    build.set_defaults(run=run_build)
    add = commands.add_parser('add', help='check a result file and copy it to the leaderboard')
    add.add_argument('result', type=Path, metavar='RESULT', help='such as work_dirs/NAME/result.json')
    add.set_defaults(run=run_add)
    check = commands.add_parser('check', help='list the faults of result files; exit code 1 if there is any')
    check.add_argument(
        'results',
        nargs='*',
        type=Path,
        metavar='RESULT',
        help='(default: all files that build reads, and the metafiles)',
    )
    check.set_defaults(run=run_check)
    args = parser.parse_args(arguments)
    try:
        args.run(args)
    except UserError as error:
        sys.exit(f'error: {error}')


def run_build(args: argparse.Namespace) -> None:
    """Write the leaderboard's files."""
    for path in write(ROOT, args.out, args.work_dirs, args.base):
        print(path)


def run_add(args: argparse.Namespace) -> None:
    """Check a result file and copy it to the others."""
    content = read_bytes(args.result)
    result = _check(args.result, content, load_configs(ROOT))
    target = check_target(ROOT / RESULTS / file_name(result))
    if target.exists() and target.read_bytes() != content:
        raise UserError(f'{target} exists with other content; remove it first if {printable(args.result)} replaces it')
    if target.exists():
        print(f'{target} exists with the same content')
        return
    with writing(target), atomic_file(target) as path:
        path.write_bytes(content)
    print(f'{target}\nnow run: python -m benchmarks.leaderboard build')


def run_check(args: argparse.Namespace) -> None:
    """Print a line for each fault."""
    configs = load_configs(ROOT)
    faults = [] if args.results else check_metafiles(load_zoo(ROOT) + load_references(ROOT))
    paths = args.results or result_files(ROOT)
    for path in paths:
        try:
            _check(path, read_bytes(path), configs)
        except UserError as error:
            faults += str(error).splitlines()
    for fault in faults:
        print(fault)
    if faults:
        sys.exit(1)
    print(f'{len(paths)} result file{"s" * (len(paths) != 1)}{"" if args.results else " and the metafiles"}: no fault')


def _check(path: Path, content: bytes, configs: Mapping[str, Row]) -> Result:
    result = check_result(path, content, configs)
    path = printable(path)
    try:
        config = load_config(str(ROOT / configs[result.config].config), ROOT / 'configs', result.options)
    except UserError as error:
        raise UserError(f'{path}: options: {error}') from error
    if config.provenance.config_hash != result.config_hash:
        raise UserError(
            f'{path}: config_hash is not that of {result.config} with these options: the config has changed since, or '
            f'the result is of another config; train again'
        )
    return result


def file_name(result: Result) -> str:
    """Return the name of a result file, from its config, test scales, seeds, date and settings."""
    parts = [result.config, 'multi'] if result.test == 'multi' else [result.config]
    seeds = f'seed{"_".join(map(str, result.seeds))}'
    if len(seeds) > 60:  # a name has at most 255 bytes
        seeds = f'{len(result.seeds)}seeds_{sha256(seeds.encode()).hexdigest()[:16]}'
    return '-'.join([*parts, seeds, result.date, result.config_hash[:8]]) + '.json'


def write(root: Path, out: Path, work_dirs: list[Path], base: str | None = None) -> list[Path]:
    """Write the leaderboard of the repository ``root`` into the folder ``out``.

    Args:
        root: root of the repository.
        out: folder, created if it does not exist.
        work_dirs: see :func:`.collect.collect`.
        base: address of the repository, for links. Default None: the path from ``out`` to it.

    Returns:
        The files.

    Raises:
        UserError: see :func:`.collect.collect`; also if a file cannot be written.
    """
    if base is None:
        base = Path(os.path.relpath(root, out)).as_posix()
    elif not re.fullmatch(r'https?://[^\s<>"\'()\[\]|\\`]+', base) or printable(base, 2000) != base:
        raise UserError(
            f'--base {printable(base)}: an address is expected that begins with http:// or https:// and has no '
            f'blanks, quotes or brackets'
        )
    entries, remarks = collect(root, work_dirs)
    for remark in remarks:
        print(remark)
    rankings = rank(entries)
    texts = {
        'leaderboard.csv': as_csv(entries, rankings),
        'leaderboard.json': as_json(entries, rankings),
        'leaderboard.md': as_markdown(entries, rankings, base.rstrip('/')),
        'index.html': as_html(entries, rankings, base.rstrip('/')),
    }
    with writing(out):
        for name in texts:
            check_target(out / name)
        for name, text in texts.items():
            write_text(out / name, text)
    return [out / name for name in texts]
