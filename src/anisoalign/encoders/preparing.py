"""What is done to items before a model sees them: decoded one by one, stacked into a batch.

A preparation holds a processor or tokenizer and no weights, so that it can be sent to a worker process.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from anisoalign.embeddings.errors import one_line
from anisoalign.encoders import pictures, sounds
from anisoalign.encoders.unreadable import UnreadableError

Inputs = dict[str, Any]
"""What a model is called with: arrays by name, the first axis the batch."""


@dataclass(frozen=True)
class Prepared:
    """A batch ready for the model.

    Attributes
    ----------
    inputs : dict
        Arrays by name.
    truncated : int
        Items longer than the model reads.
    """

    inputs: Inputs
    truncated: int = 0


class Preparation(Protocol):
    """One modality's way to a model's inputs."""

    portable: bool
    """Whether it can be sent to another process at little cost."""

    def one(self, content: Any) -> Any:
        """Decode one item; raise UnreadableError with the reason where that fails."""
        ...

    def stack(self, pieces: list[Any]) -> Prepared:
        """Make a batch of what `one` returned."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return what provenance says of it, as JSON."""
        ...


class PicturePreparation:
    """Pictures through a Hugging Face image processor (its PIL backend)."""

    portable = True

    def __init__(self, processor: Any):
        self.processor = processor

    def one(self, content: Any) -> dict[str, np.ndarray]:
        """Arrays of one picture, with a batch axis of length 1."""
        image = pictures.decode_picture(content)
        try:
            made = self.processor(images=[image], return_tensors="np")
        except Exception as error:  # one picture that the processor cannot resize must not end a run
            raise UnreadableError(f"the image processor refused it: {one_line(error)}") from error
        return dict(made)

    def stack(self, pieces: list[dict[str, np.ndarray]]) -> Prepared:
        """Arrays side by side."""
        return Prepared({name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]})

    def describe(self) -> dict[str, Any]:
        """Settings of the processor."""
        keys = ("size", "crop_size", "resample", "image_mean", "image_std", "rescale_factor", "max_num_patches")
        settings = self.processor.to_dict()
        found = {key: settings[key] for key in keys if settings.get(key) is not None}
        return {"decoding": pictures.DECODING, "processor": type(self.processor).__name__, **found}


class TextPreparation:
    """Texts through a Hugging Face tokenizer, cut at the model's limit.

    Parameters
    ----------
    tokenizer
    limit : int
        Most tokens that the model reads, special ones included.
    padding : {"longest", "max_length"}
        What the model was trained with: SigLIP has no mask and needs all its positions filled.
    """

    portable = True

    def __init__(self, tokenizer: Any, limit: int, padding: str = "longest"):
        self.tokenizer, self.limit, self.padding = tokenizer, limit, padding

    def one(self, content: Any) -> str:
        """Return the text, which must not be empty."""
        return read_text(content)

    def stack(self, pieces: list[str]) -> Prepared:
        """Tokens of the texts, padded."""
        made = self.tokenizer(pieces, padding=self.padding, truncation=True, max_length=self.limit, return_tensors="np")
        return Prepared(dict(made), count_longer(self.tokenizer, pieces, self.limit))

    def describe(self) -> dict[str, Any]:
        """Settings of the tokenizer."""
        return {"tokenizer": type(self.tokenizer).__name__, "max_length": self.limit, "padding": self.padding}


def count_longer(tokenizer: Any, texts: Iterable[str], limit: int) -> int:
    """Count texts of more tokens than the limit, looking only at those that could be.

    A token stands for at least a quarter of a character: one of UTF-8's at most four bytes.
    """
    long = [text for text in texts if 4 * len(text) + 2 > limit]
    if not long:
        return 0
    return sum(len(ids) > limit for ids in tokenizer(long, truncation=False, verbose=False)["input_ids"])


class SoundPreparation:
    """Sounds through CLAP's feature extractor, without its random draws.

    The extractor crops long sounds at random and, with feature fusion, marks a random sound of a batch as long.
    Here a long sound gives its first seconds, or fused views drawn with a fixed seed, and only it counts as long.
    """

    portable = True

    def __init__(self, extractor: Any):
        self.extractor = extractor
        self.rate = int(extractor.sampling_rate)
        self.most = int(extractor.nb_max_samples)
        self.fused = extractor.truncation == "fusion"

    def one(self, content: Any) -> tuple[dict[str, np.ndarray], bool]:
        """Arrays of one sound with a batch axis of length 1, and whether it was longer than the model hears."""
        samples = sounds.decode_sound(content, self.rate)
        long = len(samples) > self.most
        if long and not self.fused:
            samples = samples[: self.most]
        state = np.random.get_state()  # noqa: NPY002 - the extractor draws from numpy's global generator
        np.random.seed(0)  # noqa: NPY002
        try:
            made = self.extractor([samples], sampling_rate=self.rate, return_tensors="np")
        finally:
            np.random.set_state(state)  # noqa: NPY002
        return {"input_features": made["input_features"].astype(np.float32), "is_longer": np.array([[long]])}, long

    def stack(self, pieces: list[tuple[dict[str, np.ndarray], bool]]) -> Prepared:
        """Arrays side by side."""
        arrays = {name: np.concatenate([piece[name] for piece, _ in pieces]) for name in pieces[0][0]}
        return Prepared(arrays, sum(long for _, long in pieces))

    def describe(self) -> dict[str, Any]:
        """Settings of the extractor."""
        cut = "fused views of it all, seed 0" if self.fused else "its beginning"
        return {
            "decoding": sounds.DECODING,
            "extractor": type(self.extractor).__name__,
            "sampling_rate": self.rate,
            "max_samples": self.most,
            "longer": cut,
            "padding": self.extractor.padding,
        }


def read_text(content: Any) -> str:
    """Return a text as it is; bytes as UTF-8, a path by what the file holds.

    The mark of UTF-8 that a file may begin with and the end of its last line are no part of its text.

    Raises
    ------
    UnreadableError
        If it is none, cannot be opened, holds NUL, or is empty: an empty text has an embedding but says nothing.
    """
    if isinstance(content, Path):
        content = _bytes_of(content)
    if isinstance(content, bytes | bytearray | memoryview):
        try:
            content = bytes(content).decode("utf-8").removeprefix("\ufeff").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UnreadableError(f"the text is not UTF-8 (byte {error.start})") from error
    if not isinstance(content, str):
        raise UnreadableError("there is no text" if content is None else f"{type(content).__name__} is no text")
    try:
        content.encode()
    except UnicodeEncodeError as error:  # JSON may hold half of a character, which no tokenizer takes
        raise UnreadableError(f"the text is not Unicode (character {error.start})") from error
    if "\0" in content:
        raise UnreadableError("the text holds the character NUL, as UTF-16 does where it is read as UTF-8")
    if not content.strip():
        raise UnreadableError("the text is empty")
    return content


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UnreadableError("there is no such file") from error
    except OSError as error:
        raise UnreadableError(f"the file cannot be read: {one_line(error)}") from error
