"""A figure of the page: its views, legend, words and the numbers behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Legend = tuple[str, str, str]
"""Look (classes), kind ("line", "area" or a shape) and text."""


@dataclass(frozen=True)
class View:
    """One state of a figure that can be switched between several.

    A figure that is switched has a title for each state, since a title true of one may be false of another.
    """

    label: str
    svg: str
    words: str
    title: str = ""


@dataclass(frozen=True)
class Plate:
    """What the page needs of one figure.

    Parameters
    ----------
    key : str
        Of letters and hyphens; begins ids and names of downloads.
    title : str
        What the figure shows, with its numbers; empty where each view has its own.
    caption : str
        How to read it.
    views : list of View
        More than one gives a switch.
    columns, rows : sequences
        The numbers drawn, to be downloaded.
    wide : bool
        Whether it takes the whole width of a desk.
    """

    key: str
    title: str
    caption: str
    views: list[View]
    legend: list[Legend]
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    wide: bool = False
    notes: list[str] = field(default_factory=list)
