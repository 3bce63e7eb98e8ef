"""Fit the parts of AnisoAlign's correction, each on what the ones before it made of the sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anisoalign.aligners.anisoalign.blocks import along, joined, mean_of, moments_of, thinned
from anisoalign.aligners.anisoalign.correction import Correction
from anisoalign.aligners.anisoalign.coupling import COUPLED_ROWS, FEWEST, bandwidth_for, coupling, regress
from anisoalign.aligners.anisoalign.mixing import MOST_ROWS, mixing_matrix
from anisoalign.aligners.anisoalign.path import Affine, Guide, Part, Start
from anisoalign.aligners.anisoalign.polar_fit import Whole, fit_polar
from anisoalign.aligners.anisoalign.polar_stage import PolarStage
from anisoalign.aligners.anisoalign.rotation import fit_rotation, turn_of_means
from anisoalign.aligners.anisoalign.settings import parse_terms, polar_settings
from anisoalign.aligners.gaussian_transport import Framed, dialled_transport
from anisoalign.aligners.realign import trace_scale
from anisoalign.devices import find_device
from anisoalign.embeddings import InputError
from anisoalign.geometry import joint_frame
from anisoalign.places import expanded
from anisoalign.statistics import Moments

if TYPE_CHECKING:
    from anisoalign.aligners.anisoalign.aligner import AnisoAlign

RIDGE = 1.0
"""Penalty of the guide's regression in mean eigenvalues; results are flat in it over a factor of ten."""


class Turned(NamedTuple):
    """A rotation, the sources' moments after it and the targets', in the frame that they then share."""

    rotation: Float[np.ndarray, "d d"]
    framed: Framed

    @classmethod
    def by(
        cls, rotation: Float[np.ndarray, "d d"], source: Moments, target: Moments, rank: int | float | None
    ) -> Turned:
        """Turn the moments and decompose, once for all transports after this rotation."""
        return cls(rotation, Framed.by(source.rotated(rotation), target, rank))


def fit_initial(turned: Turned, rows: Tensor, shrinkage: Any, strength: float) -> Affine:
    """Rotate, then shrunk transport inside U at a strength, recentred on `rows`."""
    dialled = dialled_transport(turned.framed, shrinkage=shrinkage, strength=strength).weight
    target = turned.framed.target.mean
    weight, bias = dialled @ turned.rotation, target - dialled @ turned.framed.source.mean
    return Affine(weight, bias, target - mean_of(along([Affine(weight, bias)], rows), len(target)).numpy())


class Coupled(NamedTuple):
    """Some source rows as they are and on the way, and the barycentres of the targets that each is coupled with."""

    source: Float[np.ndarray, "n d"]
    rows: Float[np.ndarray, "n d"]
    barycentres: Float[np.ndarray, "n d"]

    def cross(self) -> Float[np.ndarray, "d d"]:
        """Barycentres' cross-covariance with the sources as they are, times n."""
        centred = self.source - self.source.mean(axis=0, dtype=np.float64)
        return (self.barycentres - self.barycentres.mean(axis=0)).T @ centred


def couple(
    parts: Sequence[Part],
    source: Float[np.ndarray, "n d"],
    target: Float[np.ndarray, "m d"],
    neighbours: float,
    balance: float,
    seed: int = 0,
) -> Coupled:
    """Couple what `parts` make of sources with targets, `COUPLED_ROWS` a side at most."""
    source = thinned(source, COUPLED_ROWS, seed)
    target = np.asarray(thinned(target, COUPLED_ROWS, seed + 1), np.float64)  # not the same rows of sets in step
    rows = joined(along(parts, torch.from_numpy(source))).numpy()
    wanted = min(max(FEWEST, neighbours * len(target)), max(1.0, 0.9 * len(target)))
    return Coupled(source, rows, coupling(rows, target, bandwidth_for(rows, target, wanted), balance) @ target)


def fit_restore(led: Framed, shrinkage: Any, strength: float) -> Affine:
    """Transport of what the step left towards the target's covariance, at a strength; 0 only restores the trace."""
    weight = dialled_transport(led, shrinkage=shrinkage, strength=strength).weight
    return Affine(weight, led.target.mean - weight @ led.source.mean)


def fit_guide(
    rows: Float[np.ndarray, "n d"],
    barycentres: Float[np.ndarray, "n d"],
    step: float,
    bound: float,
    space: int | None = None,
) -> Guide:
    """Learn b(z): regress the barycentres of the coupling on the rows that were coupled, `space` being theirs."""
    ridge = RIDGE * rows.shape[1] / (space or rows.shape[1])
    return Guide(*regress(rows, barycentres, ridge), step, bound)


class Sample(NamedTuple):
    """What a correction is fitted on.

    Parameters
    ----------
    moments_y, moments_x : Moments
        Of all rows of source and target.
    rows_y, rows_x : ndarray, float32 or float64
        Unit rows of samples of both.
    whole : Whole, optional
        All rows of both, for the statistics of the polar stage; by default those of the samples.
    """

    moments_y: Moments
    moments_x: Moments
    rows_y: Float[np.ndarray, "n d"]
    rows_x: Float[np.ndarray, "m d"]
    whole: Whole | None = None


class FittedCorrection(NamedTuple):
    """A fitted correction and the rank of its last frame."""

    correction: Correction
    rank: int


@dataclass
class CorrectionFit:
    """Fits all parts that `model.terms` names; of the model its parameters alone are read.

    Parameters
    ----------
    model : AnisoAlign
    sample : Sample
    progress : callable, optional
        Called with the name of a neural stage, the step and the number of steps.
    checkpoint : path, optional
        Folder in which the neural stages keep their states.
    leaving : Event, optional
        Looked at between parts: CancelledError once it is set, since nobody waits for the result.
    """

    model: AnisoAlign
    sample: Sample
    progress: Callable[[str, int, int], None] | None = None
    checkpoint: str | Path | None = None
    leaving: Event | None = None

    @cached_property
    def terms(self) -> set[str]:
        """The parts that are wanted."""
        return set(parse_terms(self.model.terms))

    @torch.inference_mode(mode=False)
    @torch.enable_grad()
    def fit(self) -> FittedCorrection:
        """All parts, by the initialisation of the source or by transport; networks train whatever the caller set."""
        made, rank = self._radial() if self.model.initial == "radial" else self._transported()
        return FittedCorrection(made, rank if made.polar is None else made.polar.basis.shape[1])

    def _radial(self) -> tuple[Correction, int]:
        """Radial initialisation and refinement of raw sources, and the guide after them."""
        polar = guide = restore = None
        if self.terms & {"init", "refine"}:
            polar = self._polar(torch.from_numpy(self.sample.rows_y).double())
        rank = 0
        if "guide" in self.terms:
            before = [] if polar is None else [polar]
            guide, restore, rank = self._guided(before, self._coupled(before))
        return Correction(self._start, None, None, None, guide, restore, polar, polar_first=True), rank

    def _transported(self) -> tuple[Correction, int]:
        """Rotation and transport, the guide with a transport on either side, and the refinement after them."""
        model, y, x = self.model, self.sample.moments_y, self.sample.moments_x
        transported = initial = guide = restore = coupled = None
        turned = self._turned(turn_of_means(y, x, model.rotation))
        if "guide" in self.terms or model.rotation == "full":
            initial = self._transport(turned, model.guide_shrinkage)
            coupled = self._coupled([initial])
            if model.rotation == "full":
                turned = self._turned(_full_rotation(model, turned, coupled))
        rotated = None if model.rotation == "none" else self._start.rotated(turned.rotation)
        if "init" in self.terms or "guide" not in self.terms:
            transported = self._transport(turned, model.shrinkage)
        rank = turned.framed.frame.rank
        if "guide" in self.terms:
            assert initial is not None
            assert coupled is not None
            guide, restore, rank = self._guided([initial], coupled)
        else:
            initial = None
        made = Correction(self._start, rotated, transported, initial, guide, restore, None)
        if "refine" in self.terms:
            moved = joined(along(made.parts(), torch.from_numpy(self.sample.rows_y)))
            made = replace(made, polar=self._polar(moved))
        return made, rank

    @cached_property
    def _start(self) -> Start:
        y, x = self.sample.moments_y, self.sample.moments_x
        return Start(y.mean, x.mean, trace_scale(y, x))

    def _go_on(self) -> None:
        if self.leaving is not None and self.leaving.is_set():
            raise CancelledError

    def _turned(self, rotation: Float[np.ndarray, "d d"]) -> Turned:
        self._go_on()
        return Turned.by(rotation, self.sample.moments_y, self.sample.moments_x, self.model.rank)

    def _transport(self, turned: Turned, shrinkage: Any) -> Affine:
        self._go_on()
        strength = self.model.initial_strength if "init" in self.terms else 0.0
        return fit_initial(turned, torch.from_numpy(self.sample.rows_y), shrinkage, strength)

    def _coupled(self, parts: Sequence[Part]) -> Coupled:
        self._go_on()
        model, rows_y, rows_x = self.model, self.sample.rows_y, self.sample.rows_x
        return couple(parts, rows_y, rows_x, model.neighbours, model.balance, int(model.seed))

    def _guided(self, before: Sequence[Part], coupled: Coupled) -> tuple[Guide, Affine, int]:
        """The guide, the transport that restores what it took, and the rank of that one's frame."""
        self._go_on()
        model, target = self.model, self.sample.moments_x
        guide = fit_guide(coupled.rows, coupled.barycentres, model.guide_step, model.guide_bound, target.space)
        moved = moments_of(along([*before, guide], torch.from_numpy(self.sample.rows_y)), target.dim, target.within)
        led = Framed.by(moved, target, model.rank)
        return guide, fit_restore(led, model.guide_shrinkage, model.restore_strength), led.frame.rank

    def _polar(self, rows: Tensor) -> PolarStage:
        """Stages of the published method on rows that the parts before made."""
        model, sample = self.model, self.sample
        return fit_polar(
            rows,
            torch.from_numpy(sample.rows_x).double(),
            _basis(model, sample.moments_y, sample.moments_x, sample.rows_y, sample.rows_x),
            polar_settings(model),
            radial=model.initial == "radial",
            seed=int(model.seed),
            whole=sample.whole,
            device=str(find_device(model.device)),
            checkpoint=None if self.checkpoint is None else expanded(self.checkpoint),
            progress=self.progress,
        )


def _full_rotation(model: AnisoAlign, turned: Turned, coupled: Coupled) -> Float[np.ndarray, "d d"]:
    """The turn of the means, then the rotation about the targets' mean."""
    full = dialled_transport(turned.framed, shrinkage=model.shrinkage, strength=1.0).weight
    crossed, transported = coupled.cross() @ turned.rotation.T, full @ turned.framed.source.covariance
    target = turned.framed.target
    return fit_rotation(crossed, transported, target.mean, target.space) @ turned.rotation


def _basis(model: AnisoAlign, moments_y: Moments, moments_x: Moments, rows_y: np.ndarray, rows_x: np.ndarray) -> Tensor:
    """Q R, with an even number of columns, since blocks are pairs."""
    d = moments_y.dim
    if d < 2:
        raise InputError("rows of one dimension have no blocks of two: leave refine and initial=radial out")
    covariances = moments_x.covariance, moments_y.covariance
    frame = joint_frame(*covariances, rank=(d + 1) // 2 if model.rank is None else model.rank)
    even = min(d, max(2, frame.rank // 2 * 2))
    if even > frame.rank:
        frame = joint_frame(*covariances, rank=even)
    basis = frame.basis[:, :even].copy()  # one column of one row counts as contiguous whatever its stride
    x = y = None
    if model.mixing == "learned":
        few_x, few_y = (thinned(rows, MOST_ROWS, int(model.seed)) for rows in (rows_x, rows_y))
        x, y = torch.from_numpy(few_x @ basis), torch.from_numpy((few_y - moments_y.mean + moments_x.mean) @ basis)
    mixed = basis @ mixing_matrix(model.mixing, basis.shape[1], int(model.seed), x, y)
    return torch.from_numpy(np.ascontiguousarray(mixed))
