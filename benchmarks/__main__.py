"""Measure speed and memory beside those of alternatives, and report the ratios."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

RESULTS = Path(__file__).parent / 'results'
LEADERBOARD = Path(__file__).parent / 'leaderboard' / 'results'


def listed(parse: Callable[[str], object]) -> Callable[[str], list]:
    """Return a parser of different values separated by commas."""

    def parse_all(text: str) -> list:
        values = [parse(part.strip()) for part in text.split(',')]
        for value in values:
            if values.count(value) > 1:
                raise argparse.ArgumentTypeError(f'{text!r} is not valid: {value} is repeated; give it once')
        return values

    return parse_all


def size(text: str) -> tuple[int, int]:
    sides = text.split('x')
    if len(sides) != 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise argparse.ArgumentTypeError(f'{text!r} is not valid: give height and width in pixels, as in 800x1216')
    return int(sides[0]), int(sides[1])


def whole(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f'{text!r} is not valid: give a whole number of at least {least}')
        return int(text)

    return parse


def number(least: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float('nan')
        if not least <= value < float('inf'):
            raise argparse.ArgumentTypeError(f'{text!r} is not valid: give a number of at least {least}')
        return value

    return parse


def one_of(*names: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(f'{text!r} is not valid: give {", ".join(names)}, or several with commas')
        return text

    return parse


def parse_args(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='python -m benchmarks', description=__doc__)
    commands = parser.add_subparsers(dest='command', required=True)
    run = commands.add_parser(
        'run', help='measure', description='Measure a suite. Values of a list are separated by commas.'
    )
    run.add_argument(
        '--suite', choices=('ops', 'backbones', 'detectors', 'engines'), default='backbones', help='(%(default)s)'
    )
    run.add_argument('--device', choices=('cpu', 'cuda'), default='cpu', help='(%(default)s)')
    run.add_argument(
        '--models',
        type=listed(str),
        help='variants such as cyclemlp_b1 (for backbones: one of each family, for detectors: cyclemlp_b2); '
        'for ops: those at the end of benchmarks/operators.py, such as cycle_linear (all)',
    )
    run.add_argument(
        '--sizes',
        type=listed(size),
        help='HxW in pixels (for backbones: 224x224,512x512,512x2048,800x1216; for ops: the first and the last; '
        'for detectors: the last)',
    )
    run.add_argument(
        '--batch-sizes',
        type=listed(whole(1)),
        help='images per batch (on a CPU: 1,2; on a GPU: 2,16; for detectors: 1)',
    )
    run.add_argument(
        '--precision',
        dest='precisions',
        type=listed(one_of('fp32', 'bf16', 'int8')),
        help='fp32 (default), bf16 (autocast; not for detectors) or both; for engines also int8 (all that each engine '
        'has, compiled networks in fp32 only)',
    )
    run.add_argument(
        '--engines',
        type=listed(one_of('eager', 'fused', 'compiled', 'frozen', 'onnxruntime', 'openvino')),
        help='for the suite engines, which measures inference only (all but frozen)',
    )
    run.add_argument('--modes', type=listed(one_of('infer', 'train')), default=['infer', 'train'], help='(infer,train)')
    run.add_argument('--repeats', type=whole(1), default=7, help='measurements of each contestant (%(default)s)')
    run.add_argument('--min-time', type=number(0), default=0.2, help='minimum seconds of a measurement (%(default)s)')
    run.add_argument('--threads', type=whole(1), help="threads on the CPU (default: torch's choice)")
    run.add_argument(
        '--out',
        type=Path,
        metavar='PREFIX',
        help='write results to PREFIX.json and PREFIX.csv (benchmarks/results/SUITE-DEVICE)',
    )
    report = commands.add_parser(
        'report', help='tables, plots and regressions', description='Render a result as tables and plots beside it.'
    )
    report.add_argument('result', type=Path, metavar='RESULT.json', help='result file of `run`')
    report.add_argument(
        'base',
        type=Path,
        nargs='?',
        metavar='BASE.json',
        help='an earlier result to compare with; exit code 1 if there is a regression',
    )
    report.add_argument(
        '--tolerance',
        type=number(1),
        default=1.1,
        help='largest ratio of time or memory to the base that is not a regression (%(default)s)',
    )
    report.add_argument('--out', type=Path, metavar='DIR', help='folder for tables and plots (that of the result)')
    report.add_argument('--force', action='store_true', help='compare results of different machines')
    compare = commands.add_parser(
        'compare',
        help='train networks of the same MACs on the digit scenes',
        description='Train networks of the same MACs on the digit scenes, with the same budget, and compare accuracy, '
        'time and memory. After a stop the same command continues.',
    )
    compare.add_argument(
        '--work-dir',
        type=Path,
        default=Path('work_dirs/leaderboard_digits'),
        help='folder for trainings (%(default)s)',
    )
    compare.add_argument(
        '--out', type=Path, default=LEADERBOARD, help='for the result files (benchmarks/leaderboard/results)'
    )
    compare.add_argument('--jobs', type=whole(1), default=2, help='parallel trainings (%(default)s)')
    compare.add_argument('--heads', type=listed(str), default=['mask-rcnn', 'upernet'], help='(mask-rcnn,upernet)')
    compare.add_argument(
        '--networks',
        type=listed(str),
        help='names in configs/_base_/backbones/*_matched.py; results of the others stay (all)',
    )
    compare.add_argument(
        '--rates',
        type=listed(number(0)),
        default=[1e-3, 2e-3, 4e-3],
        help='learning rates (0.001,0.002,0.004)',
    )
    compare.add_argument(
        '--seeds',
        type=listed(whole(0)),
        default=[0, 1, 2],
        help='the first seed selects the learning rate (0,1,2)',
    )
    compare.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='changes to all configs, for experiments'
    )
    check = commands.add_parser(
        'check',
        help='compare ratios of times at small sizes with committed ones (a minute)',
        description='Compare ratios of times (ours by naive and by bound, compiled by eager) with those in '
        'benchmarks/check.json; exit code 1 if one is more than 1.15 times as large. Use an idle machine.',
    )
    check.add_argument('--write', action='store_true', help='write the ratios of this machine in place of comparing')
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    args = vars(parse_args(arguments))
    # Imported here and below: that takes seconds, and --help needs none of it.
    from mlp_backbones.errors import UserError

    try:
        command = args.pop('command')
        if command == 'report':
            from .report import report

            return report(**args)
        if command == 'check':
            from .check import check

            return check(**args)
        if command == 'compare':
            from .comparison import compare

            compare(**args)
            return 0
        from .run import Settings, run

        out = args['out'] or RESULTS / f'{args["suite"]}-{args["device"]}'
        print(f'results: {run(Settings(**{**args, "out": out}))}')
        return 0
    except UserError as error:
        sys.exit(f'error: {error}')
    except KeyboardInterrupt:
        sys.exit('stopped; what was measured so far is kept')


if __name__ == '__main__':
    sys.exit(main())
