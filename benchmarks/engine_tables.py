"""Tables of the suite ``engines``: the fastest way to run each network, all times, and all errors."""

from collections.abc import Callable

LEGEND = """\
Times are medians over the rounds, in ms for the whole batch. The error is the largest over the outputs of
|found - wanted| / |wanted|, beside the eager network in fp32, of random weights and images of noise. onnxruntime and
OpenVINO run the file that `tools/export.py` writes, after `fuse()`; a star marks a file for one image of this size
only. int8 is onnxruntime's static quantisation, in OpenVINO too. A compiled network is one after `fuse()`; frozen is
compiled with inductor's `freezing` and in channels_last.
"""
EXACT = 1e-3  # errors below come from the order of sums in fp32


def fastest(content: dict) -> str:
    """The table "how to run it fastest": the best engine of each network in fp32, and of all precisions."""
    head = ['network', 'size', 'batch', 'eager, ms', 'fastest in fp32', 'ms', 'fastest of all', 'ms', 'its error']
    lines = []
    for (model, size, batch), rows in grouped(content).items():
        eager = rows.get(('eager', 'fp32'))
        exact = {key: row for key, row in rows.items() if key[1] == 'fp32' and row['output_error'] < EXACT}
        cells = [model, size, str(batch), _ms(eager) if eager else '']
        for found in (exact, rows):
            if found:
                best = min(found, key=lambda key: found[key]['infer_step_time'])
                name = best[0] if found is exact else ' '.join(best)
                cells += [name, _ms(found[best])]
            else:
                cells += ['', '']
        lines.append([*cells, f'{rows[best]["output_error"]:.0e}'])
    return markdown_table(head, lines)


def tables(content: dict) -> str:
    """All tables of a result, in Markdown."""
    parts = ['## Fastest\n', fastest(content), '## Times, ms\n', _matrix(content, _ms)]
    parts += ['## Errors\n', _matrix(content, lambda row: f'{row["output_error"]:.0e}')]
    parts += ['## Seconds until ready\n', _matrix(content, lambda row: f'{row["ready_after"]:.1f}')]
    if content['left_out']:
        parts += ['## Left out\n', ''.join(f'- {sentence}\n' for sentence in content['left_out'])]
    return '\n'.join([*parts, LEGEND])


def grouped(content: dict) -> dict[tuple[str, str, int], dict[tuple[str, str], dict]]:
    """(model, size, batch) -> (engine, precision) -> record."""
    groups: dict[tuple[str, str, int], dict[tuple[str, str], dict]] = {}
    for record in content['results']:
        key = record['model'], record['infer_img_size'], record['infer_batch_size']
        groups.setdefault(key, {})[record['contestant'], record['precision']] = record
    return groups


def _matrix(content: dict, cell: Callable[[dict], str]) -> str:
    groups = grouped(content)
    columns = list(dict.fromkeys(key for rows in groups.values() for key in rows))
    lines = [
        [model, size, str(batch), *(cell(rows[key]) if key in rows else '' for key in columns)]
        for (model, size, batch), rows in groups.items()
    ]
    return markdown_table(['network', 'size', 'batch', *map(' '.join, columns)], lines)


def _ms(row: dict) -> str:
    return f'{row["infer_step_time"]:,.1f}' + ('*' if row.get('open_sizes') is False else '')


def markdown_table(head: list[str], lines: list[list[str]]) -> str:
    """Write a table whose columns, but for the first two, are numbers."""
    rule = ['---' if i < 2 else '---:' for i in range(len(head))]
    return ''.join(f'| {" | ".join(cells)} |\n' for cells in (head, rule, *lines))
