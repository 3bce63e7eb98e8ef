"""What commands that read and measure will cost, said in a line before they begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from anisoalign.cli import messages

if TYPE_CHECKING:
    from anisoalign.aligners import Aligner
    from anisoalign.aligners.anisoalign.work import Work
    from anisoalign.embeddings import EmbeddingSet

DECOMPOSED, DECOMPOSED_PAIRED = 7, 9
"""d³ of eigendecompositions that a diagnosis takes: spectra, principal subspaces, residual, controls."""
CONTROLS, CONTROLS_PAIRED = 4, 9
"""Diagnostic transforms that are measured."""
EVALUATED, EVALUATED_PAIRED = 5 / 3, 2
"""Cosines that an evaluation takes, of those of `measured_work`: the pool of raw rows too, with pairs recall both ways.
"""
CLOSED_FORM = 4
"""d³ of eigendecompositions that a closed form of second moments takes."""


def tell_diagnosis(sets: Mapping[str, EmbeddingSet], paired: bool, dtype: str) -> None:
    """State what diagnosing all pairs of sets will read, hold and take."""
    from anisoalign.aligners.anisoalign.work import Work, measured_work
    from anisoalign.diagnostics.controls import CONTROL_ROWS
    from anisoalign.statistics import float64_below

    _check(list(sets.values()), paired)
    passes, d = (2 if paired else 1) * (len(sets) - 1), _width(sets)
    precision = float64_below(max(rows.rows for rows in sets.values()), dtype)
    pairs = len(sets) * (len(sets) - 1) // 2
    total = passes * sum(rows.rows for rows in sets.values())
    shown = min(CONTROL_ROWS, max(rows.rows for rows in sets.values()))
    work = measured_work(shown, d).times(CONTROLS_PAIRED if paired else CONTROLS)
    work += Work(decomposed=(DECOMPOSED_PAIRED if paired else DECOMPOSED) * d**3)
    work = work.times(pairs) + Work(total * d * d, imports=1)
    reads = [f"{passes} over {rows.rows:,} {name} rows" for name, rows in sets.items()]
    read = passes * sum(rows.describe()["bytes"] for rows in sets.values())
    held = 8 * d * d * 8 + 2 * shown * d * 8 + 2 * 8 * _block(shown)
    _tell(f"passes: {', '.join(reads)}", list(sets.values()), read, held, precision, work)


def tell_evaluation(
    sets: Mapping[str, EmbeddingSet], paired: bool, sample: int, dtype: str, paged: bool = False
) -> None:
    """State what measuring an alignment on at most `sample` rows a side will read, hold and take."""
    from anisoalign.aligners.anisoalign.work import measured_work
    from anisoalign.statistics import float64_below

    _check([sets["source"], sets["target"]], paired)
    rows = min(sample, max(embeddings.rows for embeddings in sets.values()))
    work = measured_work(rows, _width(sets))
    work = replace(work, products=int((EVALUATED_PAIRED if paired else EVALUATED) * work.products), imports=1)
    _tell_sampled(sets, sample, float64_below(rows, dtype), work, _besides(paged=paged))


def tell_comparison(
    sets: Mapping[str, EmbeddingSet],
    methods: Sequence[str],
    repeats: int,
    sample: int,
    dtype: str,
    *,
    paired: bool,
    labelled: bool,
    paged: bool,
) -> None:
    """State what comparing methods will read, hold and take: fits on two fifths of the rows, figures on one."""
    from anisoalign.aligners import parse_method
    from anisoalign.aligners.anisoalign.work import Work, measured_work
    from anisoalign.comparison.repeating import fits_of
    from anisoalign.statistics import float64_below

    _check(list(sets.values()), paired)
    fits = fits_of(methods)
    rows, d = min(sample, max(embeddings.rows for embeddings in sets.values())), _width(sets)
    work = sum((_fit_work(spec, parse_method(spec), 2 * rows // 5, d) for spec, *_ in fits), Work())
    count = sum(map(len, fits))
    work += measured_work(rows // 5, d).times(count)
    more = f"; {count} methods, {repeats} splits{_besides(labelled, paged)}"
    _tell_sampled(sets, sample, float64_below(rows, dtype), work.times(repeats), more)


def _fit_work(spec: str, model: Aligner, rows: int, dim: int) -> Work:
    """Work of a fit on so many rows a side."""
    from anisoalign.aligners import AnisoAlign
    from anisoalign.aligners.anisoalign.chosen_strength import folds_at_once
    from anisoalign.aligners.anisoalign.settings import check_settings
    from anisoalign.aligners.anisoalign.work import Work, sampled_work
    from anisoalign.embeddings import InputError

    if isinstance(model, AnisoAlign):
        try:
            check_settings(model)
        except ValueError as error:
            raise InputError(f"{spec}: {error}") from error
        return sampled_work(model, rows, rows, dim, folds_at_once(model, rows, dim))
    return Work(2 * rows * dim * dim, CLOSED_FORM * dim**3) if model.order == "full" else Work()


def tell_conversion(rows: EmbeddingSet, dtype: str | None) -> None:
    """State what writing a set anew will read, write and take."""
    from anisoalign.aligners.anisoalign.work import Work
    from anisoalign.embeddings.gathered import GatheredSource

    written = rows.rows * rows.dim * np.dtype(dtype or rows.dtype).itemsize
    read = rows.describe()["bytes"]
    if not rows.behind:
        _tell(f"1 pass over {rows.rows:,} rows", [rows], read, 0, rows.dtype, Work(), written=written)
        return
    source = rows.behind[0]
    longest = rows.shards[0].source
    assert isinstance(longest, GatheredSource)
    what = f"{rows.rows:,} rows from among {source.rows:,}, gathered in {len(rows.shards)} stretch(es)"
    _tell(what, [source], read, longest.held(), rows.dtype, Work(), written=written)


def _check(sets: Sequence[EmbeddingSet], paired: bool) -> None:
    """Refuse at once what would be refused after the plan."""
    from anisoalign.embeddings.pairs import check_paired
    from anisoalign.statistics.passes import check_widths

    for other in sets[1:]:
        check_widths(sets[0], other)
    if paired:
        check_paired(sets)


def _besides(labelled: bool = False, paged: bool = False) -> str:
    """What the time leaves out."""
    left_out = ["classifiers"] * labelled + ["the page"] * paged
    return f", not counting {' and '.join(left_out)}" if left_out else ""


def _tell_sampled(
    sets: Mapping[str, EmbeddingSet], sample: int, precision: np.dtype, work: Work, more: str = ""
) -> None:
    used = {name: min(sample, rows.rows) for name, rows in sets.items()}
    what = ", ".join(f"{used[name]:,} of {rows.rows:,} {name} rows" for name, rows in sets.items())
    # Which rows are to be dropped is known after a pass over all of them.
    looked = {name: rows.rows if rows.bad_rows == "drop" else used[name] for name, rows in sets.items()}
    read = sum(looked[name] * rows.dim * rows.dtype.itemsize for name, rows in sets.items())
    held = sum(used.values()) * _width(sets) * precision.itemsize + 2 * 8 * _block(max(used.values()))
    _tell(what, list(sets.values()), read, held, precision, work, more, judged=False)


def _tell(
    what: str,
    sets: Sequence[EmbeddingSet],
    read: int,
    held: int,
    precision: np.dtype,
    work: Work,
    more: str = "",
    written: int = 0,
    judged: bool = True,
) -> None:
    """Memory is what comes on top of Python and its libraries; time is that of this machine, timed on the spot."""
    from anisoalign.aligners.rates import WRITE_RATE, measured_rates, seconds_of
    from anisoalign.embeddings import format_bytes
    from anisoalign.embeddings.workers import cores
    from anisoalign.statistics.passes import tile_rows

    first = sets[0]
    read_rate, flop_rate = measured_rates(first, precision, work.products > 0, judged)
    seconds = read / read_rate + written / WRITE_RATE
    if work.products:
        seconds += seconds_of(work, first.dim, flop_rate * precision.itemsize / 8)
    tile = min(tile_rows(first.dim), max(rows.rows for rows in sets))
    memory = held + 2 * cores() * tile * first.dim * precision.itemsize
    writes = f", write {format_bytes(written)}" if written else ""
    messages.say(
        f"plan: {what}: read {format_bytes(read)}{writes}; about {format_bytes(memory)} of memory and "
        f"{seconds:.1f} s, in {precision.name}{more}"
    )


def _width(sets: Mapping[str, EmbeddingSet]) -> int:
    return max(rows.dim for rows in sets.values())


def _block(rows: int) -> int:
    """Cosines that are held at a time, of so many rows with all others of both sets."""
    from anisoalign.diagnostics.neighbours import BLOCK

    return min(BLOCK, 2 * rows * 2 * rows)
