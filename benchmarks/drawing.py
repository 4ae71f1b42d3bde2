"""The style of all drawings: SVG on a transparent ground, with the reader's ink.

The ink is ``currentColor``: dark on a light page and light on a dark one, by the theme of the page that includes the
drawing, or by the reader's setting where it is a file of its own.
"""

import base64
import re
from io import BytesIO

from matplotlib.figure import Figure
from PIL import Image

INK = '#010203'  # becomes currentColor
# Readable on white and on a dark ground; black text is readable on the second of each pair.
COLOURS = ('#3b82d0', '#e07b1a', '#2f9e5b', '#d64550', '#8a63d2', '#a0693f', '#d65db1', '#8b8f98', '#a3a01c', '#1aa6b7')
PALE = ('#a9cdf2', '#f6c690', '#a5dcb8', '#f2b0b4', '#cdb9f0', '#d9bfa8', '#f0bfe2', '#cfd2d8', '#dcda8e', '#a0e0e8')
THEME = '.themed{color:#1f2328}@media(prefers-color-scheme:dark){.themed{color:#e6edf3}}.themed *{'
STYLE = {
    # Text stays text, and drawing again gives the same file.
    **{'svg.fonttype': 'none', 'svg.hashsalt': 'mlp_backbones', 'savefig.transparent': True, 'font.size': 10},
    **{f'{name}.color': INK for name in ('text', 'xtick', 'ytick')},
    **{'axes.labelcolor': INK, 'axes.edgecolor': INK, 'axes.titlesize': 10, 'axes.titlepad': 8},
    **{'axes.spines.top': False, 'axes.spines.right': False, 'grid.color': '#8b949e', 'grid.alpha': 0.35},
    **{'legend.frameon': False, 'figure.facecolor': 'none', 'axes.facecolor': 'none'},
}


def svg(figure: Figure) -> str:
    """Return the figure as SVG text whose ink follows the theme."""
    with BytesIO() as stream:
        figure.savefig(stream, format='svg', metadata={'Date': None}, bbox_inches='tight', pad_inches=0.05)
        text = stream.getvalue().decode()
    text = re.sub(r'data:image/png;base64,\s*([\w+/=\s]+)', _as_jpeg, text[text.index('<svg') :])
    text = re.sub(r'font-family: [^;"]*', 'font-family: system-ui, sans-serif', text)
    text = re.sub(r'(font: [^;\"]*?px) [^;\"]*', r'\1 system-ui, sans-serif', text)
    return text.replace(INK, 'currentColor').replace('<svg ', '<svg class="themed" ', 1).replace('*{', THEME, 1)


def _as_jpeg(found: re.Match) -> str:
    pixels = Image.open(BytesIO(base64.b64decode(found[1]))).convert('RGB')
    stream = BytesIO()
    pixels.save(stream, 'JPEG', quality=82)
    return f'data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}'
