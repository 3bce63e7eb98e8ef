"""What an exported file says of itself: whose rows it takes, and which model made it."""

from __future__ import annotations

from anisoalign import __version__
from anisoalign.aligners import Aligner
from anisoalign.aligners.saving import aligner_fingerprint

ENTRY = "anisoalign.json"
"""Name under which an archive of `torch.export` holds the description; in ONNX each part is metadata of its own."""


def description(model: Aligner, precision: str) -> dict[str, str]:
    """Method, fingerprint and width of a model, the side and frame of a file made of it, and how it was made.

    Both sides of one model have its method and its fingerprint, so that files that belong together can be told.

    Examples
    --------
    >>> import numpy as np
    >>> from anisoalign import MeanShift
    >>> model = MeanShift(frame="common").fit(np.eye(3), np.eye(3)[::-1] + 1)
    >>> about = description(model.targets(), "fp32")
    >>> about["method"], about["side"], about["frame"], about["width"]
    ('mean-shift', 'target', 'common', '3')
    """
    whole = model.whole
    return {
        "anisoalign_version": __version__,
        "method": whole.name,
        "model": aligner_fingerprint(whole),
        "side": model.side,
        "frame": model.fitted_frame,
        "width": str(model.n_features_in_),
        "precision": precision,
    }
