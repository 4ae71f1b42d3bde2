"""Metrics of each head, and the values that are impossible."""

from collections.abc import Mapping

from mlp_backbones.backbones.arguments import unknown

BOX, MASK = (
    tuple(f'{kind} {name}' for name in ('AP', 'AP50', 'AP75', 'AP small', 'AP medium', 'AP large'))
    for kind in ('box', 'mask')
)
SEGMENTATION = ('mIoU', 'mAcc', 'aAcc')
PANOPTIC = ('PQ', 'SQ', 'RQ')
# Metrics of each head; the first one ranks results.
METRICS = {
    **dict.fromkeys(('RetinaNet', 'DINO', 'RTMDet', 'Sparse R-CNN', 'ATSS', 'GFL'), BOX),
    'Mask R-CNN': BOX + MASK,
    'Cascade Mask R-CNN': BOX + MASK,
    'Mask2Former (instance)': MASK + BOX,
    'Mask2Former (panoptic)': PANOPTIC + BOX + MASK,
    'Mask2Former (semantic)': SEGMENTATION,
    'SegFormer': SEGMENTATION,
    'Semantic FPN': SEGMENTATION,
    'UperNet': SEGMENTATION,
    'Classifier': ('Top 1 Accuracy', 'Top 5 Accuracy'),
}
# Required in results of heads that have them.
HEADLINES = ('box AP', 'mask AP', 'mIoU', 'PQ', 'Top 1 Accuracy')
# The first cannot be above the second.
ORDERED = (
    *((f'{kind} {low}', f'{kind} AP50') for kind in ('box', 'mask') for low in ('AP', 'AP75')),
    ('mask AP', 'box AP50'),
    ('mIoU', 'mAcc'),
    ('Top 1 Accuracy', 'Top 5 Accuracy'),
)
# Metrics are rounded to as little as one decimal.
ROUNDING = 0.11


def metric_faults(head: str, metrics: Mapping[str, float]) -> list[str]:
    """Return a sentence for each fault of a model's metrics (numbers by name), measured or reported."""
    known = METRICS.get(head)
    if known is None:
        return [unknown('head', head, list(METRICS))]
    every = list(dict.fromkeys(name for names in METRICS.values() for name in names))
    faults = []
    for name, value in metrics.items():
        if name not in every:
            faults.append(f'metrics: {unknown("metric", name, list(known))}')
        elif name not in known:
            faults.append(f'metrics: {name} does not belong to {head}, whose metrics are {", ".join(known)}')
        elif not 0 <= value <= 100:
            faults.append(f'metrics: {name} is {value:g}: a percentage is from 0 to 100')
        elif name in HEADLINES and 0 < value <= 1 and not _is_low(name, metrics):
            faults.append(f'metrics: {name} is {value:g}: it is in percent, so {100 * value:g} if this is a fraction')
    if faults:
        return faults
    for low, high in ORDERED:
        if low in metrics and high in metrics and metrics[low] > metrics[high] + ROUNDING:
            faults.append(f'metrics: {low} ({metrics[low]:g}) is above {high} ({metrics[high]:g}), which is impossible')
    # AP is the mean over ten thresholds, and precision falls from each to the next: five are at most AP50 and five at
    # most AP75; the first is AP50 and the next five are at least AP75. A slip by a factor of ten shows here.
    for kind in ('box', 'mask'):
        ap, ap50, ap75 = (metrics.get(f'{kind} AP{end}') for end in ('', '50', '75'))
        if ap is None or ap50 is None or any(fault.startswith(f'metrics: {kind} ') for fault in faults):
            continue
        low, high = (ap50 + 5 * (ap75 or 0)) / 10, (ap50 + (ap50 if ap75 is None else ap75)) / 2
        if not low - ROUNDING <= ap <= high + ROUNDING:
            beside = f'AP50 {ap50:g}' + ('' if ap75 is None else f' and AP75 {ap75:g}')
            faults.append(f'metrics: {kind} AP is {ap:g}, but beside {beside} it is from {low:.1f} to {high:.1f}')
    return faults


def _is_low(name: str, metrics: Mapping[str, float]) -> bool:
    """Return whether an AP of at most 1 is a percentage: all of the model are low, and its AP50 allows it."""
    ap50 = metrics.get(f'{name}50', 100)
    return 1 < max(metrics.values()) <= 25 and ap50 / 10 <= metrics[name] + ROUNDING
