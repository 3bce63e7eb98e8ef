"""Examples of the page: what a few queries find before and after, with words and pictures where they are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anisoalign.diagnostics.measures import fixed
from anisoalign.report.results import Results
from anisoalign.report.wording import Record, many, of_a_common_frame, short_name


@dataclass(frozen=True)
class Neighbour:
    """A row found: its picture and caption where known."""

    side: str
    name: str
    caption: str
    thumbnail: str
    cosine: str
    own: bool


@dataclass(frozen=True)
class Example:
    """A query and what it finds before and after."""

    caption: str
    before: list[Neighbour]
    after: list[Neighbour]


def example_of(entry: Mapping[str, Any], results: Results) -> Example:
    """A query of a view with what it finds, each in the words that are known of it."""
    caption = _caption("source", entry["row"], results)
    return Example(caption, *([_neighbour(n, results) for n in entry[when]] for when in ("before", "after")))


def _neighbour(found: Mapping[str, Any], results: Results) -> Neighbour:
    side, row = found["side"], found["row"]
    picture = results.thumbnails.get(str(row), "") if side == "target" else ""
    return Neighbour(
        side,
        results.name(side),
        _caption(side, row, results),
        picture,
        fixed(found["cosine"], 2),
        bool(found.get("own")),
    )


def _caption(side: str, row: int, results: Results) -> str:
    return results.captions.get(side, {}).get(str(row)) or f"{results.name(side)} no. {row}"


def found_by(entries: Sequence[Mapping[str, Any]], shown: Record, results: Results) -> str:
    """What the examples find, against what could be expected, for few rows say little."""
    source, target = results.name("source"), results.name("target")
    rows_y, rows_x = shown["rows_source"], shown["rows_target"]

    def count(when: str) -> str:
        rows = [n for entry in entries for n in entry[when]]
        return f"{sum(n['side'] == 'target' for n in rows)} of {len(rows)}"

    fair = sum(len(entry["after"]) for entry in entries) * rows_x / max(rows_x + rows_y - 1, 1)
    words = (
        f"{len(entries)} {many(source)} drawn at random, each asked of a pool that holds {rows_x:,} {many(target)} and "
        f"all other {many(source)}. Before, {count('before')} neighbours are {many(target)}; after "
        f"{short_name(str(shown['method']))}, {count('after')}. Were both kinds shuffled, about {fair:.1f} would be."
    )
    with_own = [entry for entry in entries if any("own" in n for n in entry["after"])]
    if with_own:
        own = sum(any(n.get("own") for n in entry["after"]) for entry in with_own)
        words += f" {own} of {len(with_own)} have their own {target} among them."
    words += "".join(f" {sentence}" for sentence in of_a_common_frame(shown, source))
    words += (
        " These are a few examples and no measure. Penetration, over all tested rows, is forgiving: "
        "it is nearly 1 wherever both kinds occur among the neighbours in fair numbers, as at one third."
    )
    if not results.captions:
        words += (
            " Rows go by their numbers, since the sets hold no captions; "
            "--source-captions and --target-captions give them words."
        )
    return words
