"""``python -m mlp_backbones COMMAND``."""

import argparse
import sys

from .apis import zoo
from .errors import UserError


def main() -> None:
    parser = argparse.ArgumentParser(prog='python -m mlp_backbones', description='What is known about the backbones.')
    commands = parser.add_subparsers(metavar='COMMAND', required=True)
    zoo.add_arguments(commands.add_parser('zoo', help='every config with its known results, as comparable tables'))
    args = parser.parse_args()
    try:
        args.run(args)
    except UserError as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
