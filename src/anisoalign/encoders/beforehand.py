"""What a run of `encode` can be refused for before its model is loaded, which takes long and may download gigabytes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from anisoalign.embeddings import InputError
from anisoalign.embeddings.atomic import check_free
from anisoalign.embeddings.remote import is_remote, locate
from anisoalign.embeddings.shard_files import choose_format
from anisoalign.encoders.containers import check_container
from anisoalign.encoders.finding import check_there

if TYPE_CHECKING:
    from anisoalign.encoders.running import Settings

Named = dict[str, str | Path]
"""Modality -> source of its items; `pairs` -> a source of two at once."""


def named_sources(
    images: str | Path | None, texts: str | Path | None, sounds: str | Path | None, pairs: str | Path | None
) -> Named:
    """Return the sources that were named, each of which is there.

    Raises
    ------
    InputError
        If nothing is named, one thing twice, pairs beside anything else, or what is absent.
    """
    given = {"image": images, "text": texts, "audio": sounds, "pairs": pairs}
    named: Named = {kind: source for kind, source in given.items() if source is not None}
    if not named:
        raise InputError("name what to encode: --images, --texts, --sounds or --pairs")
    if pairs is not None and len(named) > 1:
        raise InputError("--pairs names images and texts at once; leave --images, --texts and --sounds out")
    if len({str(source) for source in named.values()}) < len(named):
        raise InputError("the same source of both kinds is a source of pairs: name it by --pairs")
    for source in named.values():
        check_there(source)
    return named


def check_begin(out: str | Path, named: Named, settings: Settings) -> None:
    """Raise InputError where settings are none, or `out` cannot take what is to be made of the named sources."""
    if settings.batch_size < 1 or settings.shard_rows < 1:
        raise InputError("a batch and a shard need at least one row")
    if settings.out_dtype not in ("float16", "float32"):
        raise InputError(f"embeddings are written as float16 or float32, not {settings.out_dtype!r}")
    out = locate(out)
    check_place(out, settings.overwrite, len(named) > 1 or "pairs" in named)
    choose_format(out, settings.format)


def check_place(out: Path, overwrite: bool, several: bool) -> None:
    """Raise InputError where `out` is no folder for a set, or for `several`; behind a URI its writer looks."""
    if out.suffix in (".npy", ".parquet", ".safetensors", ".arrow"):
        raise InputError(f"{out}: encode writes a folder of shards; --format says in which format")
    if not is_remote(out):
        (check_container if several else check_free)(out, overwrite)
