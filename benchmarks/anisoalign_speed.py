"""What AnisoAlign costs: fit, transform against the machine's own rate of products, memory.

    python benchmarks/anisoalign_speed.py [--rows N] [--dim D]

A row takes products with d × d matrices: one up to strength 0.2, where the rotation is made, and one at 0.5 (rotation
and transport are one map); between these two, since two rows are blended; three at 1 (transport, guide, restore), and
four between 0.5 and 1. Where the fit finds no rotation there is one up to 0.5. They are counted in the fitted model.
The bound is those alone, timed in the same run; the published preset has networks in place of
two of them and no such ratio. The default is fitted at strength "auto". Writes anisoalign_speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import anisoalign as aa
from anisoalign.aligners.anisoalign.path import Start
from anisoalign.aligners.anisoalign.premise import AlignmentWarning
from anisoalign.embeddings.tiles import tile_rows_for
from anisoalign.embeddings.workers import in_order
from protocol import write
from speed import AnonymousPeak

HERE = Path(__file__).parent
STRENGTHS = (0.3, 0.5, 0.75, 1.0)
TILE = 8192


def make_rows(rows: int, dim: int, seed: int) -> np.ndarray:
    """Unit rows about a centre with a falling spectrum that both sets share."""
    shared = np.random.default_rng(0).standard_normal((64, dim), dtype=np.float32)
    generator = np.random.default_rng(seed)
    scene = generator.standard_normal((rows, 64), dtype=np.float32) * np.linspace(2, 0.3, 64, dtype=np.float32)
    values = scene @ shared + 0.5 * generator.standard_normal((rows, dim), dtype=np.float32)
    values += 3 * generator.standard_normal(dim, dtype=np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def products(model: aa.AnisoAlign, strength: float) -> int:
    """Products with a d × d matrix that a row takes at a strength."""
    correction = model.correction()
    routes, (station, share) = correction.routes(), correction.dial.between(strength)
    visited = {station, station + 1} if share else {station}
    visited |= {origin for number in visited if (origin := routes[number].origin) is not None}
    return sum(not isinstance(part, Start) for number in visited for part in routes[number].parts)


def product_seconds(rows: int, dim: int) -> float:
    """Seconds of one product with a d × d matrix for that many rows, the faster of two ways.

    Large tiles, each shared by all threads; and small ones side by side, as the transform does them.
    """
    weight = torch.randn(dim, dim)

    def worker(tile_rows: int) -> Callable[[int], None]:
        tile, out = torch.randn(tile_rows, dim), torch.empty(tile_rows, dim)

        def product(times: int) -> None:
            for _ in range(times):
                torch.mm(tile, weight, out=out)

        product(1)
        return product

    shared, small = worker(TILE), tile_rows_for(dim)
    started = time.perf_counter()
    shared(-(-rows // TILE))
    together = time.perf_counter() - started
    started = time.perf_counter()
    list(in_order(lambda: worker(small), [4] * -(-rows // (4 * small))))
    return min(together, time.perf_counter() - started)


def measure(preset: str, source: np.ndarray, target: np.ndarray, repeats: int) -> dict:
    """Fit once, transform some times, each beside the bound."""
    model = aa.AnisoAlign() if preset == "default" else aa.AnisoAlign.paper()
    watch = AnonymousPeak()
    before = AnonymousPeak()
    before.start()
    time.sleep(0.05)
    before.running = False
    before.join()
    watch.start()
    started = time.perf_counter()
    model.fit(source, target)
    fitted = time.perf_counter() - started
    found = {strength: against_products(model, strength, source, repeats) for strength in STRENGTHS}
    watch.running = False
    watch.join()
    one = np.ascontiguousarray(source[0])
    mapping = model.mapping(np.dtype(np.float32))
    rows = torch.from_numpy(one[None].copy())
    mapping(rows.clone(), np.zeros(1, int))
    started = time.perf_counter()
    for _ in range(200):
        mapping(rows.clone(), np.zeros(1, int))
    return {
        "preset": preset,
        "rows": len(source),
        "dim": source.shape[1],
        "cores": os.cpu_count(),
        "fit_seconds": round(fitted, 2),
        "strength": model.strength_,
        "transforms": [
            {
                "strength": strength,
                "products": products(model, strength) if preset == "default" else None,
                "rows_per_second": round(len(source) / statistics.median(seconds for _, seconds in pairs)),
                "ratio": _ratios(pairs) if preset == "default" else None,
            }
            for strength, pairs in found.items()
            if preset == "default" or strength == 1.0
        ],
        "one_row_milliseconds": round((time.perf_counter() - started) / 200 * 1e3, 3),
        "peak_anonymous_bytes_over_input": watch.peak - before.peak,
    }


def against_products(
    model: aa.AnisoAlign, strength: float, source: np.ndarray, repeats: int
) -> list[tuple[float, float]]:
    """Seconds of the products alone and of the transform, in turn."""
    dialled, pairs = model.at_strength(strength), []
    for _ in range(repeats):
        bound = products(model, strength) * product_seconds(*source.shape)
        started = time.perf_counter()
        dialled.transform(source)
        pairs.append((bound, time.perf_counter() - started))
    return pairs


def _ratios(pairs: list[tuple[float, float]]) -> list[float]:
    """Median, least and largest bound / seconds."""
    found = [bound / seconds for bound, seconds in pairs]
    return [round(value, 3) for value in (statistics.median(found), min(found), max(found))]


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore", AlignmentWarning)
    source, target = make_rows(options.rows, options.dim, 1), make_rows(options.rows, options.dim, 2)
    records = [measure(preset, source, target, options.repeats) for preset in ("default", "paper")]
    for record in records:
        print(json.dumps(record, indent=1))
    write("anisoalign_speed", {"presets": records})


if __name__ == "__main__":
    main()
