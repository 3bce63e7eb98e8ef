"""One JSON array in a file, an element at a time: annotations come so, larger than memory should have to hold."""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from anisoalign.embeddings.errors import InputError

_READ = 1 << 22
"""Characters read at a time, unless an element is longer."""

_MARK = b"\xef\xbb\xbf"
"""Of byte order, with which some editors begin a file of UTF-8."""


def at_array(file: IO[bytes]) -> bool:
    r"""Tell whether a file holds an array; it stands at its first character then, after a byte order mark.

    Examples
    --------
    >>> import io
    >>> at_array(io.BytesIO(b'\n [{"id": 1}]')), at_array(io.BytesIO(b'{"id": 1}\n'))
    (True, False)
    """
    head = file.read(64)
    mark = len(_MARK) if head.startswith(_MARK) else 0
    file.seek(mark)
    return head[mark:].lstrip()[:1] == b"["


def elements(file: IO[bytes], path: Path, first: int = 0) -> Iterator[tuple[int, Any, tuple[int, int]]]:
    r"""Yield number, value and place in bytes of every element, a few at a time in memory.

    Parameters
    ----------
    file : binary file
        At the array (`at_array`), or at the place of an element.
    path : Path
        What messages call it.
    first : int
        Number of the element that the file stands at.

    Raises
    ------
    InputError
        Where it is cut off, no JSON or no UTF-8, or goes on after its array, with the place in bytes.

    Examples
    --------
    >>> import io
    >>> list(elements(io.BytesIO(b'[{"id": 1},\n {}]'), Path("talks.json")))
    [(0, {'id': 1}, (1, 10)), (1, {}, (13, 15))]
    >>> list(elements(io.BytesIO(b'[{"id": 1}, {"id'), Path("talks.json")))
    Traceback (most recent call last):
    anisoalign.embeddings.errors.InputError: talks.json is truncated or not JSON at byte 13, after 1 element(s): ...
    """
    decode, decoder = codecs.getincrementaldecoder("utf-8")(), json.JSONDecoder()
    text, size, ended, opened, taken = "", _READ, False, first > 0, True
    apart = True  # whether an element may begin: after the array has, or after a comma
    at, number = 0, first  # the place in `text`, and the element that begins there
    position = file.tell()  # the same place in bytes of the file
    while True:
        start, at = at, _skip(text, at)
        position += at - start
        if at < len(text) and not opened:
            opened, position, at = True, position + 1, at + 1
            continue
        if at < len(text) and not apart and text[at] != "]":
            if text[at] != ",":
                raise InputError(f"{path} has no comma at byte {position}, after {number} element(s)")
            apart, position, at = True, position + 1, at + 1
            continue
        if text.startswith("]", at) and (number == 0 or not apart):
            if _skip(text, at + 1) < len(text) or file.read().strip():
                raise InputError(f"{path} goes on after the end of its array, at byte {position}")
            return
        element, stop, fault, wrong = None, at, "the array is not closed", at
        try:
            if at < len(text):
                element, stop = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            fault, wrong = error.msg, error.pos
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, or as many brackets
            fault = str(error)
        if stop > at and (isinstance(element, dict) or stop < len(text)):  # a number might go on in the next part
            length = len(text[at:stop].encode())
            yield number, element, (position, position + length)
            position, at, number, taken, apart = position + length, stop, number + 1, True, False
            continue
        if ended:
            place = position + len(text[at:wrong].encode())
            raise InputError(f"{path} is truncated or not JSON at byte {place}, after {number} element(s): {fault}")
        size *= 1 if taken else 2  # an element longer than what was read: not again and again from its start
        block = file.read(size)
        ended = not block
        try:
            more = decode.decode(block, final=ended)
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not UTF-8 text after {number} element(s): {error.reason}") from error
        # Cut here alone: cut after every element, a block would be copied as often as it holds elements.
        text, at, taken = text[at:] + more, 0, False


def _skip(text: str, start: int) -> int:
    while start < len(text) and text[start] in " \t\r\n":
        start += 1
    return start
