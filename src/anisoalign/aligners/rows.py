"""Base of the two methods that keep target rows, and say so."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from anisoalign.aligners.base import Aligner, Progress
from anisoalign.aligners.contents import ORIGINS, Shape, Value, whole
from anisoalign.aligners.origins import open_sets, origins
from anisoalign.aligners.parameters import at_least
from anisoalign.statistics import Moments


class RowKeeper(Aligner):
    """Keeps up to `memory` target rows, drawn without replacement; cannot be fitted from statistics."""

    keeps_rows = True
    from_statistics = False
    memory: int
    seed: int

    def _check_parameters(self) -> None:
        super()._check_parameters()
        at_least("memory", self.memory, 1)
        at_least("seed", self.seed, 0)

    def _held_values(self) -> dict[str, Value]:
        return {"n_features_in_": whole(1), "provenance_": ORIGINS}

    def _held_arrays(self) -> dict[str, Shape]:
        return {"rows_": (None, self.n_features_in_), "target_mean_": (self.n_features_in_,)}

    def fit(
        self,
        source: Any,
        target: Any,
        *,
        dtype: str = "auto",
        progress: Progress | None = None,
        force: bool = False,
    ) -> Self:
        """Keep a seeded sample of the target's rows; the source is only looked at."""
        source, target = open_sets(source, target, force)
        self._check_parameters()
        self.n_features_in_ = target.dim
        self.rows_ = target.sample(min(self.memory, target.rows), seed=self.seed).astype(np.float32)
        self.target_mean_ = self.rows_.mean(axis=0, dtype=np.float64)
        self.provenance_ = origins(source, target)
        self._fitted_with = self.get_params()
        if progress is not None:
            progress(target.rows)
        return self

    def fit_from_statistics(self, source: Moments, target: Moments) -> Self:
        """Not possible: the method needs target rows."""
        raise TypeError(f"{type(self).__name__} keeps target rows; moments do not determine it, use fit")
