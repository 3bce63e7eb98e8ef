"""Phases block by block: where targets point, how blocks go together, where texts sat before and after."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

from anisoalign.report.plate import Plate, View
from anisoalign.report.svg import WIDTH, element, mark
from anisoalign.report.wording import Record, many, short_name

_COLUMNS, _CELL, _RADIUS = 6, WIDTH / 6, 27.0


def compasses(views: Sequence[Record], source: str, target: str) -> Plate | None:
    """One small compass a block: the target's mean direction, and that of sources before and after."""
    shown = [view for view in views if view.get("phases")]
    if not shown:
        return None
    chosen = next((view for view in shown if view["phases"]["polar_stage"]), shown[0])
    seen, name = chosen["phases"], short_name(chosen["method"])
    drawn = [
        _compass_view("before", seen, "source", many(source), target, "compasses-0"),
        _compass_view(f"after {name}", seen, "aligned", f"aligned {many(source)}", target, "compasses-1"),
    ]
    low = " → ".join(f"{seen[f'potential_{side}']:.2f}" for side in ("source", "aligned"))
    frame = (
        f"{name}’s own frame" if seen["polar_stage"] else f"the leading directions of {many(source)} and {many(target)}"
    )
    sides = ("target", "source", "aligned")
    keys = ["block", "weight", *(f"{side}_{what}" for side in sides for what in ("phase", "length"))]
    return Plate(
        "compasses",
        "",
        f"The {len(seen['blocks'])} heaviest of {seen['number_of_blocks']} blocks of two coordinates, in {frame}; in a "
        "block, a row is an angle, its phase. A hand points to the mean phase; its length says how much the rows "
        f"agree (to the rim: all do). The square hand is the {many(target)}’, the round one the {many(source)}’. The "
        f"angle of the title is the mean over these blocks, by their weight (share of the {many(target)}’ energy). The "
        f"potential adds up how unusual a row’s phases are among {many(target)}: on average {low}, and "
        f"{seen['potential_target']:.2f} for {many(target)} themselves.",
        drawn,
        [("target", "line", f"{many(target)}: mean phase"), ("source", "line", many(source))],
        keys,
        [[block[key] for key in keys] for block in seen["blocks"]],
    )


def mean_offset(blocks: Sequence[Record], side: str) -> float:
    """Mean angle, in degrees, between a side's mean phases and the target's, over blocks by their weight."""
    total = sum(block["weight"] for block in blocks)
    off = sum(block["weight"] * abs(_wrapped(block[f"{side}_phase"] - block["target_phase"])) for block in blocks)
    return math.degrees(off / total) if total > 0 else 0.0


def couplings(views: Sequence[Record], target: str) -> Plate | None:
    """The strongest couplings of the potential between blocks, as chords."""
    shown = [view for view in views if view.get("phases") and view["phases"]["couplings"]]
    if not shown:
        return None
    seen = next((view for view in shown if view["phases"]["polar_stage"]), shown[0])["phases"]
    numbers = [block["block"] for block in seen["blocks"]]
    places = {k: _on_circle(i, len(numbers), 130.0) for i, k in enumerate(numbers)}
    strongest = seen["couplings"][0]
    parts = []
    for k, other, strength, _ in reversed(seen["couplings"]):
        (x1, y1), (x2, y2) = places[k], places[other]
        share = strength / max(strongest[2], 1e-12)
        bx, by = WIDTH / 2 + 0.4 * ((x1 + x2) / 2 - WIDTH / 2), 165 + 0.4 * ((y1 + y2) / 2 - 165)
        parts.append(
            f'<path class="chord" d="M{x1:.1f} {y1:.1f}Q{bx:.1f} {by:.1f} {x2:.1f} {y2:.1f}" '
            f'stroke-width="{0.6 + 3.4 * share:.2f}" stroke-opacity="{0.25 + 0.75 * share:.2f}"/>'
        )
    heaviest = max(block["weight"] for block in seen["blocks"])
    for i, block in enumerate(seen["blocks"]):
        x, y = places[block["block"]]
        parts.append(mark(x, y, "target", size=3 + 6 * math.sqrt(block["weight"] / heaviest)))
        tx, ty = _on_circle(i, len(numbers), 148.0)
        parts.append(f'<text class="small" x="{tx:.1f}" y="{ty + 4:.1f}" text-anchor="middle">{_number(block)}</text>')
        tied = [edge for edge in seen["couplings"] if block["block"] in edge[:2]]
        told = "; ".join(f"{k}–{other} strength {a:.2f} at {math.degrees(o):.0f}°" for k, other, a, o in tied[:4])
        words = f"block {block['block']}, weight {block['weight']:.3f}" + (
            f": {told}" if told else ": no strong coupling"
        )
        parts.append(f'<circle class="tip" cx="{x:.1f}" cy="{y:.1f}" r="9" data-tip="{html.escape(words)}"/>')
    words = (
        f"Chord diagram of {len(seen['couplings'])} couplings between {len(numbers)} blocks; the strongest ties block "
        f"{strongest[0]} to block {strongest[1]} ({strongest[2]:.2f})."
    )
    return Plate(
        "couplings",
        f"How blocks of the {many(target)} go together: block {strongest[0]} with block {strongest[1]} most "
        f"({strongest[2]:.2f})",
        "A chord ties two blocks whose phases differ by a nearly fixed angle. Its width is how fixed: 0 for not at "
        "all, 1 for always. Dots grow with a block’s share of energy. What moves one block should move those tied to "
        "it.",
        [View("", element(330, "".join(parts), words, "couplings-0"), words)],
        [("target", "circle", "block"), ("pairs", "line", "tie between blocks")],
        ["block k", "block l", "coupling A", "offset eta (radians)"],
        seen["couplings"],
    )


def _on_circle(i: int, count: int, radius: float) -> tuple[float, float]:
    angle = 2 * math.pi * i / max(count, 1) - math.pi / 2
    return WIDTH / 2 + radius * math.cos(angle), 165 + radius * math.sin(angle)


def _compass_view(label: str, seen: dict[str, Any], side: str, name: str, target: str, key: str) -> View:
    blocks, parts = seen["blocks"], []
    for i, block in enumerate(blocks):
        x, y = _CELL * (i % _COLUMNS + 0.5), 40 + 76 * (i // _COLUMNS)
        parts.append(f'<circle class="dial" cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS:g}"/>')
        parts += _hand(x, y, block["target_phase"], block["target_length"], "target", "square")
        parts += _hand(x, y, block[f"{side}_phase"], block[f"{side}_length"], "source", "circle")
        parts.append(f'<text class="small" x="{x - _CELL / 2 + 2:.1f}" y="{y - 20:.1f}">{_number(block)}</text>')
        words = (
            f"block {block['block']}: {many(target)} at {math.degrees(block['target_phase']):.0f}° "
            f"(agreement {block['target_length']:.2f}), {name} at {math.degrees(block[f'{side}_phase']):.0f}° "
            f"({block[f'{side}_length']:.2f})"
        )
        parts.append(f'<circle class="tip" cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS:g}" data-tip="{html.escape(words)}"/>')
    apart = f"mean phases of {name} and {many(target)} are {mean_offset(blocks, side):.0f}° apart"
    title = f"{label[:1].upper()}{label[1:]}, {apart}"
    words = f"Compasses of {len(blocks)} blocks. {title}, by the weight of the blocks."
    return View(label, element(8 + 76 * -(-len(blocks) // _COLUMNS), "".join(parts), words, key), words, title)


def _number(block: Record) -> str:
    """What a block is called: in a file from elsewhere, anything."""
    return html.escape(str(block["block"]))


def _hand(x: float, y: float, phase: float, length: float, look: str, shape: str) -> list[str]:
    tip_x, tip_y = x + _RADIUS * length * math.cos(phase), y - _RADIUS * length * math.sin(phase)
    line = f'<line class="hand {look}" x1="{x:.1f}" y1="{y:.1f}" x2="{tip_x:.1f}" y2="{tip_y:.1f}"/>'
    return [line, mark(tip_x, tip_y, look, shape, 2.8)]


def _wrapped(angle: float) -> float:
    return (angle + math.pi) % (2 * math.pi) - math.pi
