"""Which rotation should bring sources to targets? Estimates of the cross-covariance, in the first step of AnisoAlign.

    python benchmarks/rotations.py
    ANISOALIGN_DATA=DIR python benchmarks/rotations.py

A candidate gives C; the rotation with the largest tr(Rᵀ C) that leaves the targets' mean direction alone follows the
turn of the means, and the result is measured alone and with half of the transport after it. Writes rotations.json and
the tables of ../docs/rotation.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from anisoalign.aligners import ReAlign
from anisoalign.aligners.anisoalign.correction_fit import Turned, couple, fit_initial
from anisoalign.aligners.anisoalign.coupling import FEWEST, bandwidth_for, coupling
from anisoalign.aligners.anisoalign.path import Start
from anisoalign.aligners.anisoalign.rotation import unit
from anisoalign.aligners.gaussian_transport import dialled_transport
from anisoalign.aligners.realign import trace_scale
from anisoalign.comparison.split import split
from anisoalign.comparison.table import REFERENCE
from anisoalign.geometry.rotation import rotation_towards, turn_between
from anisoalign.statistics import Moments
from protocol import (
    HERE,
    SCENES,
    Move,
    Part,
    Table,
    calibrated,
    markdown,
    parser,
    part_of,
    quiet,
    real,
    real_rows,
    rowwise,
    say,
    transforming,
    world_rows,
    write,
)

SHRINKAGE = 0.1
DEFAULT = "coupling + transport + identity"


def candidates(
    turned: Turned, rows: np.ndarray, ends: dict[str, np.ndarray]
) -> Iterator[tuple[str, np.ndarray | None]]:
    """Names and estimates of C, from turned rows and what each is taken to end at; None for the turn of means alone."""
    source, target = turned.framed.source, turned.framed.target
    identity = np.eye(target.dim) / target.dim
    found = {name: unit(covariance(each, rows)) for name, each in ends.items()}
    coupled = found["coupled"]
    whole = dialled_transport(turned.framed, shrinkage=SHRINKAGE, strength=1.0).weight
    transported = unit(whole @ source.covariance)
    yield "means alone", None
    yield "coupling", coupled
    yield "coupling + identity", coupled + identity
    yield "transport", transported
    yield "transport + identity", transported + identity
    yield "coupling + transport", coupled + transported
    yield DEFAULT, coupled + transported + identity
    yield "same, identity × 3", coupled + transported + 3 * identity
    yield "same, transport and identity × 3", coupled + 3 * transported + 3 * identity
    yield "same, coupling × 2", 2 * coupled + transported + identity
    yield "Σx Σy + identity", unit(target.covariance @ source.covariance) + identity
    yield "coupled where both agree", found["mutual"] + transported + identity
    if "again" in found:
        yield "coupled again after it", found["again"] + transported + identity
        yield "coupled again + identity", found["again"] + identity
    if "own" in found:
        yield "coupling by own targets + transport + identity (oracle)", found["by own"] + transported + identity
        yield "coupling by own targets + identity (oracle)", found["by own"] + identity
        yield "pairs (oracle)", found["own"]
        yield "pairs + identity (oracle)", found["own"] + identity


def covariance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Cross-covariance of rows in step."""
    return (x - x.mean(axis=0)).T @ (y - y.mean(axis=0)) / len(x)


def mutual(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Barycentres of a coupling that counts a target by how far it is coupled with the source as well."""
    forth, back = (plan(a, b) for a, b in ((source, target), (target, source)))
    both = forth * back.T
    return both / both.sum(axis=1, keepdims=True) @ target


def plan(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The package's coupling: two rows in a hundred by perplexity, half balanced."""
    wanted = min(max(FEWEST, 0.02 * len(target)), 0.9 * len(target))
    return coupling(source, target, bandwidth_for(source, target, wanted), 0.5)


def maps(part: Part, own: np.ndarray | None) -> dict[str, Move]:
    """Every candidate, alone and with transport, calibrated, as a function of unit source rows."""
    y, x = (Moments.empty(rows.shape[1]).update(rows) for rows in (part.fit_y, part.fit_x))
    turn, rows = turn_between(y.mean, x.mean), torch.from_numpy(part.fit_y)
    turned = Turned.by(turn, y, x, None)
    start = Start(y.mean, x.mean, trace_scale(y, x))

    def rotation_of(cross: np.ndarray | None) -> np.ndarray:
        return turn if cross is None else rotation_towards(cross, x.mean) @ turn

    def transported(rotation: np.ndarray) -> Move:
        return rowwise(fit_initial(Turned.by(rotation, y, x, None), rows, SHRINKAGE, 0.5).at(torch.float64))

    def coupled(moved: np.ndarray) -> np.ndarray:
        return couple([], moved, part.fit_x, 0.02, 0.5).barycentres

    first = rowwise(fit_initial(turned, rows, 0.3, 0.5).at(torch.float64))
    z = part.fit_y @ turn.T
    ends = {"coupled": coupled(first(part.fit_y)), "mutual": mutual(first(part.fit_y), part.fit_x)}
    once = dict(candidates(turned, z, ends))[DEFAULT]
    ends["again"] = coupled(transported(rotation_of(once))(part.fit_y))
    if own is not None:
        ends |= {"own": own, "by own": coupled(own)}
    found = {REFERENCE: transforming(ReAlign().fit(part.fit_y, part.fit_x))}
    for name, cross in candidates(turned, z, ends):
        rotation = rotation_of(cross)
        found[name] = calibrated(rowwise(start.rotated(rotation).at(torch.float64)), part)
        found[f"{name}, then transport"] = calibrated(transported(rotation), part)
    return found


def parts(name: str) -> Iterator[tuple[Part, np.ndarray | None]]:
    """Repeats of a set, each with the targets that belong to its fit sources."""
    if name == "world":
        for repeat in range(4):
            y, x, labels = world_rows(3_000, SCENES + 70 + repeat)
            yield part_of(y, x, labels, repeat), x[split(len(y), len(x), repeat).fit_source]
        return
    repeats = {"fashion_clip": 20, "coco_clip": 20, "esc50_clap": 4}[name]
    for part in real(name, repeats):
        x = real_rows(name)[1]
        yield part, x[split(len(x), len(x), part.seed).fit_source]


def main() -> None:
    """Measure, write JSON and the page's tables."""
    parser(__doc__).parse_args()
    quiet()
    records, tables = {}, []
    for name in ("fashion_clip", "coco_clip", "esc50_clap", "world"):
        table = Table()
        for part, own in parts(name):
            table.add(part, maps(part, own))
        if table.repeats:
            records[name] = table.records()
            tables.append(f"## {name}, {table.repeats} splits\n\n{markdown(table, 'cross-covariance')}")
            say(f"{name}: {table.repeats} repeats")
    write("rotations", records)
    page = HERE.parent / "docs" / "rotation.md"
    head = page.read_text().split("<!-- tables -->")[0] if page.is_file() else ""
    page.write_text(head + "<!-- tables -->\n\n" + "\n\n".join(tables) + "\n")


if __name__ == "__main__":
    main()
