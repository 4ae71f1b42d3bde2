#!/usr/bin/env python
"""Export a backbone, or the detector or segmentor of a config, as ONNX or as an exported program of torch."""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import mlp_backbones as mb
from mlp_backbones.apis import load_config
from mlp_backbones.apis.config import build_model
from mlp_backbones.apis.export import PlainGraph, RawGraph, WholeGraph, export_graph
from mlp_backbones.checkpoints import CheckpointError, load_published, load_trained
from mlp_backbones.errors import UserError
from mlp_backbones.files import add_force_argument, check_output

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
    parser.add_argument(
        '--normalize',
        choices=('bgr', 'rgb'),
        help='take uint8 images with channels in this order, and normalise them in the file (default: take float32 '
        'images that are normalised)',
    )
    parser.add_argument('--argmax', action='store_true', help='labels of a segmentor in place of logits')
    parser.add_argument('--opset', type=int, help='version of ONNX operators, for *.onnx: 11 or newer (default: 18)')
    parser.add_argument(
        '--int8',
        metavar='FOLDER',
        help='compute in int8, calibrated on the images of this folder (some hundred, like those to come)',
    )
    add_force_argument(parser)
    return parser.parse_args()


def of_variant(args: argparse.Namespace) -> WholeGraph:
    if args.int8:
        raise UserError(f'--int8: {args.model} has no pipeline to load images; name a config, with --backbone for this')
    for option in ('backbone', 'argmax', 'normalize'):
        if getattr(args, option):
            raise UserError(f'--{option}: {args.model} is a backbone by itself; leave it out, or name a config')
    model = mb.build_backbone(args.model)
    if args.checkpoint:
        print(load_published(model, args.checkpoint))
    return PlainGraph(model)


def of_config(args: argparse.Namespace) -> WholeGraph:
    model = build_model(load_config(args.model, CONFIGS))
    model.eval()
    if args.checkpoint:
        load_trained(model, args.checkpoint)
    kind = type(model).__name__
    if args.argmax and (args.backbone or not hasattr(model, 'decode_head')):
        raise UserError(f'--argmax: labels of pixels are of a segmentor, and {args.model} holds a {kind}; leave it out')
    if args.backbone:
        graph = PlainGraph(model.backbone)
    elif hasattr(model, 'decode_head'):
        from mlp_backbones.apis.segmentor_graph import SegmentorGraph  # late: it needs mmseg

        graph = SegmentorGraph(model, args.argmax)
    elif hasattr(model, 'bbox_head') or hasattr(model, 'roi_head'):
        from mlp_backbones.apis.detector_graph import DetectorGraph  # late: it needs mmdet

        graph = DetectorGraph(model)
    else:
        raise UserError(f'{args.model} holds a {kind}, no detector or segmentor: export only its --backbone')
    return RawGraph(graph, model.data_preprocessor, args.normalize) if args.normalize else graph


def write_int8(graph: WholeGraph, args: argparse.Namespace) -> int:
    """Export in float32, with the trials of that, then quantise; return the number of images."""
    from mlp_backbones.apis.quantize import calibration_inputs, quantize_graph  # late: it needs mmcv

    if args.dst.suffix != '.onnx':
        raise UserError(f'--int8: {args.dst} must end in .onnx')
    if args.opset is not None and args.opset < 13:
        raise UserError(f'--opset {args.opset}: int8 needs 13 or newer')
    config = load_config(args.model, CONFIGS)
    inputs = list(calibration_inputs(config, build_model(config), graph, args.int8))
    with TemporaryDirectory() as folder:
        whole = Path(folder) / 'float32.onnx'
        export_graph(graph, whole, tuple(args.size), not args.static, args.opset)
        quantize_graph(whole, args.dst, inputs)
    return len(inputs)


def main() -> None:
    args = parse_args()
    try:
        check_output(args.dst, args.force)
        graph = of_variant(args) if args.model in mb.list_backbones() else of_config(args)
        if args.int8:
            count = write_int8(graph, args)
            print(
                f'{args.dst}: written in int8, calibrated on {count} images; tools/test.py --engine gives its metrics'
            )
            return
        error = export_graph(graph, args.dst, tuple(args.size), not args.static, args.opset)
    except (UserError, CheckpointError) as error:
        sys.exit(f'error: {error}')
    sizes = 'at its size' if args.static else 'at three other sizes'
    if 'boxes' in (graph.output_names or ()):
        sizes = f'{sizes}, where the library finds {graph.compared} objects'
    print(f'{args.dst}: written, and run {sizes}; largest relative difference to torch: {error:.1e}')


if __name__ == '__main__':
    main()
