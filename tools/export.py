#!/usr/bin/env python
"""Export a backbone, or the segmentor of an mmseg config, as ONNX or as an exported program of torch."""

import argparse
import sys
from pathlib import Path

import mlp_backbones as mb
from mlp_backbones.apis import load_config
from mlp_backbones.apis.config import build_model
from mlp_backbones.apis.export import SegmentorGraph, export_graph
from mlp_backbones.checkpoints import CheckpointError, load_published, load_trained
from mlp_backbones.errors import UserError

CONFIGS = Path(__file__).parents[1] / 'configs'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('model', help='a variant (cyclemlp_b1), or the path of a config, or the name of a recipe')
    parser.add_argument('dst', type=Path, help='file to write, *.onnx or *.pt2')
    parser.add_argument(
        '--checkpoint', help='weights: published or own for a variant, of a training for a config (default: random)'
    )
    parser.add_argument('--backbone', action='store_true', help='export only the backbone of a config')
    parser.add_argument(
        '--size', type=int, nargs=2, default=(224, 224), metavar=('H', 'W'), help='of the example (default: 224 224)'
    )
    parser.add_argument('--static', action='store_true', help='fix H and W; the batch stays open')
    parser.add_argument('--opset', type=int, help='version of ONNX operators, for *.onnx (default: 18)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        if args.model in mb.list_backbones():
            if args.backbone:
                raise UserError(f'--backbone: {args.model} is a backbone by itself; leave it out, or name a config')
            model = mb.build_backbone(args.model)
            if args.checkpoint:
                print(load_published(model, args.checkpoint))
        else:
            config = load_config(args.model, CONFIGS)
            model = build_model(config)
            if args.checkpoint:
                load_trained(model, args.checkpoint)
            if args.backbone:
                model = model.backbone
            elif hasattr(model, 'decode_head'):
                model = SegmentorGraph(model)
            else:
                raise UserError(
                    f'{args.model} holds a {type(model).__name__}, which is no segmentor: export only its --backbone'
                )
        error = export_graph(model, args.dst, tuple(args.size), not args.static, args.opset)
    except (UserError, CheckpointError) as error:
        sys.exit(f'error: {error}')
    sizes = 'at its size' if args.static else 'at three other sizes'
    print(f'{args.dst}: written, and run {sizes}; largest relative difference to torch: {error:.1e}')


if __name__ == '__main__':
    main()
