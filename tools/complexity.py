#!/usr/bin/env python
"""Count parameters, MACs and activations of backbones, in total and by stage."""

import argparse
import csv
import json
import sys
from dataclasses import asdict

from mmengine.logging import MMLogger
from rich.console import Console
from rich.table import Table

import mlp_backbones as mb
from mlp_backbones.analysis.complexity import complexity_by_part
from mlp_backbones.backbones.arguments import unknown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('names', nargs='*', metavar='NAME', help='variants such as cyclemlp_b1 (default: all)')
    parser.add_argument('--size', type=int, nargs=2, default=(224, 224), metavar=('H', 'W'), help='(default: 224 224)')
    parser.add_argument('--dense', action='store_true', help='the dense backbone, without the head of 1,000 classes')
    parser.add_argument('--format', choices=('table', 'csv', 'json'), default='table', help='(default: table)')
    args = parser.parse_args()
    if min(args.size) < 1:
        sys.exit(f'error: --size {args.size[0]} {args.size[1]} is not valid: give two sides of at least 1 pixel')
    # Lines of the log would be in the way of CSV and JSON.
    MMLogger.get_current_instance().setLevel('WARNING')
    names = args.names or mb.list_backbones()
    for name in names:
        if name not in mb.list_backbones():
            sys.exit(f'error: {unknown("backbone", name, mb.list_backbones())}')
    counts = {name: complexity_by_part(name, tuple(args.size), not args.dense) for name in names}
    if args.format == 'json':
        parts = {name: {part: asdict(count) for part, count in found.items()} for name, found in counts.items()}
        print(json.dumps(dict(height=args.size[0], width=args.size[1], counts=parts), indent=2))
    elif args.format == 'csv':
        writer = csv.writer(sys.stdout, lineterminator='\n')
        writer.writerow(['name', 'height', 'width', 'part', 'parameters', 'macs', 'activations'])
        for name, found in counts.items():
            writer.writerows([name, *args.size, part, *asdict(count).values()] for part, count in found.items())
    else:
        table = Table('name', 'part', title='x'.join(map(str, args.size)))
        for column in ('parameters', 'MACs', 'activations'):
            table.add_column(column, justify='right')
        for name, found in counts.items():
            for part, count in found.items():
                macs, activations = f'{count.macs / 1e9:.2f} G', f'{count.activations / 1e6:.2f} M'
                table.add_row(name if part == 'all' else '', part, f'{count.parameters:,}', macs, activations)
            table.add_section()
        Console().print(table)


if __name__ == '__main__':
    main()
