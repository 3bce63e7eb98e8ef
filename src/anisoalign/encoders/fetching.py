"""Pictures, sounds and texts behind a URI: read many at a time, since each answer is waited for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from anisoalign.embeddings import InputError, RemotePath
from anisoalign.embeddings.errors import one_line
from anisoalign.embeddings.remote import asked_together, is_remote
from anisoalign.encoders.items import Item
from anisoalign.encoders.unreadable import UnreadableError

AHEAD = 64
"""Items whose contents are in memory at a time."""


def fetched(items: Iterable[Item]) -> Iterator[Item]:
    """Yield items, contents behind a URI read: as bytes, or as the reason why there are none.

    Raises
    ------
    InputError
        Where a store cannot be read. That is no property of the item, which must not be left out for it.
    """
    rest = iter(items)
    while some := list(islice(rest, AHEAD)):
        wanted = [(item, kind) for item in some for kind, content in item.content.items() if is_remote(content)]
        if not wanted:
            yield from some
            continue
        found: dict[int, dict[str, Any]] = {item.row: dict(item.content) for item in some}
        contents = asked_together(read_content, [item.content[kind] for item, kind in wanted], True)
        for (item, kind), content in zip(wanted, contents, strict=True):
            found[item.row][kind] = content
        yield from (replace(item, content=found[item.row]) for item in some)


def read_content(path: RemotePath) -> bytes | UnreadableError:
    """Bytes of a file behind a URI, or that it is not there."""
    try:
        with path.open() as file:
            return file.read()
    except FileNotFoundError:
        return UnreadableError("there is no such file")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {one_line(error)}") from error


def content_at(text: str, folder: Path) -> Any:
    """What a path in a list stands for: a file (relative ones start at the list's folder), or one behind a URI.

    Examples
    --------
    >>> content_at("a/b.png", Path("/lists")), content_at("file:///a/b.png", Path("/lists"))
    (PosixPath('/lists/a/b.png'), RemotePath('file:///a/b.png'))
    """
    scheme, marks, rest = text.partition("://")
    if not marks:
        return folder / text
    store, _, name = rest.partition("/")
    try:
        return _store(f"{scheme}://{store}") / name
    except InputError as error:
        return UnreadableError(str(error))


@lru_cache(maxsize=64)
def _store(uri: str) -> RemotePath:
    """A store, opened once and not for each of its files."""
    return RemotePath(uri if not uri.endswith("://") else f"{uri}/")
