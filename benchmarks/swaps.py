"""Swap the backbone of stock configs: which configs, and a run of them all that writes docs/measured/swaps.json.

``python -m benchmarks.swaps`` runs the configs that have no result yet, and goes on where it was stopped. All of them
take about half an hour on one core. Configs of libraries that are not installed are left out.
"""

import argparse
import json
import logging
import re
import sys
import time
from itertools import zip_longest
from pathlib import Path

import torch

from mlp_backbones.apis.edits import plain
from mlp_backbones.apis.seams import backbone_place, neck_nodes
from mlp_backbones.apis.stock import LIBRARIES, library_configs
from mlp_backbones.apis.swap import Swap, swap_backbone
from mlp_backbones.engine.nodes import type_name
from mlp_backbones.errors import UserError

ROOT = Path(__file__).parents[1]
RESULT = ROOT / 'docs' / 'measured' / 'swaps.json'
LIST = Path(__file__).with_name('swaps.txt')


def rows() -> list[tuple[str, str]]:
    """The configs of swaps.txt and the backbone that each gets."""
    lines = [line.partition('#')[0].split() for line in LIST.read_text().splitlines()]
    return [(line[0], line[1]) for line in lines if line]


def describe(result: Swap) -> dict:
    """What a swap did, as data."""
    old = result.edits.old.model
    heads = [node for key, node in old.items() if key.endswith('head') and 'fusion' not in key]
    kinds = [type_name(node[-1] if isinstance(node, list) else node) for node in heads if node]
    place = backbone_place(old)
    return dict(
        model=type_name(old),
        head=kinds[0] if kinds else '',
        neck='+'.join(type_name(node) for _, node in neck_nodes(old)),
        old=type_name(old['image_encoder'][0] if 'image_encoder' in place else old['backbone']),
        changes={
            '.'.join(map(str, place)): plain(new)
            for place, _, new, _ in result.edits.changes()
            if place not in (('model', 'backbone'), ('model', 'image_encoder'))
        },
        notes=result.notes,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--again', metavar='TEXT', help='run those whose name has this text again ("": all)')
    parser.add_argument('--out', type=Path, default=RESULT, metavar='FILE', help='(default: %(default)s)')
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    known = {entry['config']: entry for entry in json.loads(args.out.read_text())} if args.out.exists() else {}
    groups = [[row for row in rows() if row[0].startswith(f'{name}::')] for name in LIBRARIES]
    # One of each library in turn, so that a run that is stopped has all kinds.
    for config, backbone in (row for turn in zip_longest(*groups) for row in turn if row):
        entry = known.get(config)
        if library_configs(config.partition('::')[0]) is None:
            continue  # results of another environment stay
        again = args.again is not None and args.again in config
        if again or entry is None or entry['new'] != backbone:
            start = time.monotonic()
            entry = dict(config=config, new=backbone, refused='')
            try:
                entry |= describe(swap_backbone(config, backbone))
            except UserError as error:
                # Files of an installation are not the same elsewhere.
                entry['refused'] = re.sub(r'"/[^"]*/([^/"]+)"', r'\1', str(error))
            print(f'{time.monotonic() - start:4.0f} s  {config}  {entry["refused"] or "ok"}'[:300], flush=True)
        known[config] = entry
        args.out.write_text(json.dumps([known[name] for name, _ in rows() if name in known], indent=1) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
