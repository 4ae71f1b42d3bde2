#!/usr/bin/env python
"""Draw the predictions of a trained detector, segmentor or classifier on images, and write them as JSON."""

import argparse
import sys
from functools import partial
from pathlib import Path

from rich.console import Console

from mlp_backbones.apis import keep_freed_memory, load_config
from mlp_backbones.apis.inference import Predictor, find_images, image_suffixes, infer
from mlp_backbones.apis.video import infer_video
from mlp_backbones.checkpoints import CheckpointError
from mlp_backbones.errors import UserError

CONFIGS = Path(__file__).parents[1] / 'configs'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'pictures', nargs='?', metavar='IMAGE|FOLDER|GLOB', help='images to predict; put a pattern in quotes'
    )
    parser.add_argument('--video', type=Path, metavar='FILE', help='predict on a video, in place of images')
    parser.add_argument('--config', required=True, help='path of a config, or the name of a recipe')
    weights = parser.add_mutually_exclusive_group(required=True)
    weights.add_argument('--checkpoint', help='a checkpoint of a training')
    weights.add_argument(
        '--engine',
        nargs=2,
        metavar=('onnxruntime|openvino', 'FILE'),
        help='run a file that tools/export.py wrote of this config',
    )
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='folder for the images and JSON files')
    parser.add_argument('--score', type=float, default=0.3, help='leave out boxes below this score (default: 0.3)')
    parser.add_argument('--device', default='cpu', help='such as cuda (default: cpu)')
    args = parser.parse_args()
    if (args.pictures is None) == (args.video is None):
        parser.error('give either images or --video FILE')
    return args


def main() -> None:
    args = parse_args()
    keep_freed_memory()
    console = Console()
    try:
        config = load_config(args.config, CONFIGS)
        exported = (args.engine[0], Path(args.engine[1])) if args.engine else None
        build = partial(Predictor, config, args.checkpoint, args.score, args.device, exported)
        if args.video:
            count = infer_video(build(), args.video, args.out, console)
            print(f'{args.out / args.video.stem}.mp4: {count} frames drawn')
            return
        root, pictures = find_images(args.pictures, args.out, image_suffixes(config))
        skipped = infer(build(), root, pictures, args.out, console)
    except (UserError, CheckpointError) as error:
        sys.exit(f'error: {error}')
    print(f'{args.out}: {len(pictures) - len(skipped)} of {len(pictures)} images drawn')
    if skipped:
        sys.exit(f'error: {len(skipped)} of {len(pictures)} images skipped')


if __name__ == '__main__':
    main()
