"""Fixtures of this folder: sets of ragged shards."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_sets import write_shard


@pytest.fixture
def make_set(tmp_path: Path) -> Callable[..., Path]:
    """Write parts as a folder of shards and return the folder."""

    def make(parts: list[np.ndarray], format: str = "npy", name: str = "set", ids: list | None = None) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        start = 0
        for i, part in enumerate(parts):
            columns = {} if ids is None else {"id": ids[start : start + len(part)]}
            write_shard(folder / f"part-{i}", part, format, **columns)
            start += len(part)
        return folder

    return make


@pytest.fixture
def ragged() -> list[np.ndarray]:
    """Four shards of different lengths, one of them empty, of float32 vectors that are not unit."""
    rng = np.random.default_rng(7)
    return [rng.normal(size=(n, 6)).astype(np.float32) for n in (5, 0, 11, 1)]
