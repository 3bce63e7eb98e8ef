"""What an unfinished run notes of itself, and what a later one makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from anisoalign.embeddings.atomic import write_synced
from anisoalign.embeddings.manifest import MANIFEST, RUN, read_manifest, to_json


def notes_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """What a run noted at its start, from what it left at its end; what its input was is forgotten by then."""
    kept = {key: manifest[key] for key in ("format", "dim", "dtype", "plan")}
    return {**kept, "provenance": manifest.get("provenance")}


def told_apart(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Settings of an earlier run that differ, each in words; an input that was not noted is taken for the same.

    Examples
    --------
    >>> told_apart({"plan": {"batch_size": 64, "shard_rows": 9}}, {"plan": {"batch_size": 8, "shard_rows": 9}})
    ['batch_size: 64 then, 8 now']
    """
    found = []
    for key, value in now.items():
        before = then.get(key, value if key == "inputs" else None)
        if before == value:
            continue
        if isinstance(before, dict) and isinstance(value, dict):
            found += told_apart(dict.fromkeys(value) | before, dict.fromkeys(before) | value)
        elif key == "inputs":
            found.append(_moved(before, value) or "the input has changed since")
        else:
            found.append(f"{key}: {_short(before)} then, {_short(value)} now")
    return found


def _moved(before: Any, now: Any) -> str:
    """Say that files of the same sizes and times have other names, empty where more has changed than names."""
    try:
        names = [(then[0], file[0]) for then, file in zip(before, now, strict=True) if then[1:] == file[1:]]
    except (TypeError, ValueError, IndexError, KeyError):  # no states of files, or of other files
        return ""
    if len(names) < len(now):
        return ""
    then, file = next(pair for pair in names if pair[0] != pair[1])
    return f"the input was {then} then, is {file} now"


def _short(value: Any, most: int = 60) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def earlier_notes(partial: Path) -> dict[str, Any] | None:
    """What an unfinished run was to do, None if there was none."""
    run, manifest = partial / RUN, read_manifest(partial)
    if manifest is not None:
        # Cut short between the manifest and the last rename: notes may be gone, the manifest has them.
        for index, record in enumerate(manifest["shards"]):
            write_synced(run / f"shard-{index}.json", to_json(record))
        (partial / MANIFEST).unlink()
        # All shards are done, so it does not matter what the input is now.
        return notes_of(manifest)
    plan = run / "plan.json"
    return json.loads(plan.read_text(encoding="utf-8")) if plan.is_file() else None
