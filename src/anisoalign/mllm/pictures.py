"""The encoder of the pictures that a trained model is asked about: the one its embeddings came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anisoalign.embeddings import InputError
from anisoalign.mllm.provenance import check_encoder

if TYPE_CHECKING:
    from anisoalign.mllm.model import EmbeddingLanguageModel


def open_model_encoder(model: EmbeddingLanguageModel, name: str | None = None, trust_remote_code: bool = False) -> Any:
    """Open the encoder a model records, or the one named, which must be the same as far as both are known.

    Code that comes with it runs only with `trust_remote_code`.

    Raises
    ------
    InputError
        If none is recorded or named, it is another, its width is another, or it cannot be opened.
    """
    from anisoalign.encoders import open_encoder

    remembered = (model.encoder or {}).get("encoder")
    if name is None and remembered is None:
        raise InputError(
            "the model does not say which encoder its embeddings came from: name it (encoder=…, --encoder)"
        )
    try:
        encoder = open_encoder(str(name or remembered), trust_remote_code=trust_remote_code)
    except InputError as error:
        if name is not None:
            raise
        raise InputError(
            f"the model remembers its encoder as {remembered}, of one on a disk the name alone; say where it is "
            f"(encoder=…, --encoder): {error}"
        ) from error
    check_encoder(model.encoder, encoder.provenance("image"), "a picture", "the model was trained on")
    if encoder.width != model.width:
        raise InputError(
            f"{name or remembered} gives embeddings of width {encoder.width}, the model was made for {model.width}"
        )
    return encoder
