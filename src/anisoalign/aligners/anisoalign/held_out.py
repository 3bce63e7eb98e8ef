"""Rows held out of a fit, so that what is chosen for it is chosen on rows that it does not see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Event
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int

from anisoalign.aligners.anisoalign.blocks import blocks, moments_of
from anisoalign.aligners.anisoalign.correction_fit import CorrectionFit, Sample

if TYPE_CHECKING:
    from anisoalign.aligners.anisoalign.aligner import AnisoAlign

MOST_HELD = 1000
"""Rows a side that are measured; neighbours of more say the same at a higher price."""
MOST_FITTED = 8192
"""Rows a side fitted on in a split: twice what is coupled, and second moments of more say the same."""


def apart(
    rows: Float[np.ndarray, "n d"], order: Int[np.ndarray, " n"], held: int, fold: int = 0
) -> tuple[Float[np.ndarray, "a d"], Float[np.ndarray, "b d"]]:
    """Rows to fit on, `MOST_FITTED` at most, and `held` others to measure on, in that order; in every fold others.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.arange(4.0)[:, None]
    >>> [apart(rows, np.array([2, 0, 1, 3]), 1, fold)[1].item() for fold in range(4)]
    [2.0, 0.0, 1.0, 3.0]
    """
    rest = np.concatenate([order[: fold * held], order[(fold + 1) * held :]])
    return rows[rest[:MOST_FITTED]], rows[order[fold * held : (fold + 1) * held]]


def sample_of(rows_y: Float[np.ndarray, "n d"], rows_x: Float[np.ndarray, "m d"], within: int = 0) -> Sample:
    """Rows with their own moments, as a fit takes them; `within` is the space of rows seen in their span."""
    moments_y, moments_x = (
        moments_of(blocks(torch.from_numpy(rows)), rows.shape[1], within) for rows in (rows_y, rows_x)
    )
    return Sample(moments_y, moments_x, rows_y, rows_x)


def aligned_at(
    model: AnisoAlign, sample: Sample, strengths: Sequence[float], leaving: Event | None = None
) -> Callable[[Float[np.ndarray, "k d"]], Iterator[Float[np.ndarray, "k d"]]]:
    """Fit a model's correction on a sample: a function that gives rows aligned and calibrated at each strength.

    The fit ends between two of its parts once `leaving` is set.
    """
    correction = CorrectionFit(model, sample, leaving=leaving).fit().correction
    means = correction.means(torch.from_numpy(sample.rows_y), strengths)

    def aligned(rows: np.ndarray) -> Iterator[np.ndarray]:
        for strength, mean in zip(strengths, means, strict=True):
            moved = correction.at(strength, torch.float64)(torch.from_numpy(rows).double()).numpy()
            moved = moved + (sample.moments_x.mean - mean)
            yield moved / np.linalg.norm(moved, axis=1, keepdims=True)

    return aligned
