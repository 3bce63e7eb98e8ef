"""What is checked before any work: that libraries are installed and outputs can be written."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

from anisoalign.cli.messages import listed

NEEDED = {
    "explore": ("starlette", "uvicorn", "jinja2"),
    "mllm": ("transformers", "accelerate", "peft"),
    "ray": ("ray",),
    "report": ("jinja2",),
}
"""Packages without which nothing that an extra is for can be done."""


def check_extra(extra: str, *packages: str) -> None:
    """Raise InputError where packages of an extra, `NEEDED` unless given, are not installed."""
    from anisoalign.embeddings import InputError

    missing = [package for package in packages or NEEDED[extra] if importlib.util.find_spec(package) is None]
    if missing:
        raise InputError(f'{listed(missing)} is not installed: pip install "anisoalign[{extra}]"')


def check_report(path: Path | None, *inputs: Any) -> None:
    """Raise InputError where a page could not be written; as `check_file`."""
    if path is not None:
        check_extra("report")
    check_file(path, *inputs)


def check_file(path: Path | None, *inputs: Any) -> None:
    """Raise InputError where a file could not be written, or would replace an input or lie among the files of one.

    Inputs that are no paths of this machine, or None, are no file that could be replaced.
    """
    from anisoalign.embeddings import InputError
    from anisoalign.embeddings.atomic import check_regular

    if path is None:
        return
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"{path} cannot be written: it must be a file in a folder that exists")
    check_regular(path)
    place = Path(os.path.realpath(path))
    for read in inputs:
        if not isinstance(read, Path):
            continue
        known = Path(os.path.realpath(read))
        if known == place:
            raise InputError(f"{path} is named twice in this command, which would replace it; choose another name")
        if known in place.parents:  # it would replace a shard, or be taken for one by the next command
            raise InputError(f"{path} lies within {read}, which this command reads; choose another place")
