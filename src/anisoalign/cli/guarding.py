"""What is refused of any command before it begins: URIs where files lie on disks, several processes where one works."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from anisoalign.places import expanded

SHARED = ("fit", "train")
"""Commands whose work several processes of torchrun or accelerate share."""


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """A command that is begun only where it can be done."""

    @functools.wraps(command)
    def begin(**values: Any) -> None:
        _check_processes(command.__name__)
        values = {name: _expanded(value) for name, value in values.items()}
        for name, path in _paths(values):
            _check_path(command.__name__, name, path)
        command(**values)

    return begin


def _check_processes(command: str) -> None:
    """Raise InputError where torchrun started several processes of a command that is one's work.

    The first process speaks for all.
    """
    count = os.environ.get("WORLD_SIZE", "1")
    if count == "1" or command in SHARED:
        return
    if os.environ.get("RANK", "0") != "0":
        sys.exit(2)
    from anisoalign.embeddings import InputError

    raise InputError(
        f"{command} is done by one process, and WORLD_SIZE says that {count} were started: leave torchrun out "
        f"(those of {' and '.join(SHARED)} share their work)"
    )


def _expanded(value: Any) -> Any:
    """A value, a path of this machine or several with the `~` expanded that the shell leaves in `--out=~/a`."""
    if isinstance(value, list | tuple):
        return type(value)(map(_expanded, value))
    return expanded(value) if isinstance(value, Path) else value


def _paths(values: dict[str, Any]) -> Iterator[tuple[str, Path]]:
    """Names and values of arguments that are paths of this machine."""
    for name, value in values.items():
        for item in value if isinstance(value, list | tuple) else [value]:
            if isinstance(item, Path):
                yield name, item


def _check_path(command: str, name: str, path: Path) -> None:
    """Raise InputError for a URI: `Path` takes it for a file in a folder called `s3:`."""
    scheme = path.parts[0] if path.parts else ""
    if len(scheme) < 3 or not scheme.endswith(":"):
        return
    from anisoalign.embeddings import InputError

    slashes = "///" if scheme == "file:" else "//"
    uri = f"{scheme}{slashes}{'/'.join(path.parts[1:])}"
    if name == "model" or (command == "fit" and name == "out"):
        raise InputError(f"models lie on disks: name a folder of this machine instead of {uri}")
    raise InputError(f"{uri}: {command} takes a path of this machine here; copy the file, or name another")
