#!/usr/bin/env python
"""Tests a checkpoint of an mmdet, mmseg or mmpretrain config: metrics, predictions, pictures."""

import argparse
import sys
from pathlib import Path

from mmengine.config import DictAction

from mlp_backbones.checkpoints import CheckpointError, load_trained
from mlp_backbones.engine import TerminalRunner, UserError, load_config, prepare_test

CONFIGS = Path(__file__).parents[1] / 'configs'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path of a config, or the bare name of one in configs/')
    parser.add_argument('checkpoint', help='a file that tools/train.py wrote; it must hold the whole model')
    parser.add_argument('--work-dir', help='where the log and the metrics go (default: work_dirs/NAME)')
    parser.add_argument('--out', metavar='FILE.pkl', help='save the predictions')
    parser.add_argument('--show-dir', metavar='DIR', help='save pictures of the predictions beside the truth')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='changes to the config'
    )
    parser.add_argument(
        '--launcher', choices=('none', 'pytorch', 'slurm', 'mpi'), default='none', help='(default: none)'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        config = load_config(args.config, CONFIGS, args.cfg_options)
        prepare_test(config, args.work_dir, args.launcher, args.out, args.show_dir)
        runner = TerminalRunner.from_cfg(config)
        load_trained(runner.model, args.checkpoint)
        runner.test()
    except (UserError, CheckpointError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
