"""Conversations in JSON, JSONL or memory, indexed and checked once, then read one at a time."""

from __future__ import annotations

import hashlib
import json
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from anisoalign.embeddings import InputError
from anisoalign.embeddings.json_arrays import at_array, elements
from anisoalign.embeddings.text_lines import refuse_utf16
from anisoalign.mllm.records import Conversation, Reading, parse_record
from anisoalign.mllm.settings import ON_BAD, StageSettings
from anisoalign.mllm.unusable import Unusable
from anisoalign.places import expanded

_IDS = 1 << 13
"""Ids that are held as Python's text while a file is indexed."""

_DIGITS = 16
"""Of the hash of what is said, in hexadecimal."""


class Conversations:
    """Conversations to learn from, in LLaVA's and Bunny's form.

    A file is read once when it is opened: every record is checked, its place, id and length are kept, and nothing
    else; about 50 bytes a record and its id, while the file is read about 110 in all. Records are read again when they
    are asked for.

    Parameters
    ----------
    source : path or sequence of dict
        `.json` (one array) or `.jsonl` (one object a line), or the records themselves, with `id`, and `conversations`
        (a list of `{"from": "human" | "gpt" | "system", "value": …}`, or chat messages) or a `caption`.
    placeholder, prompt, key, text_only, on_bad
        As in `StageSettings` and `ModelSettings`.

    Attributes
    ----------
    ids : pyarrow array of string, shape (n,)
    lengths : ndarray of int32, shape (n,)
        Characters.
    sizes, turns : ndarray of int32, shape (n,)
        Bytes as UTF-8, and turns.
    pictures : ndarray of bool, shape (n,)
        Which have a picture.
    tagged : ndarray of bool, shape (n,)
        Which hold a `<` beside the placeholder: some chat templates look for tags in what is said.
    left_out : Unusable
        Those that cannot be used, with ``on_bad="skip"``.

    Raises
    ------
    InputError
        If the file cannot be read or is of another kind, or records cannot be used; the first ten are listed with line
        and reason.

    Examples
    --------
    >>> talks = Conversations([{"id": "a", "caption": "a red ring"}])
    >>> len(talks), talks[0].turns[-1].text
    (1, 'a red ring')
    """

    @classmethod
    def of_stage(
        cls, stage: StageSettings, placeholder: str, source: str | Path | Sequence[Mapping[str, Any]] | None = None
    ) -> Self:
        """Those that a stage's settings name, or others, read as the settings say."""
        return cls(
            stage.conversations if source is None else source,
            placeholder=placeholder,
            prompt=stage.prompt,
            key=stage.key,
            text_only=stage.text_only,
            on_bad=stage.on_bad,
        )

    def __init__(
        self,
        source: str | Path | Sequence[Mapping[str, Any]],
        *,
        placeholder: str = "<image>",
        prompt: str = "Describe the image.",
        key: str = "id",
        text_only: bool = False,
        on_bad: str = "error",
    ):
        if on_bad not in ON_BAD:
            raise InputError(f"on_bad must be 'error' or 'skip', not {on_bad!r}")
        self.reading = Reading(placeholder, prompt, key, text_only)
        self.path = expanded(source) if isinstance(source, str | Path) else None
        self._records = None if self.path is not None else list(source)  # pyright: ignore[reportArgumentType]
        self.left_out = Unusable()
        self._index()
        if on_bad == "error":
            self.left_out.refuse(self.name)
        if not len(self):
            which = " that can be used" if self.left_out.count else ""
            raise InputError(f"{self.name} holds no conversation{which}")

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, number: int) -> Conversation:
        return parse_record(self.record(number), self.reading)

    def record(self, number: int) -> Mapping[str, Any]:
        """Return a record as it stands in the file."""
        start, stop = (int(place) for place in self._places[number])
        if self._records is not None:
            return self._records[start]
        assert self.path is not None
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
        """What a run that goes on must find unchanged: rows, ids and lengths, and every word that is said."""
        return dict(self._state)

    def without(self, numbers: Sequence[int], left_out: Unusable) -> Conversations:
        """The same conversations but for those of the given numbers; the state stays that of all that were read."""
        other = copy(self)
        kept = np.delete(np.arange(len(self)), numbers)
        for name in ("lengths", "sizes", "turns", "pictures", "tagged", "_places"):
            setattr(other, name, getattr(self, name)[kept])
        other.ids, other.left_out = self.ids.take(pa.array(kept)), left_out
        return other

    def _index(self) -> None:
        ids: list[str] = []
        blocks: list[pa.Array] = []
        # Arrays, not lists: a list of numbers takes ten times the memory of the numbers.
        counts, pictures, tagged, places = array("i"), array("b"), array("b"), array("q")
        said = hashlib.sha256()
        for where, record, place in self._walk():
            try:
                if isinstance(record, InputError):
                    raise record
                talk = parse_record(record, self.reading)
            except InputError as error:
                self.left_out = self.left_out.with_one(f"{where}: {error}")
                continue
            ids.append(talk.id)
            if len(ids) == _IDS:
                blocks.append(pa.array(ids, pa.string()))
                ids.clear()
            counts.extend((talk.characters, talk.size, len(talk.turns)))
            pictures.append(talk.picture)
            tagged.append(any("<" in turn.text.replace(self.reading.placeholder, "") for turn in talk.turns))
            places.extend(place)
            said.update(_spoken(talk))
        self.ids = pa.concat_arrays([*blocks, pa.array(ids, pa.string())])
        self.lengths, self.sizes, self.turns = np.array(counts, np.int32).reshape(-1, 3).T
        self.pictures, self.tagged = np.array(pictures, bool), np.array(tagged, bool)
        self._places = np.array(places, np.int64).reshape(-1, 2)
        self._state = {
            "rows": len(self.ids),
            "ids_crc32": _outline(self.ids, self.lengths),
            "said_sha256": said.hexdigest()[:_DIGITS],
        }

    def _walk(self) -> Iterator[tuple[str, Any, tuple[int, int]]]:
        if self._records is not None:
            for number, record in enumerate(self._records):
                yield f"record {number}", record, (number, number + 1)
            return
        assert self.path is not None
        try:
            with self.path.open("rb") as file:
                refuse_utf16(self.path, file.read(2))
                file.seek(0)
                if not at_array(file):
                    yield from _lines(file, self.path)
                    return
                for number, record, place in elements(file, self.path):
                    yield f"element {number}", record, place
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from error


def _spoken(talk: Conversation) -> bytes:
    """Id, roles and text of a conversation, so written that different ones never look the same."""
    return json.dumps([talk.id, [(turn.role, turn.text) for turn in talk.turns]]).encode()


def _outline(ids: pa.Array, lengths: np.ndarray) -> str:
    """A sum over ids and lengths: all that older models noted of their data."""
    crc = 0
    for value in ids:
        crc = zlib.crc32(value.as_py().encode(), crc)
    return f"{zlib.crc32(lengths.tobytes(), crc):08x}"


def _lines(file: Any, path: Path) -> Iterator[tuple[str, Any, tuple[int, int]]]:
    """Records of a JSONL file with their places in bytes; in place of one that cannot be read, the error.

    Raises InputError at the end where there is no line that can be read: then it is a file of another kind.
    """
    start, first, read = file.tell(), "", False
    for number, line in enumerate(file, 1):
        stop = start + len(line)
        if line.strip():
            record = _read(line)
            if isinstance(record, InputError):
                first = first or f"line {number} is {record}"
            else:
                read = True
            yield f"line {number}", record, (start, stop)
        start = stop
    if first and not read:
        raise InputError(
            f"{path} is neither a JSON array of records (.json) nor a JSON record a line (.jsonl): {first}"
        )


def _read(line: bytes) -> Any:
    """What a line says, or why it says nothing: where a file was cut off a line is broken, perhaps within a letter."""
    try:
        return json.loads(line)
    except UnicodeDecodeError as error:
        return InputError(f"not UTF-8 text: {error}")
    except ValueError as error:
        return InputError(f"not JSON: {error}")
