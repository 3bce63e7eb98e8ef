"""Conversations in JSON, JSONL or memory, indexed and checked once, then read one at a time."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from anisoalign.embeddings import InputError
from anisoalign.mllm.records import Conversation, Reading, parse_record

_READ = 1 << 22
"""Characters read at a time while a file is indexed."""

_LISTED = 10
"""Bad records that an error lists."""


class Conversations:
    """Conversations to learn from, in LLaVA's and Bunny's form.

    A file is read once when it is opened: every record is checked, its place, id and length are kept, and nothing
    else; about 40 bytes a record and its id. Records are read again when they are asked for.

    Parameters
    ----------
    source : path or sequence of dict
        `.json` (one array) or `.jsonl` (one object a line), or the records themselves, with `id`, and `conversations`
        (a list of `{"from": "human" | "gpt" | "system", "value": …}`, or chat messages) or a `caption`.
    placeholder, prompt, key, text_only
        As in `StageSettings` and `ModelSettings`.

    Attributes
    ----------
    ids : pyarrow array of string, shape (n,)
    lengths : ndarray of int32, shape (n,)
        Characters.
    pictures : ndarray of bool, shape (n,)
        Which have a picture.

    Raises
    ------
    InputError
        If the file cannot be read, or records cannot be used; the first ten are listed with line and reason.

    Examples
    --------
    >>> talks = Conversations([{"id": "a", "caption": "a red ring"}])
    >>> len(talks), talks[0].turns[-1].text
    (1, 'a red ring')
    """

    def __init__(
        self,
        source: str | Path | Sequence[Mapping[str, Any]],
        *,
        placeholder: str = "<image>",
        prompt: str = "Describe the image.",
        key: str = "id",
        text_only: bool = False,
    ):
        self.reading = Reading(placeholder, prompt, key, text_only)
        self.path = Path(source) if isinstance(source, str | Path) else None
        self._records = None if self.path is not None else list(source)  # pyright: ignore[reportArgumentType]
        self._index()

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, number: int) -> Conversation:
        return parse_record(self.record(number), self.reading)

    def record(self, number: int) -> Mapping[str, Any]:
        """Return a record as it stands in the file."""
        if self._records is not None:
            return self._records[number]
        assert self.path is not None
        start, stop = (int(place) for place in self._places[number])
        with self.path.open("rb") as file:
            file.seek(start)
            text = file.read(stop - start)
        try:
            return json.loads(text)
        except ValueError as error:
            raise InputError(f"{self.path}, record {number}: changed since it was opened: {error}") from error

    @property
    def name(self) -> str:
        """What messages call them."""
        return "conversations" if self.path is None else str(self.path)

    def state(self) -> dict[str, Any]:
        """What a run that goes on must find unchanged: rows, and sums over ids and lengths."""
        import zlib

        crc = 0
        for value in self.ids:
            crc = zlib.crc32(value.as_py().encode(), crc)
        return {"rows": len(self), "ids_crc32": f"{zlib.crc32(self.lengths.tobytes(), crc):08x}"}

    def _index(self) -> None:
        ids, lengths, pictures, places = [], [], [], []
        bad: list[str] = []
        count = 0
        for where, record, place in self._walk():
            try:
                talk = parse_record(record, self.reading)
            except InputError as error:
                count += 1
                if len(bad) < _LISTED:
                    bad.append(f"  {where}: {error}")
                continue
            ids.append(talk.id)
            lengths.append(talk.characters)
            pictures.append(talk.picture)
            places.append(place)
        if bad:
            first = "the first ten" if count > _LISTED else "these"
            raise InputError(f"{self.name}: {count} conversation(s) cannot be used, {first}:\n" + "\n".join(bad))
        if not ids:
            raise InputError(f"{self.name} holds no conversation")
        self.ids = pa.array(ids, pa.string())
        self.lengths = np.array(lengths, np.int32)
        self.pictures = np.array(pictures, bool)
        self._places = np.array(places, np.int64)

    def _walk(self) -> Iterator[tuple[str, Any, tuple[int, int]]]:
        if self._records is not None:
            for number, record in enumerate(self._records):
                yield f"record {number}", record, (0, 0)
            return
        assert self.path is not None
        try:
            with self.path.open("rb") as file:
                first = file.read(64).lstrip()[:1]
                file.seek(0)
                yield from _array(file, self.path) if first == b"[" else _lines(file, self.path)
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{self.path} is not UTF-8 text: {error}") from error


def _lines(file: Any, path: Path) -> Iterator[tuple[str, Any, tuple[int, int]]]:
    """Records of a JSONL file with their places in bytes."""
    start = 0
    for number, line in enumerate(file, 1):
        stop = start + len(line)
        if line.strip():
            try:
                yield f"line {number}", json.loads(line), (start, stop)
            except UnicodeDecodeError:
                raise
            except ValueError as error:
                raise InputError(f"{path}, line {number} is not JSON: {error}") from error
        start = stop


def _array(file: Any, path: Path) -> Iterator[tuple[str, Any, tuple[int, int]]]:
    """Elements of one JSON array with their places in bytes, a few at a time in memory."""
    decode, decoder = codecs.getincrementaldecoder("utf-8")(), json.JSONDecoder()
    text, size, ended, opened = "", _READ, False, False
    position = number = 0  # in bytes, of the beginning of `text`
    while True:
        at = _skip(text, 0, " \t\r\n" + ("," if opened and number else ""))
        position, text = position + len(text[:at].encode()), text[at:]
        if text and not opened:
            opened, position, text = True, position + 1, text[1:]
            continue
        if text.startswith("]"):
            if _skip(text, 1, " \t\r\n") < len(text) or file.read().strip():
                raise InputError(f"{path} goes on after the end of its array")
            return
        element, stop, fault = None, 0, "the array is not closed"
        try:
            if text:
                element, stop = decoder.raw_decode(text)
        except ValueError as error:
            fault = str(error)
        if stop and (isinstance(element, dict) or stop < len(text)):  # a number might go on in the next part
            length = len(text[:stop].encode())
            yield f"element {number}", element, (position, position + length)
            position, text, number = position + length, text[stop:], number + 1
            continue
        if ended:
            raise InputError(f"{path} is truncated or not JSON after element {number - 1}: {fault}")
        block = file.read(size)
        ended = not block
        text += decode.decode(block, final=ended)
        size *= 2 if len(text) > size else 1  # an element longer than what was read: not again and again from its start


def _skip(text: str, start: int, characters: str) -> int:
    while start < len(text) and text[start] in characters:
        start += 1
    return start
