"""A batch as other libraries hand it over: rows that are no sample of the corpus."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from anisoalign.aligners import Aligner
from anisoalign.aligners.transforming import transform_rows


def transform_batch(aligner: Aligner, rows: Any, **options: Any) -> Any:
    """Like `aligner.transform`, but without a word of drift.

    `transform` warns where the mean of new rows is not that of the fitted sources. That is a test of samples, and a
    batch is none: twenty captions about one thing have a mean of their own, though nothing has drifted.

    Parameters
    ----------
    aligner : Aligner
        Fitted.
    rows : array (n, d) or (d,), or tensor
    **options
        Of `Aligner.transform`, such as ``first_row``.

    Examples
    --------
    >>> import numpy as np
    >>> from anisoalign.aligners import MeanShift
    >>> rng = np.random.default_rng(0)
    >>> aligner = MeanShift().fit(rng.normal(size=(40, 8)) + 1, rng.normal(size=(40, 8)) - 1)
    >>> transform_batch(aligner, np.ones((3, 8), np.float32)).shape
    (3, 8)
    """
    # Not by a filter of warnings: those are the process's, and libraries call from several threads.
    aligner._check_fitted()
    return transform_rows(aligner, rows, **options)


def transform_given(aligner: Aligner, rows: Any) -> Any:
    """`transform_batch` of vectors (n, d) that a library made by itself, in which zero rows stay zero rows.

    An encoder may give a zero vector to an empty text. Whoever hands texts over cannot drop the row, and the others
    of the batch are sound.

    Examples
    --------
    >>> import numpy as np
    >>> from anisoalign.aligners import MeanShift
    >>> aligner = MeanShift().fit(np.eye(3), np.eye(3) + 1)
    >>> transform_given(aligner, np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], np.float32)).any(axis=1).tolist()
    [False, True]
    """
    empty = (rows == 0).all(-1)
    if not empty.any():
        return transform_batch(aligner, rows)
    # In their places something with a direction, so that draws by place are those of the batch.
    filled = rows.clone() if isinstance(rows, Tensor) else rows.copy()
    filled[empty] = 1.0
    aligned = transform_batch(aligner, filled)
    aligned[empty] = 0.0
    return aligned
