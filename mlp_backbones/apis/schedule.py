"""Batch, learning rate, length and warm-up of a training, by the number of its images and devices."""

import math

from ..engine.nodes import type_name
from .edits import Edits, Place, plain
from .nearest import batch_size

# The metric by which the best checkpoint is kept, by library.
BEST = dict(mmdet='coco/bbox_mAP', mmseg='mIoU', mmpretrain='accuracy/top1')
# Images to see in a training, and the fewest and most epochs, by library: choices, not measured.
IMAGES_SEEN = 20_000
EPOCHS = dict(mmdet=(12, 100), mmseg=(50, 100), mmpretrain=(30, 100))
STEPS = 8  # at least, in an epoch, where the data suffice


def fit_schedule(edits: Edits, scope: str, count: int, devices: int, epochs: int | None = None) -> list[str]:
    """Set batch, learning rate, length, warm-up, validation and checkpoints.

    Args:
        edits: of a config.
        scope: its library.
        count: images to train on.
        devices: that will train.
        epochs: passes over the images. Default None: by their number.

    Returns:
        What was decided, in sentences.
    """
    old_batch = edits.old.train_dataloader.get('batch_size', 1)
    batch = max(2, min(old_batch, 2 ** int(math.log2(max(count / (STEPS * devices), 1)))))
    why = f'{count} training images on {devices} device{"s" * (devices > 1)}'
    edits.set(('train_dataloader', 'batch_size'), batch, why)
    least, most = EPOCHS[scope]
    epochs = epochs or max(least, min(most, math.ceil(IMAGES_SEEN / count)))
    steps = max(1, math.ceil(count / (batch * devices)))
    train = edits.old.train_cfg
    by_iter = 'max_iters' in train
    every = max(1, epochs // 10)
    why = f'{epochs} epochs of {steps} steps, validated every {every}'
    unit = steps if by_iter else 1
    edits.set(('train_cfg', 'max_iters' if by_iter else 'max_epochs'), epochs * unit, why)
    edits.set(('train_cfg', 'val_interval'), every * unit, why)
    checkpoint = ('default_hooks', 'checkpoint')
    edits.set((*checkpoint, 'interval'), every * unit, why)
    edits.set((*checkpoint, 'max_keep_ckpts'), 1, 'the last one')
    edits.set((*checkpoint, 'save_best'), BEST[scope], 'and the best one')
    factor, rate = _scale_rate(edits, batch * devices)
    warm_up = _stretch(edits, epochs, steps, factor)
    return [
        why,
        f'batch {batch} on each of {devices} device{"s" * (devices > 1)}, learning rate {rate}'
        + (f', {warm_up}' if warm_up else ''),
    ]


def _scale_rate(edits: Edits, batch: int) -> tuple[float, str]:
    place: Place = ('optim_wrapper', 'optimizer')
    optimizer = edits.get(place)
    old, theirs = optimizer.get('lr'), batch_size(edits.old) or edits.old.train_dataloader.get('batch_size', 1)
    if not old:
        return 1.0, 'of the optimizer'
    # For Adam by the square root (Malladi et al., arXiv 2205.10287), for SGD linearly (Goyal et al., 1706.02677).
    is_sgd = type_name(optimizer) == 'SGD'
    rate = float(f'{old * (batch / theirs) ** (1 if is_sgd else 0.5):.3g}')
    why = f'{old:g} for {theirs} images, scaled to {batch}{"" if is_sgd else " by the square root"}'
    edits.set((*place, 'lr'), rate, why)
    if edits.old.get('auto_scale_lr'):
        edits.set(('auto_scale_lr', 'base_batch_size'), batch, 'to which this learning rate belongs')
    return rate / old, f'{rate:g} ({why})'


def _stretch(edits: Edits, epochs: int, steps: int, factor: float) -> str:
    """Bring the phases of the learning rate to the new length, and the warm-up to a tenth of it at most.

    ``factor`` is that of the learning rate, for its lowest value.
    """
    old = plain(edits.old.get('param_scheduler') or [])
    old = old if isinstance(old, list) else [old]
    train = edits.old.train_cfg
    by_iter = 'max_iters' in train
    length = train['max_iters' if by_iter else 'max_epochs']
    ratio = epochs * (steps if by_iter else 1) / length
    total = epochs * steps
    new, shown = [], ''
    warm_up: dict[float, int] = {}  # ends by iteration
    for node in old:
        node, before = dict(node), node.get('end') or 0
        by_epoch = node.get('by_epoch', True)
        if by_iter or by_epoch:
            for key in ('begin', 'end', 'T_max'):
                if node.get(key) is not None:
                    after = warm_up.get(node[key]) if not by_epoch else None
                    node[key] = after or round(node[key] * ratio)
        if not by_epoch and type_name(node) == 'LinearLR' and not node.get('begin'):
            node['end'] = warm_up[before] = max(1, min(before, total // 10))
            shown = f'warm-up over {node["end"]} of {total} steps'
        elif by_epoch and type_name(node) == 'LinearLR' and node.get('end'):
            shown = f'warm-up over {node["end"]} of {epochs} epochs'
        if node.get('eta_min'):
            node['eta_min'] = float(f'{node["eta_min"] * factor:.3g}')
        if node.get('milestones'):
            node['milestones'] = sorted({max(1, round(mark * ratio)) for mark in node['milestones']})
        if node.get('end') is not None:
            node['begin'] = max(0, min(node.get('begin', 0), node['end'] - 1))
            node['end'] = max(node['end'], node['begin'] + 1)
        if 'T_max' in node:
            node['T_max'] = max(1, node['T_max'])
        new.append(node)
    if new:
        edits.set(('param_scheduler',), new, f'phases of {length} in proportion, {shown or "to the end"}')
    return shown
