"""Sets in several shards, an engine that does its parts in a copy, and a store that is no disk."""

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import FSSpecHandler, PyFileSystem

from anisoalign.embeddings import RemotePath


class Elsewhere:
    """An engine as far away as a test can be: all it is given is pickled, and what it hands back too."""

    hands = 2

    def __init__(self) -> None:
        self.parts = 0

    def map(self, job, parts) -> Iterator:
        self.parts += len(parts)
        workers = [pickle.loads(pickle.dumps(job)).begin() for _ in range(self.hands)]
        for number, part in enumerate(parts):
            yield pickle.loads(pickle.dumps(workers[number % self.hands](pickle.loads(pickle.dumps(part)))))


class Sharded(NamedTuple):
    """Folders of eleven and of five shards, with ids beside the first."""

    source: Path
    target: Path


@pytest.fixture
def elsewhere() -> Elsewhere:
    return Elsewhere()


@pytest.fixture(scope="session")
def write_ids() -> Callable[[Path, list[int]], None]:
    """Writer of clip-retrieval's metadata beside shards of the given lengths."""

    def write(folder: Path, sizes: list[int]) -> None:
        (folder / "metadata").mkdir()
        first = 0
        for number, size in enumerate(sizes):
            ids = pa.table({"id": [f"row {first + i}" for i in range(size)]})
            pq.write_table(ids, folder / "metadata" / f"metadata_{number:03d}.parquet")
            first += size

    return write


@pytest.fixture
def sharded(tmp_path, write_shards, write_ids, make_planted) -> Sharded:
    data = make_planted(rows=660, dim=12)
    sizes = [10 * (i + 1) for i in range(11)]
    source = write_shards(tmp_path / "source", data.source.astype(np.float32), sizes)
    write_ids(source, sizes)
    return Sharded(source, write_shards(tmp_path / "target", data.target.astype(np.float16), [132] * 5))


@pytest.fixture
def store(tmp_path) -> RemotePath:
    """A folder in a store that is no disk: fsspec's memory, as pyarrow sees it."""
    memory = fsspec.filesystem("memory", use_listings_cache=False)
    return RemotePath(f"memory://{tmp_path.name}", PyFileSystem(FSSpecHandler(memory)))
