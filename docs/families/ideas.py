"""Draw the steps of a block in a row: the ideas of the families whose mixers need no picture of numbers."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from benchmarks.drawing import INK, PALE

Part = tuple[str, str, int]  # name, what it does, colour


def box(axis: Axes, x: float, y: float, width: float, height: float, colour: int, name: str, inside: str) -> None:
    style = dict(facecolor=PALE[colour], edgecolor='none', boxstyle='round,pad=0,rounding_size=0.08')
    axis.add_patch(FancyBboxPatch((x, y), width, height, **style))
    axis.text(x + width / 2, y + height / 2 + 0.2, name, ha='center', va='center', weight='bold', color='black')
    axis.text(x + width / 2, y + height / 2 + 0.06, inside, ha='center', va='top', size=9, color='black')


def arrow(axis: Axes, start: float, end: float, y: float) -> None:
    axis.annotate('', (end, y), (start, y), arrowprops=dict(arrowstyle='->', color=INK, shrinkA=1, shrinkB=1))


def steps(*parts: Part) -> Figure:
    """Draw parts from left to right, with arrows between."""
    figure = Figure(figsize=(2.9 * len(parts), 1.6))
    axis = figure.add_axes((0, 0, 1, 1))
    for i, (name, inside, colour) in enumerate(parts):
        box(axis, 3 * i, 0, 2.3, 1.4, colour, name, inside)
        arrow(axis, 3 * i - 0.65, 3 * i, 0.7)
    arrow(axis, 3 * len(parts) - 0.7, 3 * len(parts), 0.7)
    axis.set(xlim=(-0.8, 3 * len(parts) + 0.1), ylim=(-0.1, 1.5))
    axis.axis('off')
    return figure


def resmlp() -> Figure:
    """A block: one linear map of all positions, then an MLP over channels, each added to what came in."""
    return steps(
        ('scale, offset', 'in place of a norm', 7),
        ('linear map', 'mixes all positions\nof each channel', 0),
        ('scale, offset', 'in place of a norm', 7),
        ('channel MLP', 'mixes the channels\nof each position', 3),
    )


def gmlp() -> Figure:
    """A block: a channel MLP, in whose middle one half of the channels gates the other."""
    return steps(
        ('linear map', 'C to 6C channels', 3),
        ('gate', 'second half: norm,\nmap of all positions', 0),
        ('product', 'with the first half', 7),
        ('linear map', '3C to C channels', 3),
    )


def ramlp() -> Figure:
    """A mixer: neighbours, then positions far apart; the point-wise second branch gates the result."""
    return steps(
        ('depth-wise 5x5', 'mixes neighbours', 0),
        ('linear map', 'of one position in each\nof k x k parts', 1),
        ('product', 'with a branch of\neach position alone', 7),
        ('linear map', 'mixes the channels\nof each position', 3),
    )


def raftmlp() -> Figure:
    """A block: MLPs over columns, rows and channels; the first two mix two groups of channels with the positions."""
    return steps(
        ('to the grid', 'bicubic, the whole\nmap', 7),
        ('column MLP', '2 channels of all\nrows', 0),
        ('row MLP', '2 channels of all\ncolumns', 1),
        ('back', 'bicubic, the whole\nmap', 7),
        ('channel MLP', 'mixes the channels\nof each position', 3),
    )


def cmt() -> Figure:
    """A block: a convolution, attention to a coarser map, and a channel MLP with a convolution inside."""
    return steps(
        ('depth-wise 3x3', 'mixes neighbours', 0),
        ('attention', 'to a coarser map, with\na learned bias', 1),
        ('channel MLP', 'a depth-wise 3x3\nin its middle', 3),
    )


def shiftvit() -> Figure:
    """A block: a shift that has no parameters, then an MLP over channels; the residual carries the shifted map."""
    return steps(
        ('shift', 'four groups of channels,\none position each', 0),
        ('norm', 'over the whole map', 7),
        ('channel MLP', 'mixes the channels\nof each position', 3),
    )


def msmlp() -> Figure:
    """A block: groups of channels, each rolled by its own distance and mixed with neighbours; then an MLP."""
    return steps(
        ('roll', 'groups by -2 to 2\nalong W and along H', 0),
        ('depth-wise conv', 'of 1x1 to 7x7,\none size for a group', 1),
        ('sum, norm', 'of both directions', 7),
        ('channel MLP', 'mixes the channels\nof each position', 3),
    )


def spiralmlp() -> Figure:
    """A mixer: each channel is read at a place on a spiral; the weights of two branches come from their mean."""
    return steps(
        ('spiral', 'channels read up to\n7 positions away', 0),
        ('linear map', 'mixes the channels', 3),
        ('weighted sum', 'with a branch of\neach position only', 7),
        ('linear map', 'projects the sum', 3),
    )


def activemlp() -> Figure:
    """A mixer: two branches read along rows and columns at offsets that the map itself gives."""
    return steps(
        ('offsets', 'predicted for every\nposition and channel', 7),
        ('sampling', 'along W and along H,\nlinear in between', 0),
        ('linear maps', 'one of each branch', 3),
        ('weighted sum', 'with a branch of\neach position only', 7),
        ('linear map', 'projects the sum', 3),
    )
