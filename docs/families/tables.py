"""Write the tables of the families' pages, and of the recipes, from the metafiles and from counts."""

import json
import re
from functools import cache
from math import log
from pathlib import Path

import mlp_backbones as mb
from mlp_backbones.analysis.complexity import complexity
from mlp_backbones.apis.zoo import INTRODUCTION, Row, as_markdown, load_references, load_zoo, tabulate
from mlp_backbones.backbones import FAMILIES
from mlp_backbones.recipes import INDEX, read_metafile

ROOT = Path(__file__).parents[2]
# Tables of docs/choosing.md: the protocol of each, as (head, schedule, scales of training, scales of testing).
CHOICES = {
    'mask-rcnn-1x': ('Mask R-CNN', '1x', 'single', 'single'),
    'mask-rcnn-3x': ('Mask R-CNN', '3x', 'multi', 'single'),
    'cascade-3x': ('Cascade Mask R-CNN', '3x', 'multi', 'single'),
    'upernet-160k': ('UperNet', '160k', 'multi', 'single'),
    'upernet-160k-flips': ('UperNet', '160k', 'multi', 'multi'),
    'semfpn-40k': ('Semantic FPN', '40k', 'multi', 'single'),
}
# ResNet-50's wide maps make the head of UperNet larger.
SIZED_BY = {'UperNet': 'swin_tiny'}
HEADLINES = ('box AP', 'mask AP', 'mIoU', 'mIoU (ms+flip)')


def variants(family: str, rows: list[Row]) -> str:
    """List the published variants, counted, with the results on ImageNet-1K that are reported for each."""
    text = '| variant | parameters | MACs | top-1 (reported) |\n|---|---|---|---|\n'
    for name in (name for name in mb.list_backbones() if name.startswith(f'{family}_')):
        found = [row for row in rows if row.backbone == name and row.dataset == 'ImageNet-1K']
        # Some networks are trained, and counted in the metafile, at another size.
        counted = [(row.parameters, row.macs) for row in found if row.size == (224, 224)]
        parameters, macs = counted[0] if counted else complexity(name)
        reported = ', '.join(str(float(row.metrics['Top 1 Accuracy'])) for row in found if row.metrics)
        text += f'| `{name}` | {parameters:,} | {macs / 1e9:.2f} G | {reported} |\n'
    return text


def results(rows: list[Row]) -> str:
    """Return the tables of the zoo except for configs without a result and for ImageNet-1K."""
    known = [row for row in rows if row.metrics and row.dataset != 'ImageNet-1K']
    if not known:
        return 'No source reports detection or segmentation.\n'
    text = as_markdown(tabulate(known)).removeprefix(INTRODUCTION).strip('\n')
    return text.replace('](../configs/', '](../../configs/').replace('## ', '### ') + '\n'


def counts() -> str:
    """List the counts of each recipe beside the published ones."""
    text = '| config | parameters, M: ours / published | MACs, G: ours / published | at |\n|---|---|---|---|\n'
    for metafile in read_metafile(ROOT / INDEX)['Import']:
        for model in read_metafile(ROOT / metafile)['Models']:
            meta = model['Metadata']
            published = meta.get('Published', {})
            height, width = meta['Input Size']
            text += (
                f'| [{model["Name"]}](../{model["Config"]}) '
                f'| {meta["Parameters"] / 1e6:.2f} / {published.get("Parameters (M)", "-")} '
                f'| {meta["FLOPs"] / 1e9:.1f} / {published.get("FLOPs (G)", "-")} | {width}x{height} |\n'
            )
    return text


def weights() -> str:
    """List the published weights with what their sources report."""
    text = '| name | variant | file | reported | source | licence |\n|---|---|---|---|---|---|\n'
    for entry in mb.list_weights():
        kind = f'a [page]({entry.address}); save as `{entry.file}`' if entry.file else f'[file]({entry.address})'
        kind += f', {entry.size:,} bytes' if entry.size else ''
        kind += f', SHA-256 `{entry.sha256}...`' if entry.sha256 else ''
        kind += f', {entry.note}' if entry.note else ''
        shown = {metric: value for metric, value in entry.metrics.items() if not metric.endswith(('50', '75'))}
        metrics = ', '.join(f'{value} {metric}' for metric, value in shown.items())
        licence = entry.licence or 'not stated'
        text += f'| `{entry.name}` | `{entry.variant}` | {kind} | {metrics} | {entry.source} | {licence} |\n'
    return text


def swaps() -> str:
    """List the stock configs that were swapped, with what changed, then those that were refused, with the reason."""
    entries = json.loads((ROOT / 'docs' / 'measured' / 'swaps.json').read_text())
    text = (
        '| config | model | neck | head | old backbone | new backbone | other places |\n|---|---|---|---|---|---|---|\n'
    )
    for entry in entries:
        if not entry['refused']:
            places = ', '.join(f'`{place.removeprefix("model.")}`' for place in entry['changes']) or '-'
            columns = (entry[key] or '-' for key in ('model', 'neck', 'head', 'old', 'new'))
            text += f'| `{entry["config"].removesuffix(".py")}` | {" | ".join(columns)} | {places} |\n'
    text += '\n| refused | reason |\n|---|---|\n'
    for entry in entries:
        if entry['refused']:
            reason = re.sub(r'^\S+\.py(?: cannot take [^:]+)?: ', '', entry['refused']).replace('|', '/')
            text += f'| `{entry["config"].removesuffix(".py")}` | {reason} |\n'
    return text


def nearest(head: str, schedule: str, scales: str, test: str) -> list[Row]:
    """Return reported results under one protocol, the best first: of each family the variant nearest to ResNet-50.

    Size is that of the whole model (with UperNet, nearest to Swin-T). A family whose nearest variant differs by over
    30 % is left out.
    """
    zoo = _rows()
    size = next(row.parameters for row in zoo if (row.backbone, row.head) == (SIZED_BY.get(head, 'resnet50'), head))
    protocol, best = (head, schedule, scales, test), {}
    for row in zoo:
        if (row.head, row.schedule, row.scales, row.test) == protocol and row.state == 'reported':
            best.setdefault(row.family, []).append(row)
    chosen = []
    for rows in best.values():
        # As papers compare sizes: by the ratio. Of one size, the best result.
        row = min(rows, key=lambda row: (abs(log(row.parameters / size)), -_headline(row)))
        if 0.7 < row.parameters / size < 1.3:
            chosen.append(row)
    return sorted(chosen, key=_headline, reverse=True)


@cache
def _rows() -> list[Row]:
    return load_zoo(ROOT) + load_references(ROOT)


def _headline(row: Row) -> float:
    return next(row.metrics[name] for name in HEADLINES if name in row.metrics)


def choices() -> dict[str, str]:
    """Return the tables of docs/choosing.md: reported results of networks near the size of ResNet-50."""
    files = {}
    for name, protocol in CHOICES.items():
        rows = nearest(*protocol)
        metrics = [metric for metric in HEADLINES if any(metric in row.metrics for row in rows)]
        columns = ['backbone', 'family', 'parameters', 'MACs', 'size', *metrics]
        text = f'| {" | ".join(columns)} |\n|{"---|" * len(columns)}\n'
        for row in rows:
            family = f'{row.family}, *reference*' if row.reference else row.family
            cells = [f'[{row.backbone}]({row.link("..")})', family, f'{row.parameters / 1e6:.1f} M']
            cells += [f'{row.macs / 1e9:.1f} G', 'x'.join(map(str, row.size))]
            cells += [str(float(row.metrics[metric])) if metric in row.metrics else '' for metric in metrics]
            text += f'| {" | ".join(cells)} |\n'
        files[f'choosing-{name}.md'] = text
    return files


def tables() -> dict[str, str]:
    """Return the Markdown files of all families' pages by name."""
    families: dict[str, list[Row]] = {}
    for row in load_zoo(ROOT):
        families.setdefault(re.sub(r'\W', '', row.family).lower(), []).append(row)
    files = {}
    for family in map(str.lower, FAMILIES):
        rows = families[family]
        files[f'{family}-variants.md'] = variants(family, rows)
        files[f'{family}-results.md'] = results(rows)
    return files
