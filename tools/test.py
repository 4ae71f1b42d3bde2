#!/usr/bin/env python
"""Test a checkpoint of an mmdet, mmseg or mmpretrain config: metrics, predictions, images, files for servers."""

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from mlp_backbones.apis import TestOptions, load_config, prepare_test
from mlp_backbones.apis.config import add_arguments
from mlp_backbones.apis.explain import explained
from mlp_backbones.apis.submission import finish_submission
from mlp_backbones.checkpoints import CheckpointError, load_trained
from mlp_backbones.engine import TerminalRunner
from mlp_backbones.engine.hooks.result import write_test_result
from mlp_backbones.errors import UserError
from mlp_backbones.files import check_target

CONFIGS = Path(__file__).parents[1] / 'configs'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path of a config, or the name of a recipe')
    parser.add_argument('checkpoint', help='a checkpoint of a training; it must hold the whole model')
    add_arguments(parser)
    parser.add_argument('--out', metavar='FILE.pkl', help='save the predictions')
    parser.add_argument('--show-dir', metavar='DIR', help='save images of the predictions beside the truth')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation: multi-scale and flip')
    parser.add_argument(
        '--submission',
        type=Path,
        metavar='DIR',
        help='no metrics: write and check the files that the servers of COCO (test-dev) and ADE20K accept',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        if args.out:
            check_target(args.out)
        config = load_config(args.config, CONFIGS, args.cfg_options)
        options = {field.name: getattr(args, field.name) for field in fields(TestOptions)}
        prepare_test(config, TestOptions(**options))
        with explained(Path(config.filename).name):
            runner = TerminalRunner.from_cfg(config)
            checkpoint = load_trained(runner.model, args.checkpoint)
            metrics = runner.test()
        if not args.submission:
            write_test_result(runner, metrics, checkpoint, 'multi' if args.tta else 'single')
        elif runner.rank == 0:
            finish_submission(config, runner.test_dataloader.dataset, args.submission)
    except (UserError, CheckpointError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
