#!/usr/bin/env python
"""Print the metrics of a training as a table, and draw its loss and metric curves."""

import argparse
import sys

from rich import print

from mlp_backbones.apis import write_report
from mlp_backbones.errors import UserError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dir', help='the --work-dir of a training; curves.png is written there')
    try:
        table, curves = write_report(parser.parse_args().work_dir)
    except UserError as error:
        sys.exit(f'error: {error}')
    print(table)
    print(f'curves: {curves}')


if __name__ == '__main__':
    main()
