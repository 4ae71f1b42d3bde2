#!/usr/bin/env python
"""Counts parameters and multiply-adds of backbones."""

import argparse
import sys

from rich.console import Console
from rich.table import Table

import mlp_backbones as mb
from mlp_backbones.backbones.arguments import unknown
from mlp_backbones.engine.complexity import complexity


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('names', nargs='*', metavar='NAME', help='variants such as cyclemlp_b1 (default: all)')
    parser.add_argument('--size', type=int, nargs=2, default=(224, 224), metavar=('H', 'W'), help='(default: 224 224)')
    parser.add_argument('--dense', action='store_true', help='the dense backbone, without the head of 1,000 classes')
    args = parser.parse_args()
    table = Table('name', 'parameters', 'multiply-adds', title='x'.join(map(str, args.size)))
    for name in args.names or mb.list_backbones():
        if name not in mb.list_backbones():
            sys.exit(f'error: {unknown("backbone", name, mb.list_backbones())}')
        parameters, macs = complexity(name, tuple(args.size), not args.dense)
        table.add_row(name, f'{parameters:,}', f'{macs / 1e9:.2f} G')
    Console().print(table)


if __name__ == '__main__':
    main()
