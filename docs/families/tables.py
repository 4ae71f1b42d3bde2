#!/usr/bin/env python
"""Writes the tables of these pages from the metafiles: `python docs/families/tables.py`."""

import re
from pathlib import Path

import mlp_backbones as mb
from mlp_backbones.engine.zoo import INTRODUCTION, Row, as_markdown, load_zoo, tabulate

HERE = Path(__file__).parent


def variants(rows: list[Row]) -> str:
    """The published variants, with the result on ImageNet-1K that is reported for each."""
    found = {row.backbone: row for row in rows if row.dataset == 'ImageNet-1K'}
    text = '| variant | parameters | multiply-adds | top-1 (reported) |\n|---|---|---|---|\n'
    for name in (name for name in mb.list_backbones() if name in found):
        row = found[name]
        text += f'| `{name}` | {row.parameters:,} | {row.macs / 1e9:.2f} G | {float(row.metrics["Top 1 Accuracy"])} |\n'
    return text


def results(rows: list[Row]) -> str:
    """The zoo's tables, but for configs without a result and for ImageNet-1K."""
    known = [row for row in rows if row.metrics and row.dataset != 'ImageNet-1K']
    text = as_markdown(tabulate(known)).removeprefix(INTRODUCTION).strip('\n')
    return text.replace('](../configs/', '](../../configs/').replace('## ', '### ') + '\n'


def main() -> None:
    families: dict[str, list[Row]] = {}
    for row in load_zoo(HERE.parents[1]):
        families.setdefault(re.sub(r'\W', '', row.family).lower(), []).append(row)
    for path in sorted(HERE.glob('*.md')):
        text = path.read_text()
        for name, write in dict(variants=variants, results=results).items():
            begin, end = f'<!-- {name} -->\n', f'<!-- end of {name} -->'
            head, rest = text.split(begin)
            text = f'{head}{begin}\n{write(families[path.stem])}\n{end}{rest.split(end)[1]}'
        path.write_text(text)


if __name__ == '__main__':
    main()
