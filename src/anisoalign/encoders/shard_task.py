"""One shard of a run of `encode`: done here, or by an engine's workers, which open the encoder again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from anisoalign.embeddings import EmbeddingWriter, Engine, InputError, Outcome
from anisoalign.embeddings.finding import KINDS
from anisoalign.encoders.batches import Workers
from anisoalign.encoders.encoder import Encoder
from anisoalign.encoders.encoding import encode_rows, write_rows
from anisoalign.encoders.items import Listing

Part = tuple[int, tuple[str, ...]]
"""Number of a shard, and the modalities that it still lacks."""
Progress = Callable[[int], None]


@dataclass(frozen=True)
class ShardTask:
    """What is common to the shards of one source.

    Attributes
    ----------
    items : Listing
    writers : dict
        Modality -> its writer.
    shard_rows, batch_size : int
    strict : bool
        Whether an item that cannot be decoded ends the run.
    """

    items: Listing
    writers: dict[str, EmbeddingWriter]
    shard_rows: int
    batch_size: int
    strict: bool

    @property
    def count(self) -> int:
        """Number of shards."""
        return -(-self.items.rows // self.shard_rows)

    def rows_of(self, index: int) -> int:
        """Items of a shard."""
        return min(self.shard_rows, self.items.rows - index * self.shard_rows)

    def write(self, encoder: Encoder, workers: Workers, part: Part, progress: Progress | None = None) -> None:
        """Encode and write one shard.

        Raises
        ------
        InputError
            Where items cannot be read as they were listed, or, if `strict`, one cannot be decoded.
        """
        index, missing = part
        start = index * self.shard_rows
        stop = start + self.rows_of(index)
        encoded = encode_rows(encoder, self.items, start, stop, workers, self.batch_size, progress)
        if self.strict:
            refuse_unreadable([item.to_dict() for item in encoded.unreadable])
        for kind in missing:
            write_rows(self.writers[kind], index, kind, encoded, start, KINDS.get(kind, f"{kind}_emb"))


@dataclass(frozen=True)
class ShardJob:
    """A `ShardTask` as it travels: the encoder is opened by each worker.

    Attributes
    ----------
    reopen : callable
    weights : dict
        Modality -> what tells the sender's weights from others.
    task : ShardTask
    device : str
        Kind of device that the run is planned for, see `device_kind`.
    decoders : int
        Processes that decode, beside each worker.
    """

    reopen: Callable[[], Encoder]
    weights: dict[str, dict[str, Any]]
    task: ShardTask
    device: str
    decoders: int = 0

    @property
    def gpus(self) -> int:
        """GPUs that each worker is to be given."""
        return int(self.device == "cuda")

    def begin(self) -> Callable[[Part], Outcome]:
        """Start a worker, in any process; returns the function that does one shard after another."""
        opened: list[tuple[Encoder, Workers]] = []

        def run(part: Part) -> Outcome:
            try:
                if not opened:
                    opened.append(self._open())
                self.task.write(*opened[0], part)
            except InputError as error:
                return Outcome.failed(error)
            return Outcome({kind: self.task.writers[kind].record(part[0]) for kind in part[1]})

        return run

    def _open(self) -> tuple[Encoder, Workers]:
        encoder = self.reopen()
        for kind, ours in self.weights.items():
            if (found := encoder.weights(kind)) != ours:
                raise InputError(
                    f"{encoder.name} has other weights on a worker ({_in_words(found)}) than here ({_in_words(ours)}): "
                    "every machine must load the same model"
                )
        if encoder.device.type != self.device:
            raise InputError(
                f"a worker computes on {encoder.device.type}, where this run is planned for {self.device}: "
                "--device says for all of them what to take"
            )
        workers = Workers({kind: encoder.preparation(kind) for kind in self.task.writers}, self.decoders)
        return encoder, workers.__enter__()  # its processes end with this one


def device_kind(encoder: Encoder, engine: Engine | None) -> str:
    """Kind of device that encodes: this process's, or a GPU of an engine's workers where any may be taken."""
    if engine is not None and encoder.looks_for_device and getattr(engine, "gpus", 0):
        return "cuda"
    return encoder.device.type


def write_away(
    engine: Engine,
    encoder: Encoder,
    task: ShardTask,
    parts: Sequence[Part],
    progress: Progress | None,
    decoders: int = 0,
) -> None:
    """Have an engine's workers encode and write shards, and count what they wrote as ours.

    Each worker has `decoders` processes beside it.

    Raises
    ------
    InputError
        The first in the order of the shards; or if the encoder cannot be opened anywhere else.
    """
    if encoder.reopen is None:
        raise InputError(f"{encoder.name} was not opened by name, so that an engine's workers cannot open it again")
    weights = {kind: encoder.weights(kind) for kind in task.writers}
    job = ShardJob(encoder.reopen, weights, task, device_kind(encoder, engine), decoders)
    with closing(engine.map(job, parts)) as outcomes:
        for (index, _), outcome in zip(parts, outcomes, strict=True):
            outcome.check()
            records: dict[str, Any] = outcome.result
            for kind, record in records.items():
                task.writers[kind].adopt(index, record)
            if progress is not None:
                progress(task.rows_of(index))


def _in_words(weights: dict[str, Any]) -> str:
    """Fingerprint of the model, and of the language model beside it where there is one.

    Examples
    --------
    >>> _in_words({"fingerprint": "01", "text_encoder": {"name": "llama", "fingerprint": "ab"}})
    'fingerprint 01, llama ab'
    """
    beside = weights.get("text_encoder")
    return f"fingerprint {weights['fingerprint']}" + (f", {beside['name']} {beside['fingerprint']}" if beside else "")


def refuse_unreadable(items: Sequence[dict[str, Any]]) -> None:
    """Raise InputError for the first of a shard's items without a row: `where` and `reason`, as its notes have them."""
    if items:
        first, others = items[0], len(items) - 1
        more = f" (and {others} more in this shard)" if others else ""
        raise InputError(
            f"{first['where']} cannot be encoded: {first['reason']}{more}; "
            "--on-unreadable list goes on from here, leaves such items out and lists them"
        )
