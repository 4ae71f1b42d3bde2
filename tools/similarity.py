#!/usr/bin/env python
"""Measure the similarity of backbone stages on a set of images, by linear CKA, as a heat map and as CSV."""

import argparse
import sys
from pathlib import Path

import torch
from mmengine.logging import MMLogger
from rich.console import Console

from mlp_backbones.analysis.similarity import check_out, compare, load_network, parse_size, write
from mlp_backbones.apis.images import find_images
from mlp_backbones.checkpoints import CheckpointError
from mlp_backbones.errors import UserError
from mlp_backbones.files import add_force_argument

CONFIGS = Path(__file__).parents[1] / 'configs'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('pictures', metavar='FOLDER|GLOB', help='any format of OpenCV; a pattern in quotes')
    parser.add_argument(
        'networks', nargs='+', metavar='NETWORK', help='variants (cyclemlp_b1), paths of configs, or names of recipes'
    )
    parser.add_argument(
        '--checkpoints',
        nargs='+',
        metavar='FILE',
        help='one for each network: published or own for a variant (default: random weights), of a training for '
        'a config',
    )
    parser.add_argument(
        '--sizes', nargs='+', default=['224x224'], metavar='HxW', help='of the images, in pixels (default: 224x224)'
    )
    parser.add_argument('--all', action='store_true', help='every stage; of a network of one scale, every block')
    parser.add_argument(
        '--out', type=Path, default=Path('similarity'), help='OUT.png and OUT.csv (default: similarity)'
    )
    add_force_argument(parser)
    parser.add_argument('--batch-size', type=int, default=16, metavar='N', help='at least 4 (default: 16)')
    parser.add_argument('--seed', type=int, default=0, help='of random weights and of the batches (default: 0)')
    parser.add_argument('--device', default='cpu', help='such as cuda (default: cpu)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # Lines of mmengine's log would stand between ours.
    MMLogger.get_current_instance().setLevel('WARNING')
    try:
        sizes = [parse_size(text) for text in args.sizes]
        checkpoints = args.checkpoints or [None] * len(args.networks)
        if len(checkpoints) != len(args.networks):
            raise UserError(
                f'--checkpoints got {len(checkpoints)}, expected {len(args.networks)}: give one for each network'
            )
        check_out(args.out, args.pictures, args.force)
        _, pictures = find_images(args.pictures, args.out)
        torch.manual_seed(args.seed)
        networks = [
            load_network(name, checkpoint, CONFIGS, args.all, args.seed)
            for name, checkpoint in zip(args.networks, checkpoints, strict=True)
        ]
        layers, values = compare(networks, sizes, pictures, Console(), args.batch_size, args.seed, args.device)
        write(args.out, layers, values, f'{len(pictures)} images, in batches of {args.batch_size}')
    except (UserError, CheckpointError) as error:
        sys.exit(f'error: {error}')
    print(f'{args.out}.png, {args.out}.csv: linear CKA over {len(pictures)} images')


if __name__ == '__main__':
    main()
