#!/usr/bin/env python
"""Test a checkpoint, or an exported file, of a config: metrics, predictions, images, files for servers."""

import argparse
import copy
import sys
from dataclasses import fields
from pathlib import Path

from mlp_backbones.apis import TestOptions, keep_freed_memory, load_config, prepare_test
from mlp_backbones.apis.config import add_arguments
from mlp_backbones.apis.explain import explained
from mlp_backbones.apis.exported import ExportedModel
from mlp_backbones.apis.submission import finish_submission
from mlp_backbones.checkpoints import CheckpointError, load_trained
from mlp_backbones.engine import TerminalRunner
from mlp_backbones.engine.hooks.result import write_test_result
from mlp_backbones.errors import UserError
from mlp_backbones.files import add_force_argument, check_output

CONFIGS = Path(__file__).parents[1] / 'configs'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path of a config, or the name of a recipe')
    parser.add_argument('checkpoint', nargs='?', help='a checkpoint of a training; it must hold the whole model')
    parser.add_argument(
        '--engine',
        nargs=2,
        metavar=('onnxruntime|openvino', 'FILE'),
        help='test a file that tools/export.py wrote of this config, in place of a checkpoint',
    )
    add_arguments(parser)
    parser.add_argument('--out', metavar='FILE.pkl', help='save the predictions')
    add_force_argument(parser)
    parser.add_argument('--show-dir', metavar='DIR', help='save images of the predictions beside the truth')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation: multi-scale and flip')
    parser.add_argument(
        '--submission',
        type=Path,
        metavar='DIR',
        help='no metrics: write and check the files that the servers of COCO (test-dev) and ADE20K accept',
    )
    args = parser.parse_args()
    if (args.checkpoint is None) == (args.engine is None):
        parser.error('give either a checkpoint or --engine ENGINE FILE')
    if args.engine and args.tta:
        parser.error('--tta: an exported file predicts without augmentation; leave it out')
    return args


def main() -> None:
    args = parse_args()
    keep_freed_memory()
    try:
        if args.out:
            check_output(args.out, args.force)
        config = load_config(args.config, CONFIGS, args.cfg_options)
        options = {field.name: getattr(args, field.name) for field in fields(TestOptions)}
        prepare_test(config, TestOptions(**options))
        if args.engine:
            config.test_dataloader.batch_size = 1
        with explained(Path(config.filename).name):
            runner = TerminalRunner.from_cfg(config)
            if args.engine:
                model = copy.deepcopy(runner.model).eval().cpu()
                runner.model.test_step = ExportedModel(model, args.engine[0], Path(args.engine[1])).test_step
            else:
                checkpoint = load_trained(runner.model, args.checkpoint)
            metrics = runner.test()
        if args.engine and not args.submission:
            runner.logger.info(f'no result.json: {args.engine[1]} does not record how it was trained')
        elif not args.submission:
            write_test_result(runner, metrics, checkpoint, 'multi' if args.tta else 'single')
        elif runner.rank == 0:
            finish_submission(config, runner.test_dataloader.dataset, args.submission)
    except (UserError, CheckpointError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
