"""Whether a rotation or a translation takes sources to targets, told from unpaired rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from anisoalign.aligners.anisoalign.coupling import bandwidth_for
from anisoalign.aligners.anisoalign.held_out import MOST_HELD, aligned_at, apart, sample_of
from anisoalign.aligners.anisoalign.losses import kernel_mmd

if TYPE_CHECKING:
    from anisoalign.aligners.anisoalign.aligner import AnisoAlign
    from anisoalign.aligners.anisoalign.correction_fit import Sample

FEWEST = 200
"""Rows a side below which the rotation is taken: of fewer, too few are held out to tell (docs/rotation.md)."""
SPLITS = 3
HELD = 0.5
"""Share of the rows that are held out: most of the error is theirs, little that of the fit."""
NEIGHBOURS = 0.1
"""Share of the held-out targets that the kernel reaches, by perplexity; a twentieth to a fifth tell as well."""


def chosen_rotation(model: AnisoAlign, sample: Sample) -> str:
    """The rotation as given; for "auto" the full one, or none where a translation lands nearer to held-out targets.

    Ψ and mixing cannot tell: a rotation keeps all inner products whatever the gap is, and k neighbours of either
    kind are soon mixed. A local kernel can. Both routes are fitted with half of the transport, and MMD² of held-out
    sources and targets is taken of each. The rotation is kept unless the translation is nearer in every split, so
    that most fits look at one.

    Parameters
    ----------
    model : AnisoAlign
        For its parameters alone.
    sample : Sample
        Unit rows of both sets, as they are or seen in their span.
    """
    if model.rotation != "auto":
        return model.rotation
    if model.initial == "radial":
        return "none"  # it begins with raw sources
    if min(len(sample.rows_y), len(sample.rows_x)) < FEWEST:
        return "full"
    nearer = (_translation_is_nearer(model, sample, split) for split in range(SPLITS))
    return "none" if all(nearer) else "full"


def _translation_is_nearer(model: AnisoAlign, whole: Sample, split: int) -> bool:
    generator = np.random.default_rng([int(model.seed), split])
    (fit_y, test_y), (fit_x, test_x) = (
        apart(rows, generator.permutation(len(rows)), min(MOST_HELD, int(HELD * len(rows))))
        for rows in (whole.rows_y, whole.rows_x)
    )
    sample, test_x = sample_of(fit_y, fit_x, whole.moments_y.within), np.asarray(test_x, np.float64)
    bandwidth = bandwidth_for(test_x, test_x, max(2.0, NEIGHBOURS * len(test_x)))
    distance = {}
    for rotation in ("full", "none"):
        route = model.like(terms="init", rotation=rotation)
        (aligned,) = aligned_at(route, sample, (1.0,))(test_y)
        distance[rotation] = kernel_mmd(torch.from_numpy(aligned), torch.from_numpy(test_x), bandwidth)
    return bool(distance["none"] < distance["full"])
