#!/usr/bin/env python
"""Convert a published checkpoint to OpenMMLab's names or back, publish one of a training, or describe one."""

import argparse
import sys
from io import BytesIO
from pathlib import Path

import torch

from mlp_backbones.checkpoints import CheckpointError, convert, inspect, publish, read_checkpoint
from mlp_backbones.checkpoints.state_dict import list_names
from mlp_backbones.errors import UserError
from mlp_backbones.files import add_force_argument, atomic_file, check_output


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help='path or http(s) address of a checkpoint')
    parser.add_argument('dst', nargs='?', type=Path, help='file to write; not needed with --inspect')
    parser.add_argument(
        '--to',
        choices=('mmpretrain', 'backbone', 'official'),
        default='mmpretrain',
        help='names of an mmpretrain classifier, of only the backbone, or of the published code (default: mmpretrain)',
    )
    parser.add_argument('--ema', action='store_true', help='take the moving average of the weights, e.g. model_ema')
    parser.add_argument('--prefix', help='take only the tensors below this prefix (default: find it)')
    parser.add_argument('--inspect', action='store_true', help='describe the file and write nothing')
    parser.add_argument(
        '--publish',
        action='store_true',
        help='keep a training checkpoint as it is without what only training needs; its hash is added to the name DST',
    )
    add_force_argument(parser)
    args = parser.parse_args()
    if not args.inspect and args.dst is None:
        parser.error('DST is missing: name the file to write, or use --inspect')
    if not args.inspect and not args.dst.parent.is_dir():
        parser.error(f'{args.dst}: the folder {args.dst.parent} is missing; make it, or name a file elsewhere')
    if args.publish and (args.inspect or args.ema or args.prefix or args.to != 'mmpretrain'):
        parser.error('--publish changes no names and takes no other option')
    return args


def main() -> None:
    args = parse_args()
    try:
        if not args.inspect:
            check_output(args.dst, args.force or args.publish)  # --publish writes another name
        content = read_checkpoint(args.src)
        if args.inspect:
            for fact, value in inspect(content, args.prefix):
                print(f'{fact:<12} {value}')
            return
        if args.publish:
            target, dropped = publish(content, args.dst)
            print(f'{target}: {len(content["state_dict"])} tensors; left out: {list_names(dropped, 10) or "nothing"}')
            return
        new, identity, dropped = convert(content, args.to, args.ema, args.prefix)
        buffer = BytesIO()
        torch.save(new, buffer)
        with atomic_file(args.dst) as aside:
            aside.write_bytes(buffer.getbuffer())
    except (UserError, CheckpointError, OSError) as error:
        sys.exit(f'error: {error}')
    left_out = f'; left out: {list_names(dropped, 10)}' if dropped else ''
    print(f'{args.dst}: {identity} in {args.to} names, {len(identity.names)} tensors of the backbone{left_out}')


if __name__ == '__main__':
    main()
