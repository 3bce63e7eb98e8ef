"""AnisoAlign: the parts of this folder strung together, in two presets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch

from anisoalign.aligners.anisoalign.contents import anisoalign_arrays, anisoalign_values
from anisoalign.aligners.anisoalign.correction import Correction
from anisoalign.aligners.anisoalign.fitting import fit_on_samples
from anisoalign.aligners.anisoalign.notes import of_bounds, of_premise, of_prior, of_strength
from anisoalign.aligners.anisoalign.path import Move, Scaled, on_rows, shifted
from anisoalign.aligners.anisoalign.polar_fit import Whole
from anisoalign.aligners.anisoalign.premise import check_premise, warn_of_unread
from anisoalign.aligners.anisoalign.settings import (
    check_settings,
    check_values,
    parse_terms,
    unread_settings,
)
from anisoalign.aligners.anisoalign.strength import NODES
from anisoalign.aligners.base import Aligner, Mapping, Progress, TileMapping, torch_dtype
from anisoalign.aligners.constant import constant_sides, refuse_constant, remember_constant
from anisoalign.aligners.contents import Shape, Value
from anisoalign.aligners.drift import warn_of_drift
from anisoalign.aligners.estimator import not_fitted
from anisoalign.aligners.origins import open_sets, origins
from anisoalign.aligners.parameters import in_unit_interval
from anisoalign.embeddings import InputError, RemotePath, Tile, open_embeddings
from anisoalign.statistics import Moments, map_precision, measure

PAPER = {
    "terms": "init+refine+prior+phase",
    "rotation": "none",
    "initial": "radial",
    "rank": 0.9,
    "mixing": "haar",
    "complement": "coordinate",
    "strength": 1.0,
}
_PARTS = ("start_", "rotated_", "transported_", "initial_", "guide_", "restore_", "polar_")
"""What the names of attributes begin with that hold the correction."""


class AnisoAlign(Aligner):
    """AnisoAlign (arXiv 2605.07825), unpaired: substitutes that lie where targets lie and mean what sources meant.

    The default, `AnisoAlign()`: sources are turned so that their mean points where the target's does (a rotation:
    no inner product changes; left out where the gap looks like a translation), moved by shrunk Gaussian transport
    inside the shared dominant frame U, led a bounded step towards the targets that each speaks of (learned from an
    entropic coupling of unpaired samples), transported once more to restore the spread that the step took, and
    centred. `AnisoAlign.paper()` is the published method: a periodic phase prior learned from targets alone (Stage I),
    a radial initialisation and a bounded refinement under that prior (Stage II), and a centroid calibration.

    Parameters
    ----------
    strength : float or "auto"
        t in [0, 1] scales the whole correction; 0 is ReAlign exactly. "auto" is chosen on held-out unpaired rows
        (`strength.choose_strength`), and 0.5 where a set has fewer than 40 different ones.
    terms : str
        Parts joined by "+": init, guide, refine, and the losses of the refinement prior, phase, support, structure.
    rank : int, float or None
        Directions of U: a number, a share of energy in (0, 1], or None for half of the width.
    shrinkage, guide_shrinkage : float or "auto"
        Of both covariances inside U towards their mean eigenvalue: in the transport of rotated rows, and in those
        before and after the guided step.
    rotation : {"auto", "full", "means", "none"}
        Whether sources are first rotated towards the targets, or only as far as brings their means together. A rotation
        changes no inner product. "auto" is "full", or "none" where held-out unpaired rows show a gap that is a
        translation (`chosen_rotation`). That misses some: of translations planted between real targets it kept the
        rotation in 75 % of draws at 200 rows a side and in 33 % at 400 (docs/rotation.md). Below 200 it always does.
    initial : {"transport", "radial"}
        Initialisation: Gaussian transport inside U, or the source's radial quantile maps.
    initial_strength, restore_strength : float
        Strength of the transport before and after the guided step, in [0, 1].
    guide_step, guide_bound : float
        β, share of the way towards the estimated target, and the longest step; a row turns by at most
        arcsin(guide_bound) in it.
    neighbours : float
        Share of the targets that a source is coupled with, by perplexity.
    balance : float
        0 couples each source by itself, 1 asks that all targets be used equally (nearly, where the coupling is sharp).
    mixing : {"identity", "haar", "learned"}
        Orthogonal mixing of the frame before blocks are formed.
    centre : {"origin", "mean"}
        The point that polar coordinates are taken about.
    phase_bound, radius_bound, complement_bound : float
        αθ in radians, αρ in log radius, αv.
    complement : {"relative", "coordinate"}
        αv bounds the move in V relative to its length, or, as in the source, each coordinate; the source's D is then
        taken to the letter, where sources are more than dimensions.
    edges : int
        p: blocks that each block is coupled with in the potential.
    drift_step : float or "auto"
        τ; "auto" is 1/L, L the bound of the drift's Lipschitz constant.
    phase_weight : float or "source"
        Weight of L_Φ beside L_II, both as means; "source" is the 1 / (m |E|) that the source's sum over blocks in the
        one and its second division by the number of edges in the other amount to.
    noise : float
        Largest σ of Stage I.
    centred_coupling, degree_normalised : bool
        Couple blocks by M_kl − m_k m̄_l, and by degree; both off in the source.
    support : {"sliced", "energy", "mmd"}
        Loss of the term "support".
    prior_steps, refine_steps : int
        Longest Stage I (it stops early) and length of Stage II.
    fit_rows : int
        Rows a side that stages beyond the moments are fitted on, spread over the set.
    frame : {"target", "common"}
        Where aligned rows lie; see `Aligner.in_frame`.
    force : bool
        Fit where the two sets share no geometry, or say that their encoders differ.
    device : str
        "auto", "cpu", "cuda" or "cuda:N", of the neural stages.
    seed : int
        Of every draw.

    Attributes
    ----------
    strength_ : float
        t in use.
    rotation_ : str
        The rotation in use: "full", "means" or "none".
    rank_ : int
        Directions of U: of the blocks of the stages where there are any, else of the last frame.
    strength_curve_ : dict or None
        Held-out geometry kept and target reached at each strength, where it was chosen.
    calibration_means_ : ndarray, shape (11, d)
        μ̂ at strengths 0, 0.1, …, 1, so that the strength can be changed without refitting.
    overlap_p_ : float or None
        Permutation p-value of the premise that both sets share leading directions.
    bound_ : float
        Largest angle, in radians, by which the bounded parts (guided step, refinement) turn any of the sources looked
        at (`fit_rows` at most; a row's own limit is that of ``transform(row, return_bound=True)``): between the row
        before such a part and after it, ahead of the restored spread and the calibration. 0 at a strength at which they
        have no part in a row; above, that of the whole part, of which a row takes a share.
    n_features_in_ : int
        Width d.
    target_mean_ : ndarray, shape (d,)
        μx.
    calibration_mean_ : ndarray, shape (d,)
        μ̂ at the strength in use, over all sources.
    start_source_mean_, start_target_mean_, start_scale_ : ndarray, shapes (d,), (d,) and ()
        μy, μx and s of z_0 = Norm(μx + s (y − μy)).
    rotated_weight_, rotated_bias_ : ndarray, shapes (d, d) and (d,)
        s R and μx − s R μy: Norm(W y + b) is the row at 0.2. Absent without a rotation.
    transported_weight_, transported_bias_, transported_shift_ : ndarray, shapes (d, d), (d,) and (d,)
        Norm(Norm(W y + b) + shift) is the row at 0.5. Absent without "init" where there is a guide.
    initial_weight_, initial_bias_, initial_shift_ : ndarray, shapes (d, d), (d,) and (d,)
        The same of the rows before the guided step. Absent, as what follows, without "guide".
    guide_weight_, guide_bias_, guide_limits_ : ndarray, shapes (d, d), (d,) and (2,)
        W and c of the regression, and `guide_step` and `guide_bound`.
    restore_weight_, restore_bias_ : ndarray, shapes (d, d) and (d,)
        Norm(W z + b) after the guided step.

    Notes
    -----
    Of the default, for one source row y and at breakpoints t = 0, 0.2, 0.5 and 1 of the strength::

        z_0   = Norm(μx + s (y − μy)),  s² = tr Σx / tr Σy
        z_0.2 = Norm(μx + s R (y − μy)),  R the turn of the means, then argmax tr(R₁ᵀ M) with R₁ μx = μx
        z_0.5 = Norm(p'(y) − mean p' + μx),  p'(y) = Norm(μx + A R (y − μy)),  A shrunk Gaussian transport inside U
        z_1   = Norm(μx + A' (q(z) − μq)),  q(z) = Norm(z + δ),  δ = β (Norm(W z + c) − z), ‖δ‖ ≤ `guide_bound`

    with z as z_0.5 but with the means turned alone, A' the transport of the q(z), and W, c the ridge regression on the
    z of the barycentres of targets that an entropic coupling gives them. Between breakpoints rows are blended; then
    Norm(z_t − μ̂_t + μx). The section "In equations" of docs/how-anisoalign-works.md has all of it.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> scene = rng.normal(size=(600, 16)) * np.linspace(3, 0.3, 16)
    >>> text, image = scene[:300] + 1, (scene[300:] * np.linspace(1, 2, 16)) - 1
    >>> model = AnisoAlign(strength=0.5).fit(text, image)
    >>> model.transform(text).shape
    (300, 16)
    """

    name = "aniso-align"
    order = "full"
    calibrated = True
    from_statistics = False
    n_features_in_: int
    rank_: int
    overlap_p_: float | None
    rotation_: str
    strength_: float
    strength_curve_: dict[str, Any] | None
    start_source_mean_: np.ndarray
    target_mean_: np.ndarray
    calibration_mean_: np.ndarray | None
    calibration_means_: np.ndarray
    polar_config_: dict[str, Any] | None
    source_energy_: dict[str, Any]
    source_dimension_: float
    whole_bound_: float
    presets = {"paper": PAPER}  # noqa: RUF012 - a ClassVar of the base

    def __init__(
        self,
        *,
        strength: float | str = "auto",
        terms: str = "init+guide",
        rank: int | float | None = None,
        shrinkage: float | str = 0.1,
        rotation: str = "auto",
        initial: str = "transport",
        initial_strength: float = 0.5,
        restore_strength: float = 0.6,
        guide_shrinkage: float | str = 0.3,
        guide_step: float = 0.5,
        guide_bound: float = 0.6,
        neighbours: float = 0.02,
        balance: float = 0.5,
        mixing: str = "identity",
        centre: str = "origin",
        phase_bound: float = 0.3,
        radius_bound: float = 0.2,
        complement_bound: float = 0.2,
        complement: str = "relative",
        edges: int = 4,
        drift_step: float | str = 0.1,
        phase_weight: float | str = 1.0,
        noise: float = 1.5,
        centred_coupling: bool = False,
        degree_normalised: bool = False,
        support: str = "sliced",
        prior_steps: int = 1500,
        refine_steps: int = 400,
        fit_rows: int = 20_000,
        frame: str = "target",
        force: bool = False,
        device: str = "auto",
        seed: int = 0,
    ):
        self.strength = strength
        self.terms = terms
        self.rank = rank
        self.shrinkage = shrinkage
        self.rotation = rotation
        self.initial = initial
        self.initial_strength = initial_strength
        self.restore_strength = restore_strength
        self.guide_shrinkage = guide_shrinkage
        self.guide_step = guide_step
        self.guide_bound = guide_bound
        self.neighbours = neighbours
        self.balance = balance
        self.mixing = mixing
        self.centre = centre
        self.phase_bound = phase_bound
        self.radius_bound = radius_bound
        self.complement_bound = complement_bound
        self.complement = complement
        self.edges = edges
        self.drift_step = drift_step
        self.phase_weight = phase_weight
        self.noise = noise
        self.centred_coupling = centred_coupling
        self.degree_normalised = degree_normalised
        self.support = support
        self.prior_steps = prior_steps
        self.refine_steps = refine_steps
        self.fit_rows = fit_rows
        self.frame = frame
        self.force = force
        self.device = device
        self.seed = seed

    @classmethod
    def paper(cls, **changes: Any) -> Self:
        """The published method, with one weight read kindly; `changes` override single parameters.

        The weight is that of L_Φ: ``phase_weight="source"`` takes it to the letter.

        Examples
        --------
        >>> AnisoAlign.paper().terms
        'init+refine+prior+phase'
        """
        return cls(**{**PAPER, **changes})

    def fit(
        self,
        source: Any,
        target: Any,
        *,
        dtype: str = "auto",
        progress: Progress | None = None,
        force: bool = False,
        stages: Callable[[str, int, int], None] | None = None,
        checkpoint: str | Path | None = None,
    ) -> Self:
        """Fit on unpaired rows: moments of all of them, later stages on samples, calibration on all sources.

        Parameters
        ----------
        source, target : array (n, d), tensor, path or EmbeddingSet
        dtype : {"auto", "float32", "float64"}
            Precision of the passes.
        progress : callable, optional
            Called with the number of rows of each tile read.
        force : bool
            As the parameter: fit although the sets share no geometry, or say that their encoders differ.
        stages : callable, optional
            Called with the name of a neural stage, the step and the number of steps.
        checkpoint : path, optional
            Folder in which Stages I and II keep their states; an interrupted fit goes on from them.

        Raises
        ------
        ValueError
            If a parameter is out of range.
        InputError
            If the widths differ, a row is unusable, the state of an interrupted stage is damaged, or (unless `force`)
            the two sets share no leading directions or come from different encoders; and if a side of a common frame
            is one row over and over.
        """
        check_settings(self)
        warn_of_unread(unread_settings(self))
        force = force or bool(self.force)
        source, target = open_sets(source, target, force)
        moments_y = measure(source, "full", dtype=dtype, progress=progress)
        moments_x = measure(target, "full", dtype=dtype, progress=progress)
        sides = constant_sides(moments_y, moments_x)
        refuse_constant(self.frame, sides)
        overlap_p = check_premise(moments_y, moments_x, force, int(self.seed))
        whole = Whole(moments_y, moments_x, source, target, progress)
        precision = map_precision(max(source.rows, target.rows), dtype)
        fitted = fit_on_samples(self, whole, precision, stages, checkpoint)
        fitted.overlap_p_ = overlap_p
        remember_constant(fitted, sides)
        fitted.calibrate(source, dtype=dtype, progress=progress)
        fitted.provenance_ = origins(source, target)
        self._fitted_with = fitted.get_params()
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)
        for name, value in vars(fitted).items():
            if name.endswith("_"):
                setattr(self, name, value)
        return self

    def _check_parameters(self) -> None:
        check_values(self)

    def _held_values(self) -> dict[str, Value]:
        return anisoalign_values(self)

    def _held_arrays(self) -> dict[str, Shape]:
        return anisoalign_arrays(self)

    def fit_from_statistics(self, source: Moments, target: Moments) -> Self:
        """Not possible: the coupling and the prior are no functions of moments; use `fit`."""
        raise TypeError("AnisoAlign needs rows; moments do not determine it, use fit")

    def _mapped_means(self, dtype: np.dtype) -> Callable[[Tile], Moments]:
        """Make, for one worker, the mean of what a tile is mapped to before calibration."""
        move = self.correction().move(self.strength_, torch_dtype(dtype))

        def summary(tile: Tile) -> Moments:
            moved = move(Scaled.read(tile)).rows_()
            return Moments(len(moved), moved.mean(dim=0).double().numpy(), None)

        return summary

    def at_strength(self, strength: float) -> Self:
        """A copy that corrects at another strength, without refitting.

        μ̂ is interpolated between those stored, which a sample of `fit_rows` gave; call `calibrate(source)` on the copy
        for the exact one.

        Examples
        --------
        >>> import numpy as np
        >>> rows = np.random.default_rng(0).normal(size=(200, 8)) * np.linspace(2, 0.5, 8)
        >>> model = AnisoAlign(strength=1.0).fit(rows[:100] + 1, rows[100:] - 1)
        >>> model.at_strength(0.0).strength_
        0.0
        """
        self._check_fitted()
        t = in_unit_interval("strength", strength)
        other = self.like(**self.fitted_with | {"strength": t})
        vars(other).update({name: value for name, value in vars(self).items() if name.endswith("_")})
        other.strength_, other._fitted_with = t, other.get_params()
        if t != self.strength_:
            other.calibration_mean_ = np.array([np.interp(t, NODES, column) for column in self.calibration_means_.T])
        return other

    def mapping(self, dtype: np.dtype) -> Mapping:
        """Blend of anchor and correction at the strength in use, centred on μx.

        Put together once for a precision, since that takes longer than mapping a row, and again when an attribute is
        set. It holds no scratch memory, so threads may share it.
        """
        move = on_rows(self._move(dtype))
        return lambda rows, numbers: move(rows)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__.pop("_moves", None)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        self.__dict__.pop("_moves", None)
        super().__delattr__(name)

    def __getstate__(self) -> dict[str, Any]:
        state = cast(dict[str, Any], super().__getstate__())
        return {name: value for name, value in state.items() if name != "_moves"}

    @property
    def takes_undivided(self) -> bool:
        """Rows are made unit on the way: their norms go into the first product."""
        return True

    def tile_mapping(self, dtype: np.dtype, first_row: int = 0, out_dtype: str = "float32") -> TileMapping:
        """`mapping` of a tile read undivided."""
        move = self._move(dtype)
        return lambda tile: move(Scaled.read(tile)).rows_()

    def _move(self, dtype: np.dtype) -> Move:
        """The map of scaled rows, made once for a precision."""
        moves = self.__dict__.setdefault("_moves", {})
        if dtype not in moves:
            moves[dtype] = self._made_move(torch_dtype(dtype))
        return moves[dtype]

    def _made_move(self, dtype: torch.dtype) -> Move:
        self._check_fitted()
        if self.calibration_mean_ is None:
            raise not_fitted("AnisoAlign is not calibrated; call calibrate(source) first")
        move = self.correction().move(self.strength_, dtype)
        shift = torch.as_tensor(self._centre() - self.calibration_mean_, dtype=dtype)
        return lambda rows: shifted(move(rows), shift)

    def transform(
        self, source: Any, out: str | Path | RemotePath | None = None, *, return_bound: bool = False, **options: Any
    ) -> Any:
        """As `Aligner.transform`; warns where rows have drifted from the fitted sources.

        Parameters
        ----------
        return_bound : bool
            Also return, for rows in memory, the largest angle in radians by which the bounded parts of the
            correction (guided step, refinement) can have turned each row, as `bound_` counts it; shape (n,). π
            promises nothing.

        Raises
        ------
        InputError
            As `Aligner.transform`; and where bounds are asked of rows that are written to a file.
        """
        self._check_fitted()
        if return_bound and out is not None:
            raise InputError("bounds are returned for rows in memory; leave out=PATH away")
        warn_of_drift(self, source)
        aligned = self._transformed(source, out, **options)
        if not return_bound:
            return aligned
        rows = open_embeddings(source[None] if getattr(source, "ndim", 2) == 1 else source)
        correction = self.correction()
        bounds = correction.bounds(rows.sample(rows.rows, int(self.fitted_with["seed"]), np.float64))
        return aligned, bounds if correction.acts_at(self.strength_) else np.zeros_like(bounds)

    def passes(self, source_rows: int, target_rows: int) -> tuple[int, int]:
        """As `Aligner.passes`; radii and phases of sets that are sampled take passes of their own over all rows."""
        source, target = super().passes(source_rows, target_rows)
        radial = self.initial == "radial"
        staged = parse_terms(self.terms) & ({"init", "refine"} if radial else {"refine"})
        if max(source_rows, target_rows) <= self.fit_rows or not staged:
            return source, target
        return source + radial, target + 1

    def notes(self) -> list[str]:
        """What a person should know of this fit, in sentences."""
        return [*of_strength(self), *of_bounds(self), *of_prior(self), *of_premise(self)]

    def correction(self) -> Correction:
        """The fitted parts, at every strength, before the last calibration."""
        self._check_fitted()
        arrays = {n[:-1]: v for n, v in vars(self).items() if n.startswith(_PARTS) and isinstance(v, np.ndarray)}
        return Correction.from_arrays(arrays, self.polar_config_, self.fitted_with["initial"] == "radial")

    @property
    def bound_(self) -> float:
        """Largest angle, in radians, by which the bounded parts turn any source looked at, at the strength in use."""
        self._check_fitted()
        return self.whole_bound_ if self.correction().acts_at(self.strength_) else 0.0
