"""Names beside the points of a scatter plot, none upon another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RADII = (9, 14, 20, 28, 38, 50, 64, 80, 100, 125)
_DIRECTIONS = 24
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Spot:
    """A point in data coordinates; without a text it is only to be kept free.

    `size` is half the side, in pixels, of the square that its marker takes.
    """

    x: float
    y: float
    text: str = ""
    size: float = 6.0


def label_spots(figure: Figure, axes: Axes, spots: Sequence[Spot], ink: str, muted: str) -> None:
    """Write every spot's text near it, clear of the other texts and spots, with a thin line where it is far.

    Greedy, the most crowded spot first; deterministic. Axes limits and margins must be final.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    renderer = canvas.get_renderer()
    places = [tuple(axes.transData.transform((spot.x, spot.y))) for spot in spots]
    frame = axes.get_window_extent(renderer)
    inside = (frame.x0, frame.y0, frame.x1, frame.y1)
    taken = [(x - s.size, y - s.size, x + s.size, y + s.size) for (x, y), s in zip(places, spots, strict=True)]
    lines: list[tuple[float, float, float, float]] = []
    named = [place for place, spot in zip(places, spots, strict=True) if spot.text]
    crowd = [sum(math.dist(a, b) < 60 for b in named) for a in places]
    texts: list[Box] = []
    for index in sorted(range(len(spots)), key=lambda i: (-crowd[i], spots[i].x, spots[i].y, spots[i].text)):
        spot = spots[index]
        if not spot.text:
            continue
        text = axes.text(0, 0, spot.text, fontsize=9.0, color=ink, in_layout=False)
        extent = text.get_window_extent(renderer)
        others = [box for i, box in enumerate(taken) if i != index and spots[i].text]
        best = min(
            _candidates(places[index], extent.width + 2, extent.height),
            key=lambda c: c[1] + _cost(c[0], places[index], taken, others, texts, lines, inside),
        )
        (x0, y0, x1, y1), far = best
        corner = axes.transData.inverted().transform((x0 + 1, y0))
        text.set_position((float(corner[0]), float(corner[1])))
        text.set_verticalalignment("bottom")
        texts.append((x0, y0, x1, y1))
        if far > _RADII[0]:
            end = _nearest(places[index], (x0, y0, x1, y1))
            lines.append((*places[index], *end))
            ends = axes.transData.inverted().transform([places[index], end])
            axes.plot(ends[:, 0], ends[:, 1], color=muted, linewidth=0.7, zorder=1, label="_leader")


def _candidates(place: tuple[float, float], width: float, height: float) -> Iterator[tuple[Box, float]]:
    """Boxes about a place, from near to far, and their distance."""
    for radius in _RADII:
        for step in range(_DIRECTIONS):
            angle = 2 * math.pi * step / _DIRECTIONS
            cos, sin = math.cos(angle), math.sin(angle)
            x = place[0] + radius * cos + (cos - 1) / 2 * width
            y = place[1] + radius * sin + (sin - 1) / 2 * height
            yield (x, y, x + width, y + height), float(radius)


def _cost(
    box: Box,
    place: tuple[float, float],
    taken: Sequence[Box],
    others: Sequence[Box],
    texts: Sequence[Box],
    lines: Sequence[tuple[float, float, float, float]],
    inside: Box,
) -> float:
    cost = 0.0
    if box[0] < inside[0] or box[1] < inside[1] or box[2] > inside[2] or box[3] > inside[3]:
        cost += 400.0
    cost += sum(1000.0 for other in texts if _overlap(box, other))
    cost += sum(150.0 for other in taken if _overlap(box, other))
    end = _nearest(place, box)
    leader = (*place, *end)
    cost += sum(80.0 for line in lines if any(_within(p, box) for p in _along(line)))
    cost += sum(120.0 for other in texts if any(_within(p, other) for p in _along(leader)))
    return cost + sum(15.0 for other in others if any(_within(p, other) for p in _along(leader)))


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _within(point: tuple[float, float], box: Box) -> bool:
    return box[0] < point[0] < box[2] and box[1] < point[1] < box[3]


def _along(line: tuple[float, float, float, float]) -> list[tuple[float, float]]:
    x0, y0, x1, y1 = line
    return [(x0 + f / 12 * (x1 - x0), y0 + f / 12 * (y1 - y0)) for f in range(1, 12)]


def _nearest(point: tuple[float, float], box: Box) -> tuple[float, float]:
    return min(max(point[0], box[0]), box[2]), min(max(point[1], box[1]), box[3])
