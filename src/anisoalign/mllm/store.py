"""Embeddings by id: rows of a set that stays on disk, moved by an aligner as they are read."""

# pyarrow.compute makes its functions when it is imported:
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

import threading
from collections.abc import Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from anisoalign.aligners import Aligner, load
from anisoalign.embeddings import EmbeddingSet, InputError, format_bytes, locate, open_embeddings
from anisoalign.embeddings.finding import KINDS
from anisoalign.embeddings.provenance import encoder_of
from anisoalign.embeddings.remote import reachable
from anisoalign.mllm.provenance import check_aligner, check_side
from anisoalign.mllm.settings import StageSettings

MAPPED = ("npy", "safetensors", "memory")
"""Formats in which single rows are cheap to reach."""

_LISTED = 10
_HELD = 4 << 30
"""Bytes up to which a set in another format is read into memory as float32."""


class EmbeddingStore:
    """Unit rows by id.

    Parameters
    ----------
    source : path, array (n, d), tensor or EmbeddingSet
        `.npy` and safetensors shards stay on disk, memory-mapped; other formats are read whole up to 4 GiB.
    ids : sequence, optional
        One a row, for sets that hold none. Ids are compared as text.
    side : {"text", "substitute", "image"}
        What the rows are embeddings of; see `StageSettings`.
    aligner : Aligner or path, optional
        Moves rows of texts as they are read; substitutes it has moved already.
    column : str, optional
        Column or key of the vectors, if there are several; in clip-retrieval's layout, as `anisoalign encode --pairs`
        writes it, the kind, by default that of `side`.
    id_column : str, optional
        Column of ids, if not one of the usual names.

    Raises
    ------
    InputError
        If there are no ids, not one a row, or the aligner was fitted for another encoder or width.

    Examples
    --------
    >>> store = EmbeddingStore(np.eye(3, dtype=np.float32), ids=["a", "b", "c"], side="image")
    >>> store.take(store.rows_of(["c", "a"])).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    >>> store.rows_of(["d"])
    Traceback (most recent call last):
    anisoalign.embeddings.errors.InputError: embeddings: 1 of 1 ids have no embedding, these: 'd' (its own ids ...
    """

    @classmethod
    def of_stage(
        cls, stage: StageSettings, source: Any = None, ids: Any = None, aligner: Aligner | str | Path | None = None
    ) -> Self:
        """Those that a stage's settings name, or others, read as the settings say; `aligner` replaces the stage's."""
        return cls(
            stage.embeddings if source is None else source,
            ids=ids,
            side=stage.side,
            aligner=aligner or stage.aligner or None,
            column=stage.column or None,
            id_column=stage.id_column or None,
        )

    def __init__(
        self,
        source: str | Path | np.ndarray | torch.Tensor | EmbeddingSet,
        *,
        ids: Sequence[Any] | pa.Array | pa.ChunkedArray | None = None,
        side: str = "text",
        aligner: Aligner | str | Path | None = None,
        column: str | None = None,
        id_column: str | None = None,
    ):
        if side not in ("text", "substitute", "image"):
            raise InputError(f"side must be 'text', 'substitute' or 'image', not {side!r}")
        self.set = open_rows(source, side, column, id_column)
        self.side = side
        self.encoder = encoder_of(self.set.provenance)
        check_side(self.set, side)
        self.aligner = self._fitting(aligner)
        self.ids = _as_text(self._found_ids(ids), self.set.name)
        self._rows = self.set.dropping()  # a bad row matters only where it is asked for
        self._kept = self._read_whole() if self.set.format not in MAPPED else None
        self.digits = ""
        self._lock = threading.Lock()

    def with_aligner(self, aligner: Aligner | str | Path | None) -> EmbeddingStore:
        """The same rows, moved by another aligner.

        Raises
        ------
        InputError
            If it was fitted for another encoder or width, or the rows are of images.
        """
        other = copy(self)
        other.aligner = self._fitting(aligner)
        return other

    def with_digits(self, digits: str) -> EmbeddingStore:
        """The same rows, with the digits of their values (`digits_of`), for which they need not be read again."""
        other = copy(self)
        other.digits = digits
        return other

    def __len__(self) -> int:
        return self.set.rows

    @property
    def dim(self) -> int:
        """Width d."""
        return self.set.dim

    def rows_of(
        self, ids: Sequence[Any] | pa.Array | pa.ChunkedArray, *, missing: str = "error", advice: str = ""
    ) -> np.ndarray:
        """Row numbers of the given ids, int64, shape (len(ids),).

        Parameters
        ----------
        ids : sequence
        missing : {"error", "mask"}
            Whether ids without a row of their own are refused, or get -1.
        advice : str
            What ends the message of a refusal.

        Raises
        ------
        InputError
            Where an id has no row, or several; the first ten are listed.
        """
        wanted = _as_text(ids, "ids")
        rows = pc.index_in(wanted, value_set=self.ids)
        absent = wanted.filter(pc.is_null(rows))
        if len(absent) and missing == "error":
            own = _listed(self.ids.slice(0, 3))
            raise InputError(
                f"{self.set.name}: {len(absent):,} of {len(wanted):,} ids have no embedding, "
                f"{_which(len(absent))}: {_listed(absent)} (its own ids look like {own}){advice}"
            )
        several = pc.is_in(wanted, value_set=self._repeated)
        twice = wanted.filter(several).unique()
        if len(twice) and missing == "error":
            raise InputError(
                f"{self.set.name}: {len(twice):,} ids have several rows, {_which(len(twice))}: {_listed(twice)}; which "
                f"is meant is not said: leave all but one of each out, or join by other ids (id_column){advice}"
            )
        found = pc.if_else(several, -1, pc.fill_null(rows, -1))
        return np.asarray(found.to_numpy(zero_copy_only=False), np.int64)

    def repeated(self, ids: Sequence[Any] | pa.Array | pa.ChunkedArray) -> np.ndarray:
        """Which of the given ids several rows have, bool, shape (len(ids),)."""
        several = pc.is_in(_as_text(ids, "ids"), value_set=self._repeated)
        return np.asarray(several.to_numpy(zero_copy_only=False), bool)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Unit rows of the given numbers, in any order and perhaps repeated, float32, shape (len(rows), d).

        Raises
        ------
        InputError
            For a row that is null, NaN, infinite or zero.
        """
        rows = np.asarray(rows, np.int64)
        if not len(rows):
            return np.empty((0, self.dim), np.float32)
        unique, back = np.unique(rows, return_inverse=True)
        with self._lock:  # an aligner's map has one scratch tile
            return self._aligned(self._values(unique), unique)[back]

    def _values(self, rows: np.ndarray) -> np.ndarray:
        if self._kept is None:
            return unit_rows(self._rows, rows)
        values = self._kept[rows]
        for row in rows[np.isnan(values[:, 0])]:
            raise _bad(self._rows, int(row))
        return values

    def _aligned(self, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if self.aligner is None or self.side != "text":
            return values
        # The width decides the type, not the number of rows asked for: a row is the same in every batch.
        mapping = self.aligner.mapping(np.dtype(np.float64))
        moved = mapping(torch.from_numpy(values.astype(np.float64)), rows)
        return moved.to(torch.float32, copy=True).numpy()

    def _fitting(self, aligner: Aligner | str | Path | None) -> Aligner | None:
        """An aligner that these rows may have, loaded where it is a path."""
        if aligner is None:
            return None
        if self.side == "image":
            raise InputError("an aligner moves rows of texts; these are called 'image'")
        found = load(aligner) if isinstance(aligner, str | Path) else aligner
        check_aligner(found, self.set)
        return found

    def _found_ids(self, given: Any) -> Any:
        found = self.set.ids() if given is None else given
        if found is None:
            raise InputError(
                f"{self.set.name} holds no ids to join by: use a format with an id column (`anisoalign convert`), "
                "or give ids=…"
            )
        if len(found) != self.set.rows:
            raise InputError(f"{self.set.name} has {self.set.rows} rows but {len(found)} ids")
        return found

    def _read_whole(self) -> np.ndarray:
        needed = self.set.rows * self.dim * 4
        if needed > _HELD:
            raise InputError(
                f"{self.set.name}: single rows of {self.set.format} are slow to reach and all of them would take "
                f"{format_bytes(needed)}; `anisoalign convert` writes .npy shards, which stay on disk"
            )
        whole = np.full((self.set.rows, self.dim), np.nan, np.float32)
        for tile in self._rows.tiles(np.float32):
            whole[tile.rows] = tile.values
        return whole

    @cached_property
    def _repeated(self) -> pa.Array:
        """Ids that several rows have."""
        if pc.count_distinct(self.ids).as_py() == len(self.ids):
            return self.ids.slice(0, 0)
        counts = pc.value_counts(self.ids)
        return counts.field("values").filter(pc.greater(counts.field("counts"), 1))


def open_rows(
    source: str | Path | np.ndarray | torch.Tensor | EmbeddingSet, side: str, column: str | None, id_column: str | None
) -> EmbeddingSet:
    """The set of a stage's embeddings; of a folder that holds those of texts and of images, the ones of its side."""
    name = str(source) if isinstance(source, str | Path) else "embeddings"
    if not column and isinstance(source, str | Path) and side in KINDS:
        folder = locate(source)
        with reachable(folder):
            column = side if all((folder / kind).is_dir() for kind in KINDS.values()) else None
    return open_embeddings(source, name=name, column=column or None, id_column=id_column or None)


def unit_rows(es: EmbeddingSet, rows: np.ndarray, dtype: np.typing.DTypeLike = np.float32) -> np.ndarray:
    """Unit rows of the given ascending numbers, of a set that drops bad ones: here each was asked for.

    Raises
    ------
    InputError
        For the first row that is null, NaN, infinite or zero. No option leaves it out.
    """
    tile = es.take(rows, dtype)
    for row in np.setdiff1d(rows, tile.rows):
        raise _bad(es, int(row))
    return tile.values


def _bad(es: EmbeddingSet, row: int) -> InputError:
    """What is wrong with a row that a pass has dropped."""
    shard = next(shard for shard in reversed(es.shards) if shard.first_row <= row)
    dropped = next(one for one in es.dropped_in(shard.index) if one.global_row == row)
    return InputError(f"{es.notes.where(shard, dropped.row)} {dropped.reason}; correct it")


def _as_text(ids: Any, name: str) -> pa.Array:
    array = ids if isinstance(ids, pa.Array | pa.ChunkedArray) else pa.array([str(value) for value in ids], pa.string())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if array.null_count:
        raise InputError(f"{name}: {array.null_count} ids are null")
    try:
        return array.cast(pa.string())
    except pa.ArrowException as error:
        raise InputError(f"{name}: ids of type {array.type} cannot be compared as text") from error


def _which(count: int) -> str:
    return "the first ten" if count > _LISTED else "these"


def _listed(values: pa.Array) -> str:
    return ", ".join(repr(value.as_py()) for value in values.slice(0, _LISTED))
