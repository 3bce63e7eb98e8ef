"""A batch as other libraries hand it over: rows that are no sample of the corpus."""

from __future__ import annotations

from typing import Any

from anisoalign.aligners import Aligner


def transform_batch(aligner: Aligner, rows: Any, **options: Any) -> Any:
    """Like `aligner.transform`, but without a word of drift.

    AnisoAlign warns where the mean of new rows is not that of the fitted sources. That is a test of samples, and a
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
    return Aligner.transform(aligner, rows, **options)
