"""Base of the paired bounds."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from anisoalign.aligners.estimator import Estimator, not_fitted
from anisoalign.embeddings import InputError, open_embeddings
from anisoalign.geometry import normalize
from anisoalign.statistics import check_widths


class Oracle(Estimator):
    """A map fitted on **pairs**: row i of the source belongs to row i of the target.

    Attributes
    ----------
    weight_ : ndarray, shape (d, d)
    bias_ : ndarray, shape (d,)
        z = Norm(W y + b).
    """

    name: ClassVar[str]
    weight_: np.ndarray
    bias_: np.ndarray

    def fit(self, source: Any, target: Any) -> Self:
        """Fit on paired rows, held in memory as float64.

        Raises
        ------
        InputError
            If the sets differ in rows or width.
        """
        y, x = read_paired(source, target)
        self.n_features_in_ = y.shape[1]
        self._fit(y, x)
        return self

    def _fit(self, y: np.ndarray, x: np.ndarray) -> None:
        raise NotImplementedError

    def transform(self, source: Any) -> np.ndarray:
        """Unit rows (n, d), float64."""
        if not hasattr(self, "weight_"):
            raise not_fitted(f"this {type(self).__name__} is not fitted; call fit(source, target) first")
        return normalize(open_embeddings(source, name="source").read(np.float64) @ self.weight_.T + self.bias_)


def read_paired(source: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both sets as float64 unit rows, after checking that they can be pairs."""
    source, target = open_embeddings(source, name="source"), open_embeddings(target, name="target")
    check_widths(source, target)
    if source.rows != target.rows:
        raise InputError(f"pairs need equal numbers of rows: source has {source.rows}, target {target.rows}")
    return source.read(np.float64), target.read(np.float64)
