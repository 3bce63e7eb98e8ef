"""A small chart as inline SVG: scales, marks that the page's style sheet colours, and points to hover over.

Colours are classes, since light and dark pages need different ones; the same numbers give the same bytes.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

WIDTH, HEIGHT = 480.0, 330.0
"""User units; a phone shows them at three quarters of a pixel, a desk at a little more than one."""
LEFT, RIGHT, TOP, BOTTOM = 54.0, 14.0, 36.0, 46.0
_LETTER = 6.6
"""Width of a letter of the labels, about."""
_NAME_LETTER = 7.6
"""The same of names beside points at the size that a phone shows them in, so that they collide on no screen."""

Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Scale:
    """From values to user units; `log` by powers of ten."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Place of a value, kept within the axes."""
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        at = math.log10(max(value, self.low)) if self.log else value
        share = 0.0 if high == low else (at - low) / (high - low)
        return self.start + min(max(share, 0.0), 1.0) * (self.stop - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """Round values with their labels.

        Examples
        --------
        >>> Scale(0.0, 1.0, 0, 100).ticks()[:3]
        [(0.0, '0'), (0.2, '0.2'), (0.4, '0.4')]
        >>> Scale(1, 300, 0, 100, log=True).ticks()
        [(1.0, '1'), (10.0, '10'), (100.0, '100')]
        """
        return _log_ticks(self.low, self.high) if self.log else _even_ticks(self.low, self.high)


def _even_ticks(low: float, high: float) -> list[tuple[float, str]]:
    rough = max(high - low, 1e-12) / 5
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * by for by in (1, 2, 2.5, 5, 10) if size * by >= rough * 0.999)
    decimals = max(0, -math.floor(math.log10(step)) + (1 if round(step / size, 1) == 2.5 else 0))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(round(i * step, 10), _short(i * step, decimals)) for i in range(first, last + 1)]


def _short(value: float, decimals: int) -> str:
    return (f"{value:.{decimals}f}" if value else "0").replace("-", "−")


def _log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    powers = list(range(first, last + 1))
    powers = powers[:: max(1, -(-len(powers) // 7))]
    return [(10.0**p, f"{10.0**p:g}" if -4 <= p <= 4 else f"1e{p}".replace("-", "−")) for p in powers]


@dataclass
class Chart:
    """A pair of axes to draw on; `svg` gives the element.

    Parameters
    ----------
    x, y : tuple (low, high)
        Ranges of values.
    log_x, log_y : bool
    x_name, y_name : str
        Written at the end of the axes.
    """

    x: Point
    y: Point
    x_name: str
    y_name: str
    log_x: bool = False
    log_y: bool = False
    height: float = HEIGHT
    left: float = LEFT
    rows: Sequence[str] | None = None
    """Names of rows in place of the ticks of y, in one or more lines: row i is at y = i."""
    parts: list[str] = field(default_factory=list)
    taken: list[Box] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.at_x = Scale(*self.x, self.left, WIDTH - RIGHT, self.log_x)
        self.at_y = Scale(*self.y, self.height - BOTTOM, TOP, self.log_y)

    def place(self, point: Point) -> Point:
        """User units of a point."""
        return self.at_x(point[0]), self.at_y(point[1])

    def line(self, points: Iterable[Point], look: str) -> None:
        """A line through points; `look` is one or more classes, like "source dashed"."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(self.place, points))
        self.parts.append(f'<polyline class="line {look}" points="{path}"/>')

    def steps(self, edges: Sequence[float], values: Sequence[float], look: str, filled: bool = False) -> None:
        """A histogram's outline: one value between each two edges."""
        points = [(edges[0], 0.0)]
        for left, right, value in zip(edges, edges[1:], values, strict=False):
            points += [(left, value), (right, value)]
        points.append((edges[len(values)], 0.0))
        if filled:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(self.place, points))
            self.parts.append(f'<polygon class="area {look}" points="{path}"/>')
        self.line(points, look)

    def dot(self, point: Point, look: str, shape: str = "circle", size: float = 4.5) -> None:
        """A mark; shapes tell kinds apart where colours do not."""
        self.parts.append(mark(*self.place(point), look, shape, size))

    def bar(self, a: Point, b: Point, look: str) -> None:
        """A thin straight line, as an error bar or a step from one value to another."""
        (x1, y1), (x2, y2) = self.place(a), self.place(b)
        self.parts.append(f'<line class="bar {look}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')

    def rule(self, x: float, text: str, look: str = "ink", row: int = 0) -> None:
        """A vertical line with its name above the axes, in one of two rows of names."""
        at = self.at_x(x)
        anchor = "end" if at > WIDTH - RIGHT - _LETTER * len(text) else "start"
        if anchor == "end" and at < self.left + _LETTER * len(text):
            anchor = "middle"
        ends = f'x1="{at:.1f}" y1="{TOP - 2 - 11 * row:.1f}" x2="{at:.1f}" y2="{self.height - BOTTOM:.1f}"'
        self.parts.append(f'<line class="rule {look}" {ends}/>')
        shift = {"start": 3, "end": -3, "middle": 0}[anchor]
        self.text(at + shift, TOP - 6 - 11 * row, text, anchor, "small")

    def text(self, x: float, y: float, text: str, anchor: str = "start", look: str = "") -> None:
        """Text at user units."""
        self.parts.append(_text(look, x, y, text, anchor))

    def tip(self, point: Point, text: str) -> None:
        """A place that can be hovered over or stepped to, and what it says."""
        x, y = self.place(point)
        self.parts.append(f'<circle class="tip" cx="{x:.1f}" cy="{y:.1f}" r="6" data-tip="{html.escape(text)}"/>')

    def keep_line_free(self, points: Sequence[Point]) -> None:
        """Let no name be written over the straight lines between points."""
        for a, b in pairwise(points):
            for share in (i / 8 for i in range(9)):
                self.keep_free((a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])), 4.0)

    def keep_free(self, point: Point, size: float = 6.0) -> None:
        """Let no name be written over a point."""
        x, y = self.place(point)
        self.taken.append((x - size, y - size, x + size, y + size))

    def name(self, point: Point, text: str, look: str = "name", must: bool = False) -> bool:
        """Write a name beside a point where it covers nothing; leave it out, unless it must be, where it would."""
        x, y = self.place(point)
        width = _NAME_LETTER * len(text)
        for distance in (9, 20, 32, 46, 62):
            for dx, dy in ((1, 0), (-1, 0), (0, -1), (0, 1), (0.8, -0.8), (-0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)):
                box = _box(x + dx * distance, y + dy * distance, width, dx)
                inside = (
                    box[0] >= self.left - 4 and box[2] <= WIDTH - 2 and box[1] >= 12 and box[3] <= self.height - BOTTOM
                )
                if inside and not any(_overlap(box, other) for other in self.taken):
                    self._write_name((x, y), box, text, look, distance)
                    return True
        if must:
            self._write_name((x, y), _box(x + 9, y, width, 1), text, look, 0)
        return must

    def _write_name(self, at: Point, box: Box, text: str, look: str, distance: float) -> None:
        self.taken.append(box)
        if distance > 20:
            end = (min(max(at[0], box[0]), box[2]), min(max(at[1], box[1]), box[3]))
            self.parts.append(
                f'<line class="leader" x1="{at[0]:.1f}" y1="{at[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"/>'
            )
        # boxes have room for the size on a phone: on a desk the text stays at the end that is nearer to its point
        side, x = "middle", (box[0] + box[2]) / 2
        if box[2] < at[0]:
            side, x = "end", box[2]
        elif box[0] > at[0]:
            side, x = "start", box[0]
        self.text(x, box[3] - 4, text, side, look)

    def svg(self, words: str, key: str) -> str:
        """The element; `words` is what a screen reader reads out, `key` makes ids unique."""
        return element(self.height, f"{self._axes()}{''.join(self.parts)}", words, key)

    def _axes(self) -> str:
        bottom, right, found = self.height - BOTTOM, WIDTH - RIGHT, []
        for value, label in self.at_x.ticks():
            x = self.at_x(value)
            found.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP:g}" x2="{x:.1f}" y2="{bottom:.1f}"/>')
            found.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{label}</text>')
        ticks = self.at_y.ticks() if self.rows is None else [(float(i), name) for i, name in enumerate(self.rows)]
        for value, label in ticks:
            y = self.at_y(value)
            found.append(f'<line class="grid" x1="{self.left:g}" y1="{y:.1f}" x2="{right:g}" y2="{y:.1f}"/>')
            lines = label.split("\n")
            for i, line in enumerate(lines):
                look = "tick" if self.rows is None else "row" if i == 0 else "row small"
                found.append(_text(look, self.left - 6, y + 4 + 12 * (i - (len(lines) - 1) / 2), line, "end"))
        found.append(_text("axis", right, self.height - 8, self.x_name, "end"))
        found.append(_text("axis", 4, 13, self.y_name))
        return "".join(found)


def element(height: float, inside: str, words: str, key: str) -> str:
    """An `<svg>` of the common width that can be focused, with its alternative text and a ring for the mark in hand."""
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH:g} {height:g}" role="img" aria-labelledby="{key}-alt" tabindex="0">'
        f'<title id="{key}-alt">{html.escape(words)}</title>{inside}<circle class="ring" r="7" hidden=""/></svg>'
    )


def _text(look: str, x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text class="{look}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def mark(x: float, y: float, look: str, shape: str = "circle", size: float = 4.5) -> str:
    """A mark at user units."""
    if shape == "circle":
        return f'<circle class="mark {look}" cx="{x:.1f}" cy="{y:.1f}" r="{size:g}"/>'
    corners = {"square": 4, "diamond": 4, "triangle": 3, "star": 10}[shape]
    start = -math.pi / 4 if shape == "square" else -math.pi / 2
    points = []
    for i in range(corners):
        radius = size * (1.25 if shape != "star" or i % 2 == 0 else 0.5)
        angle = start + 2 * math.pi * i / corners
        points.append(f"{x + radius * math.cos(angle):.1f},{y + radius * math.sin(angle):.1f}")
    return f'<polygon class="mark {look}" points="{" ".join(points)}"/>'


def _box(x: float, y: float, width: float, side: float) -> Box:
    left = x if side > 0 else x - width if side < 0 else x - width / 2
    return left, y - 9, left + width, y + 8


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
