"""A fitted aligner as the last module of a SentenceTransformer: `encode` gives aligned vectors, `save` keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

from sentence_transformers.base.modules import Module
from torch import Tensor

from anisoalign.aligners import Aligner, load
from anisoalign.embeddings import InputError
from anisoalign.integrations.batches import transform_given
from anisoalign.integrations.modalities import rows_of

ALIGNER = "aligner"
"""Folder of the fitted model inside the module's own."""


class Align(Module):
    """Align the sentence embeddings of one modality; those of others pass as they are.

    Of an aligner in a common frame others are mapped as its targets, so that both sides lie in one frame.

    Parameters
    ----------
    aligner : Aligner
        Fitted on embeddings of the model that this becomes a part of. It is not trained further: no gradient
        passes. Draws of methods that draw at random (`C3`, `RandomTarget`) start anew with every batch.
    modality : str or None
        What the aligner's source was: "text", "image", "audio", …; None aligns whatever comes. A CLIP model encodes
        texts and images, and only its texts are to move. Models with a chat template make messages of everything; of
        these, texts are known by having neither pictures, sound nor videos, other modalities are refused.

    Raises
    ------
    NotFittedError
        If the aligner is not fitted.

    Examples
    --------
    ``clip.append(Align(aligner))``; `docs/integrations.md` has the whole of it.
    """

    config_keys: ClassVar[list[str]] = ["modality"]  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, aligner: Aligner, modality: str | None = "text") -> None:
        super().__init__()
        aligner._check_fitted()
        self.aligner, self.modality = aligner, modality
        self._others = aligner.targets() if aligner.fitted_frame == "common" else None

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Replace `sentence_embedding`, (batch, d), by unit aligned rows where they are of the modality.

        A zero row, as some encoders give to an empty text, has no direction and stays zero.

        Raises
        ------
        InputError
            If a batch of messages does not show which of its rows are.
        """
        rows = features["sentence_embedding"]
        if self.modality is None:
            features["sentence_embedding"] = self._aligned(rows)
            return features
        chosen = rows_of(self.modality, features).to(rows.device)
        moved = rows.clone()
        if chosen.any():
            moved[chosen] = self._aligned(rows[chosen])
        if self._others is not None and not chosen.all():
            moved[~chosen] = transform_given(self._others, rows[~chosen]).to(rows.dtype)
        features["sentence_embedding"] = moved
        return features

    def _aligned(self, rows: Tensor) -> Tensor:
        return transform_given(self.aligner, rows).to(rows.dtype)

    def get_embedding_dimension(self) -> int:
        """Width d."""
        return self.aligner.n_features_in_

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write config.json and the aligner's own folder; always safetensors."""
        self.save_config(output_path)
        self.aligner.save(Path(output_path) / ALIGNER)

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **options: Any) -> Self:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Open what `save` wrote, in a folder here or on the Hub.

        Raises
        ------
        InputError
            If there is no aligner.
        """
        where = {
            key: options[key] for key in ("token", "cache_folder", "revision", "local_files_only") if key in options
        }
        config = cls.load_config(model_name_or_path, subfolder=subfolder, **where)
        inner = f"{subfolder}/{ALIGNER}" if subfolder else ALIGNER
        folder = cls.load_dir_path(model_name_or_path, subfolder=inner, **where)
        if folder is None:
            raise InputError(f"{model_name_or_path} has no folder {inner} with an aligner")
        return cls(load(folder), **config)
