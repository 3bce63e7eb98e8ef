"""Lines of a text file, cut where `encode` cuts them, so that line i of a list belongs to row i."""

import codecs
import io
import json
from pathlib import Path
from typing import IO, Any

from anisoalign.embeddings.errors import InputError
from anisoalign.embeddings.remote import is_remote


def opened(path: Path) -> IO[bytes]:
    """A file, here or behind a URI, to be read by lines or by pieces."""
    return io.BufferedReader(path.open("rb", buffering=0), 1 << 20) if is_remote(path) else path.open("rb")


def read_lines(path: Path) -> list[str]:
    r"""Return the lines of a file in UTF-8, each without its end, `\n` or `\r\n`.

    `str.splitlines` will not do: it also cuts at form feeds, U+0085, U+2028 and others, which captions from the web
    contain.

    Raises
    ------
    InputError
        If the file is UTF-16.
    OSError, UnicodeDecodeError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "captions.txt")
    ...     _ = file.write_bytes("a cat\u2028asleep\r\na dog\n".encode())
    ...     read_lines(file)
    ['a cat\u2028asleep', 'a dog']
    """
    raw = path.read_bytes()
    refuse_utf16(path, raw)
    lines = raw.decode("utf-8-sig").split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.rstrip("\r") for line in lines]


def json_object(path: Path, line: str | bytes, number: int) -> dict[str, Any]:
    """Return the object that a line of JSON Lines holds, `number` counted from 1.

    Raises
    ------
    InputError
        If it holds none.

    Examples
    --------
    >>> json_object(Path("a.jsonl"), '{"label": "cat"}', 1)
    {'label': 'cat'}
    """
    try:
        record = json.loads(line)
    except ValueError as error:
        raise InputError(f"{path}, line {number} is no JSON: {error}") from error
    if not isinstance(record, dict):
        raise InputError(f"{path}, line {number} is no JSON object")
    return record


def refuse_utf16(path: Path, start: bytes) -> None:
    r"""Raise InputError where a file starts as UTF-16 does, whose lines would be cut within characters.

    Examples
    --------
    >>> refuse_utf16(Path("captions.txt"), "a cat".encode("utf-16"))
    Traceback (most recent call last):
    anisoalign.embeddings.errors.InputError: captions.txt is UTF-16, as Windows writes it; save it as UTF-8
    """
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"{path} is UTF-16, as Windows writes it; save it as UTF-8")
