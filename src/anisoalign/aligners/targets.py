"""The other side of a fitted model: targets in the frame in which aligned sources lie."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np

from anisoalign.aligners.base import Aligner
from anisoalign.embeddings import InputError
from anisoalign.statistics import Moments


class Targets(Aligner):
    """Norm(x − μx) where a model uses a common frame, Norm(x) where it uses the target's; see `Aligner.targets`."""

    name = "targets"
    side = "target"
    model: Aligner
    """Whose other side this is."""

    @classmethod
    def of(cls, model: Aligner) -> Self:
        """The targets' side of a fitted model, which remembers whose embeddings they are."""
        made = cls()
        made.model = model
        made.n_features_in_, made.target_mean_ = model.n_features_in_, model._centre()
        made.weight_, made.bias_ = np.array(1.0), model._centre() - model.target_mean_
        if (known := getattr(model, "provenance_", None)) is not None:
            about = known.get("target", {})
            made.provenance_ = {"source": about, "target": about}
        return made

    @property
    def whole(self) -> Aligner:
        """The model whose other side this is."""
        return self.model

    @property
    def fitted_frame(self) -> str:
        """The frame of the model."""
        return self.model.fitted_frame

    def in_frame(self, frame: str) -> Targets:
        """The targets' side of the model in another frame."""
        return Targets.of(self.model.in_frame(frame))

    def targets(self) -> Self:
        """Itself: its sources are the model's targets."""
        return self

    def _fit(self, source: Moments, target: Moments) -> None:
        raise TypeError("the targets' side belongs to a fitted model: model.targets()")

    def save(self, path: str | Path) -> None:
        """Not possible, nor is `push_to_hub`: the model is saved, and gives its targets' side again."""
        raise InputError("save the model; its targets' side is model.targets(), or transform --side target")
