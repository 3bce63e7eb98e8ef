"""Which rows of a sentence-transformers batch are embeddings of a modality, in models that take messages too.

A model with a chat template makes messages of whatever it is given, and calls the batch so. What they held is read from
the features that the batch has: a picture leaves `pixel_values`, a sound `input_features`, a text neither.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from anisoalign.embeddings import InputError

_MEDIA = re.compile(r"pixel|image|video|audio|input_features|input_values")
"""In the names of features that only something other than text gives."""

_COUNTS = ("num_images_per_sample", "num_videos_per_sample")
"""How many each row holds, as sentence-transformers notes beside `pixel_values` and `video_grid_thw`."""


def rows_of(modality: str, features: Mapping[str, Any]) -> torch.Tensor:
    """Return which rows of a batch are of a modality, bool, shape (batch,).

    Parameters
    ----------
    modality : str
    features : dict
        Of the batch, `sentence_embedding` among them.

    Raises
    ------
    InputError
        If the batch is of messages in which that cannot be told.

    Examples
    --------
    >>> rows_of("text", {"sentence_embedding": torch.ones(2, 4), "modality": "message"})
    tensor([True, True])
    """
    count, called = len(features["sentence_embedding"]), features.get("modality", "text")
    if called != "message":
        return torch.full((count,), called == modality)
    media = {key for key, value in features.items() if isinstance(value, torch.Tensor | list) and _MEDIA.search(key)}
    if not media:
        return torch.full((count,), modality == "text")
    if modality == "text":
        return _without_media(features, media, count)
    raise InputError(
        f"a batch of messages with {', '.join(sorted(media))}: whether its rows are of {modality!r} alone cannot be "
        "known; Align(aligner, None) aligns all rows"
    )


def _without_media(features: Mapping[str, Any], media: set[str], count: int) -> torch.Tensor:
    """Which rows of a batch hold text alone."""
    if _counted(media):
        held = sum(torch.as_tensor(features[key]).cpu() for key in _COUNTS if key in media)
        return torch.as_tensor(held == 0)
    # One of them a row where there are as many as rows: then none is text alone.
    if all(len(features[key]) >= count for key in media if key not in _COUNTS):
        return torch.zeros(count, dtype=torch.bool)
    raise InputError(
        f"a batch of {count} messages, some with {', '.join(sorted(media))}: which are text alone cannot be known; "
        "encode texts apart"
    )


def _counted(media: set[str]) -> bool:
    """Whether all that rows hold beside text is counted row by row."""
    if any(re.search("audio|input_features|input_values", key) for key in media):
        return False
    pictures = "pixel_values" not in media or _COUNTS[0] in media
    videos = "pixel_values_videos" not in media or _COUNTS[1] in media
    return pictures and videos and any(key in media for key in _COUNTS)
