#!/usr/bin/env python
"""Train a detector, segmentor or classifier from an mmdet, mmseg or mmpretrain config."""

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from mlp_backbones.apis import TrainOptions, keep_freed_memory, load_config, prepare_train
from mlp_backbones.apis.config import add_arguments
from mlp_backbones.apis.explain import explained
from mlp_backbones.apis.fine_tune import OTHER_WEIGHTS_HINT, add_data_arguments, config_for_training
from mlp_backbones.apis.prepare import NO_DATA_HINT
from mlp_backbones.checkpoints import CheckpointError, CheckpointMissing
from mlp_backbones.engine import build_runner
from mlp_backbones.errors import UserError

CONFIGS = Path(__file__).parents[1] / 'configs'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='path of a config, or the name of a recipe')
    add_arguments(parser)
    parser.add_argument('--amp', action='store_true', help='train in mixed precision (needs a GPU)')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='PATH',
        help='continue from a checkpoint; without a path, or with `auto`, from the newest one of the work directory',
    )
    add_data_arguments(parser, is_required=False)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    keep_freed_memory()
    try:
        config = load_config(config_for_training(args), CONFIGS, args.cfg_options)
        options = {field.name: getattr(args, field.name) for field in fields(TrainOptions)}
        prepare_train(config, TrainOptions(**options))
        with explained(Path(config.filename).name):
            build_runner(config).train()
    except UserError as error:
        sys.exit(f'error: {error}')
    except CheckpointError as error:
        hint = f'; {OTHER_WEIGHTS_HINT if args.data else NO_DATA_HINT}'
        sys.exit(f'error: {error}' + (hint if isinstance(error, CheckpointMissing) else ''))
    except KeyboardInterrupt as stop:
        print(f'\n{str(stop) or "stopped"}', file=sys.stderr)
        sys.exit(130)


if __name__ == '__main__':
    main()
