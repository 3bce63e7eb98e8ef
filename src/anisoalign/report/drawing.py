"""What all figures drawn as files share: colours of the roles and fonts."""

from __future__ import annotations

import contextlib
import functools
import textwrap
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ParamSpec

from anisoalign.embeddings import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")

INK, MUTED = "#24292f", "#6e7781"
SOURCE, TARGET, ACROSS, PAIRED = "#0072b2", "#d55e00", "#9a5b86", "#00855f"
"""Okabe and Ito's colours, the last two darkened so that thin lines keep their contrast on white."""

_TITLE_WIDTH = 76
"""Characters of bold 11 pt that 7 inches hold."""

_STYLE = {
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": MUTED,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "text.color": INK,
    "text.parse_math": False,  # a method's name may hold a dollar sign
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.unicode_minus": True,
    "figure.dpi": 100,
    "svg.fonttype": "none",
}


def matplotlib() -> Any:
    """The plotting library, loaded at the first figure and not before.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise InputError('figures need matplotlib: pip install "anisoalign[report]"') from error
    return matplotlib


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """A drawing function whose figure has the fonts and colours of the house, whatever the user's defaults."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with house_style():
            return draw(*args, **kwargs)

    return drawn


@contextlib.contextmanager
def house_style() -> Iterator[None]:
    """Fonts and colours of the house, for drawing and for writing: ticks are made as late as a figure is written."""
    library = matplotlib()
    with library.rc_context():
        library.rcdefaults()
        library.rcParams.update(_STYLE)
        yield


def new_figure(height: float = 4.0, **margins: float) -> tuple[Figure, Axes]:
    """A figure 7 inches wide with one pair of axes, drawn by Agg and unknown to pyplot."""
    matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, height), layout=None if margins else "constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_facecolor("none")
    if margins:
        figure.subplots_adjust(**margins)
    return figure, axes


def headline(figure: Figure, text: str) -> None:
    """A title over the whole width, in as many lines as it takes."""
    count = -(-len(text) // _TITLE_WIDTH)
    even = min(_TITLE_WIDTH, len(text) // count + 8)  # no last line of a single word
    figure.suptitle(
        textwrap.fill(text, even if count > 1 else _TITLE_WIDTH), x=0.012, ha="left", fontsize=11, fontweight="bold"
    )
