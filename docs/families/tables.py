#!/usr/bin/env python
"""Writes the tables of these pages from the metafiles: `python docs/families/tables.py`."""

import re
from pathlib import Path

import mlp_backbones as mb
from mlp_backbones.engine.complexity import complexity
from mlp_backbones.engine.zoo import INTRODUCTION, Row, as_markdown, load_zoo, tabulate

HERE = Path(__file__).parent


def variants(family: str, rows: list[Row]) -> str:
    """The published variants, counted, with the results on ImageNet-1K that are reported for each."""
    text = '| variant | parameters | multiply-adds | top-1 (reported) |\n|---|---|---|---|\n'
    for name in (name for name in mb.list_backbones() if name.startswith(f'{family}_')):
        found = [row for row in rows if row.backbone == name and row.dataset == 'ImageNet-1K']
        # Some networks are trained, and counted in the metafile, at another size.
        counted = [(row.parameters, row.macs) for row in found if row.size == (224, 224)]
        parameters, macs = counted[0] if counted else complexity(name)
        reported = ', '.join(str(float(row.metrics['Top 1 Accuracy'])) for row in found if row.metrics)
        text += f'| `{name}` | {parameters:,} | {macs / 1e9:.2f} G | {reported} |\n'
    return text


def results(rows: list[Row]) -> str:
    """The zoo's tables, but for configs without a result and for ImageNet-1K."""
    known = [row for row in rows if row.metrics and row.dataset != 'ImageNet-1K']
    if not known:
        return 'No source here reports detection or segmentation.\n'
    text = as_markdown(tabulate(known)).removeprefix(INTRODUCTION).strip('\n')
    return text.replace('](../configs/', '](../../configs/').replace('## ', '### ') + '\n'


def main() -> None:
    families: dict[str, list[Row]] = {}
    for row in load_zoo(HERE.parents[1]):
        families.setdefault(re.sub(r'\W', '', row.family).lower(), []).append(row)
    for path in sorted(HERE.glob('*.md')):
        text = path.read_text()
        rows = families[path.stem]
        for name, written in dict(variants=variants(path.stem, rows), results=results(rows)).items():
            begin, end = f'<!-- {name} -->\n', f'<!-- end of {name} -->'
            head, rest = text.split(begin)
            text = f'{head}{begin}\n{written}\n{end}{rest.split(end)[1]}'
        path.write_text(text)


if __name__ == '__main__':
    main()
