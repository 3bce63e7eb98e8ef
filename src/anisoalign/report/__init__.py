"""Figures, tables and one self-contained HTML page, made from result JSON only.

Nothing here is loaded before it is used: importing this package loads neither matplotlib nor jinja2.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anisoalign.report.figures import cosine_histograms, overlap_curve, residual_energy
    from anisoalign.report.page import write_page
    from anisoalign.report.pictures import write_figures
    from anisoalign.report.rivals import label_transfer_bars, trade_off
    from anisoalign.report.tables import alignment_table, comparison_markdown, comparison_table, gap_table

_HOMES = {
    "alignment_table": "tables",
    "comparison_markdown": "tables",
    "comparison_table": "tables",
    "cosine_histograms": "figures",
    "gap_table": "tables",
    "label_transfer_bars": "rivals",
    "overlap_curve": "figures",
    "residual_energy": "figures",
    "trade_off": "rivals",
    "write_figures": "pictures",
    "write_page": "page",
}

__all__ = [
    "alignment_table",
    "comparison_markdown",
    "comparison_table",
    "cosine_histograms",
    "gap_table",
    "label_transfer_bars",
    "overlap_curve",
    "residual_energy",
    "trade_off",
    "write_figures",
    "write_page",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
