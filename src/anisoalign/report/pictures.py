"""Every figure that the records hold the numbers for, as files in a folder, for papers and slides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from anisoalign.embeddings.atomic import writable
from anisoalign.places import expanded
from anisoalign.report.wording import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Drawing(NamedTuple):
    """A figure, its file name without ending, and one line that explains it."""

    name: str
    figure: Figure
    words: str


def drawings(gaps: Sequence[Record], comparison: Sequence[Record] | None) -> list[Drawing]:
    """Figures of a comparison, then of each gap; what a record does not hold has no figure."""
    from anisoalign.report import figures, rivals

    found: list[Drawing] = []
    if comparison is not None:
        if rivals.trading_off(comparison):
            found.append(Drawing("trade-off", rivals.trade_off(comparison), _TRADE_OFF))
        if any("label_transfer" in record for record in comparison):
            found.append(Drawing("label-transfer", rivals.label_transfer_bars(comparison), _TRANSFER))
    kinds: list[tuple[str, str, Callable[[Record], Figure], str]] = [
        ("cosines", "histogram_across", figures.cosine_histograms, _COSINES),
        ("overlap", "overlap_curve", figures.overlap_curve, _OVERLAP),
        ("residual", "residual_energy", figures.residual_energy, _RESIDUAL),
    ]
    for number, gap in enumerate(gaps):
        suffix = f"-{number}" if len(gaps) > 1 else ""
        found += [Drawing(name + suffix, draw(gap), words) for name, key, draw, words in kinds if gap.get(key)]
    return found


def write_figures(
    folder: str | Path, *, gap: Record | None = None, comparison: Sequence[Record] | None = None
) -> list[Path]:
    """Write each figure as PNG and SVG into a folder; returns the files.

    Raises
    ------
    InputError
        If matplotlib is not installed or the folder cannot be written.
    """
    from anisoalign.report.drawing import house_style

    folder, written = expanded(folder), []
    with writable(folder), house_style():
        folder.mkdir(parents=True, exist_ok=True)
        for drawing in drawings([] if gap is None else [gap], comparison):
            for ending in ("png", "svg"):
                path = folder / f"{drawing.name}.{ending}"
                drawing.figure.savefig(path, dpi=150, bbox_inches="tight")
                written.append(path)
    return written


_TRADE_OFF = (
    "Moving rows among the targets is easy if their meaning may be lost, as random targets show; keeping it is easy if "
    "they may stay away, as the identity shows. A useful method does both. Arrows at the edge stand for controls and "
    "bounds that lie further out."
)
_TRANSFER = (
    "A classifier that has seen aligned rows only is tested on real targets: does the alignment carry meaning across?"
)
_COSINES = (
    "A cosine between the sets is to be compared with others between the sets, not with 1 and not with cosines within "
    "one set: each set's rows share a direction of their own, which lifts every cosine within it."
)
_OVERLAP = "How many leading directions the two sets have in common; only what lies above the chance line is shared."
_RESIDUAL = (
    "What is left of the pairs' differences once both means are moved to one place. A curve far above the diagonal "
    "says that a few directions hold most of it, so noise of equal size in all directions is no model of it."
)
