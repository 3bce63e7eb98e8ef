"""TOML of settings: changes on top, paths beside the file, values as they are written."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anisoalign.embeddings import InputError
from anisoalign.places import expanded


def resolve_paths(given: dict[str, Any], folder: Path) -> None:
    """Paths of data become relative to the settings file, URIs stay; a language model's only where it lies there."""
    for stage in given["stages"].values():
        for key in ("conversations", "embeddings", "aligner"):
            if isinstance(stage.get(key), str) and stage[key] and "://" not in stage[key]:
                stage[key] = str(folder / expanded(stage[key]))
    lm = given["model"].get("lm")
    if isinstance(lm, str) and lm and (folder / expanded(lm)).is_dir():
        given["model"]["lm"] = str(folder / expanded(lm))


def apply(given: dict[str, Any], change: str) -> None:
    """Carry out `model.key=value` or `stages.NAME.key=value`."""
    path, equals, text = change.partition("=")
    parts = path.strip().split(".")
    if not equals or not (
        (parts[0] == "model" and len(parts) == 2) or (parts[0] == "stages" and len(parts) == 3 and all(parts))
    ):
        raise InputError(f"{change!r} is not of the form model.key=value or stages.NAME.key=value")
    if parts[0] == "stages" and parts[1] not in given["stages"]:
        listed = ", ".join(given["stages"]) or "none"
        raise InputError(f"{change!r}: there is no stage {parts[1]!r}; the stages: {listed}")
    table = given["model"] if parts[0] == "model" else given["stages"][parts[1]]
    table[parts[-1]] = _value(text.strip())


def _value(text: str) -> Any:
    """A value as TOML reads it; what TOML cannot read is text, so that a path needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def lines(values: Mapping[str, Any]) -> str:
    """Values as lines of TOML; those that are None are left out."""
    return "".join(f"{key} = {_written(value)}\n" for key, value in values.items() if value is not None)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
    return repr(value)
