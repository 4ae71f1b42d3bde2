#!/usr/bin/env python
"""Write a config that trains a recipe on your own images, in COCO's, VOC's or YOLO's format or in folders."""

import argparse
import sys
from pathlib import Path

import torch

from mlp_backbones.apis.fine_tune import add_data_arguments, data_options, write_new_config
from mlp_backbones.errors import UserError
from mlp_backbones.files import add_force_argument, check_output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('recipe', help='path of a config, or the name of a recipe')
    parser.add_argument('-o', '--output', type=Path, required=True, help='file to write')
    add_force_argument(parser)
    add_data_arguments(parser, is_required=True)
    parser.add_argument(
        '--devices', type=int, default=max(1, torch.cuda.device_count()), help='that will train (default: all GPUs)'
    )
    args = parser.parse_args()
    try:
        check_output(args.output, args.force)
        print('\n'.join(write_new_config(args.recipe, data_options(args, args.devices), args.output)))
    except UserError as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
