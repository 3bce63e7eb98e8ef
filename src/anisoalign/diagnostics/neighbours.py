"""Exact nearest neighbours by cosine, in blocks; the one place where rows are ranked."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int

FAISS_ROWS = 200_000
"""From this many rows on, faiss searches instead of torch where it is installed."""
_RESOLUTION = 1e6
BLOCK = 1 << 24
"""Cosines that are held at a time: 128 MB of float64."""


def rank_keys(cosines: torch.Tensor) -> torch.Tensor:
    """Exact sort keys for a block of cosines (m, n): rounded to 1e-6, ties to the lower index.

    Duplicates are common in real sets, and their order must not depend on the last bits of a BLAS. A key is
    round(cosine·10⁶)·n − index, a whole number that float64 holds exactly.
    """
    n = cosines.shape[1]
    keys = cosines.to(torch.float64).mul_(_RESOLUTION).round_().mul_(n)
    return keys.sub_(torch.arange(n, dtype=torch.float64))


def neighbours(
    queries: Float[np.ndarray, "m d"],
    pool: Float[np.ndarray, "n d"],
    k: int,
    *,
    exclude: Int[np.ndarray, " m"] | None = None,
) -> Int[np.ndarray, "m k"]:
    """Indices of the k rows of `pool` with the largest cosine to each query, best first; shape (m, k).

    Parameters
    ----------
    queries, pool : ndarray, unit rows
        Searched in the wider of their precisions.
    k : int
        Number of neighbours; at most as many as there are candidates.
    exclude : ndarray, optional
        For each query, the index of a pool row that is the query itself and must not be returned.

    Notes
    -----
    Cosines are rounded to 1e-6 before ranking and ties go by index. From `FAISS_ROWS` rows on, faiss is
    used where installed (exact flat index, in float32); its ties are its own.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.eye(3)
    >>> neighbours(rows, rows, 1, exclude=np.arange(3)).ravel().tolist()
    [1, 0, 0]
    """
    candidates = len(pool) - (exclude is not None)
    if not 1 <= k <= candidates:
        raise ValueError(f"k must be between 1 and {candidates}, the number of candidates, not {k}")
    if len(pool) >= FAISS_ROWS and importlib.util.find_spec("faiss"):
        return _search_faiss(queries, pool, k, exclude)
    found = np.empty((len(queries), k), dtype=np.int64)
    for part, keys in _ranked(queries, pool):
        if exclude is not None:
            keys[torch.arange(len(keys)), torch.from_numpy(exclude[part])] = -torch.inf
        found[part] = keys.topk(k, dim=1).indices.numpy()
    return found


def ranks_of(
    queries: Float[np.ndarray, "m d"],
    pool: Float[np.ndarray, "n d"],
    answers: Int[np.ndarray, " m"],
) -> Int[np.ndarray, " m"]:
    """How many rows of `pool` come before row `answers[i]` for query i; shape (m,), 0 is best."""
    ranks = np.empty(len(queries), dtype=np.int64)
    for part, keys in _ranked(queries, pool):
        answer = keys[torch.arange(len(keys)), torch.from_numpy(answers[part])]
        ranks[part] = (keys > answer[:, None]).sum(dim=1).numpy()
    return ranks


def _ranked(queries: np.ndarray, pool: np.ndarray) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield a block of queries at a time, and the keys by which it ranks the rows of the pool."""
    kind = np.result_type(queries, pool)  # what was transformed may be float32 where its set is float64
    rows = torch.from_numpy(np.ascontiguousarray(pool, kind)).T
    step = max(1, BLOCK // len(pool))
    for first in range(0, len(queries), step):
        part = slice(first, first + step)
        yield part, rank_keys(torch.from_numpy(np.ascontiguousarray(queries[part], kind)) @ rows)


def _search_faiss(queries: np.ndarray, pool: np.ndarray, k: int, exclude: np.ndarray | None) -> np.ndarray:
    import faiss

    index = faiss.IndexFlatIP(pool.shape[1])
    index.add(np.ascontiguousarray(pool, dtype=np.float32))  # pyright: ignore[reportCallIssue]
    wanted = k if exclude is None else k + 1
    _, found = index.search(np.ascontiguousarray(queries, dtype=np.float32), wanted)  # pyright: ignore[reportCallIssue]
    if exclude is None:
        return found
    kept = found != exclude[:, None]
    kept[kept.all(axis=1), -1] = False  # the query was pushed out by exact duplicates: drop the last
    return found[kept].reshape(len(queries), k)
