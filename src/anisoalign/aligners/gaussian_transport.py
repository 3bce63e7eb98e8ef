"""Gaussian optimal transport inside the shared dominant frame, with a dial."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Float

from anisoalign.aligners.base import Aligner
from anisoalign.aligners.contents import Value, number, whole
from anisoalign.aligners.parameters import in_unit_interval
from anisoalign.aligners.realign import trace_scale
from anisoalign.aligners.shrinking import check_shrinkage, shrinkage_amount
from anisoalign.geometry import Frame, gaussian_transport, joint_frame
from anisoalign.geometry.frame import resolve_rank
from anisoalign.statistics import Moments, shrink

_ROUNDING = 1e-7
"""Share of a trace that rows once stored as float16 may owe to rounding, whatever they are stored as now."""
_AMOUNTS = Value(
    "two amounts in [0, 1]",
    lambda found: isinstance(found, list) and len(found) == 2 and all(map(number(0, 1).fits, found)),
)


class GaussianTransport(Aligner):
    """z = Norm(μx + A_t (y − μy)), calibrated, with A_t between ReAlign's scale and optimal transport.

    Inside U = span Q, the `rank` leading eigenvectors of Σx + Σy, A_t = (1 − t) s I + t T, with T the
    optimal transport map of the shrunk covariances; outside, (1 − t) s + t s_V, with s_V² the ratio of the
    traces there; the source's is shrunk where it has fewer rows. At t = 0 this is ReAlign exactly.

    Parameters
    ----------
    rank : int, float or None
        Directions of U: a number, a share of energy in (0, 1], or None for half of the width.
    shrinkage : float or "auto"
        Of both covariances inside U towards their mean eigenvalue; "auto" is Ledoit–Wolf, from moments.
    strength : float
        t in [0, 1].
    frame : {"target", "common"}
        Where aligned rows lie; see `Aligner.in_frame`.

    Attributes
    ----------
    rank_ : int
        Directions of U.
    shrinkage_ : list of float
        Amounts used, source and target.
    scale_ : float
        s.
    weight_ : ndarray, shape (d, d)
        A_t.
    bias_ : ndarray, shape (d,)
        μx − A_t μy.
    target_mean_ : ndarray, shape (d,)
        μx.
    calibration_mean_ : ndarray, shape (d,)
        Mean of Norm(μx + A_t (y − μy)) over the sources.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> text, image = rng.normal(size=(500, 8)), rng.normal(size=(600, 8)) * np.linspace(1, 2, 8)
    >>> GaussianTransport(strength=0.5).fit(text, image).transform(text).shape
    (500, 8)
    """

    name = "gaussian-transport"
    order = "full"
    calibrated = True

    def __init__(
        self,
        *,
        rank: int | float | None = None,
        shrinkage: float | str = "auto",
        strength: float = 1.0,
        frame: str = "target",
    ):
        self.rank = rank
        self.shrinkage = shrinkage
        self.strength = strength
        self.frame = frame

    def _check_parameters(self) -> None:
        super()._check_parameters()
        resolve_rank(np.ones(1), self.rank)
        check_shrinkage(self.shrinkage)
        in_unit_interval("strength", self.strength)

    def _held_values(self) -> dict[str, Value]:
        own = {"rank_": whole(1), "shrinkage_": _AMOUNTS, "scale_": number(0)}
        return {**super()._held_values(), **own}

    def _fit(self, source: Moments, target: Moments) -> None:
        dialled = dialled_transport(
            Framed.by(source, target, self.rank),
            shrinkage=self.shrinkage,
            strength=float(self.strength),
        )
        self.rank_, self.shrinkage_, self.scale_ = dialled.rank, dialled.shrinkage, dialled.scale
        self.weight_ = dialled.weight
        self.bias_ = target.mean - self.weight_ @ source.mean


class Dialled(NamedTuple):
    """A_t, shape (d, d), with the rank r of U, both amounts of shrinkage and s."""

    weight: Float[np.ndarray, "d d"]
    rank: int
    shrinkage: list[float]
    scale: float


@dataclass(frozen=True)
class Framed:
    """Moments of both sets and their joint frame, seen inside it once for all transports there."""

    source: Moments
    target: Moments
    frame: Frame

    @classmethod
    def by(cls, source: Moments, target: Moments, rank: int | float | None) -> Self:
        """Find the joint frame; of half of the width where no rank is named, of directions that vary at all."""
        rank = (source.space + 1) // 2 if rank is None else rank
        noise = source.noise + target.noise
        return cls(source, target, joint_frame(target.covariance, source.covariance, rank=rank, noise=noise))

    @cached_property
    def source_inside(self) -> Float[np.ndarray, "r r"]:
        """Qᵀ Σy Q."""
        return self.frame.inside(self.source.covariance)

    @cached_property
    def target_inside(self) -> Float[np.ndarray, "r r"]:
        """Qᵀ Σx Q."""
        return self.frame.inside(self.target.covariance)

    def traces_outside(self) -> tuple[float, float]:
        """Tr Σ − tr Qᵀ Σ Q of source and target."""
        return (
            self.source.trace - float(np.trace(self.source_inside)),
            self.target.trace - float(np.trace(self.target_inside)),
        )


def dialled_transport(framed: Framed, *, shrinkage: float | str = "auto", strength: float = 1.0) -> Dialled:
    """A_t of `GaussianTransport`."""
    source, target, frame = framed.source, framed.target, framed.frame
    d = source.dim
    amounts = [shrinkage_amount(m, shrinkage) for m in (source, target)]
    shrunk = (shrink(framed.source_inside, amounts[0]), shrink(framed.target_inside, amounts[1]))
    transport = gaussian_transport(*shrunk, source.noise)
    scale = trace_scale(source, target)
    s_v = _scale_outside(framed) or scale
    outside = (1.0 - strength) * scale + strength * s_v
    inside = (1.0 - strength) * scale * np.eye(frame.rank) + strength * transport
    q = frame.basis
    weight = outside * np.eye(d) + q @ (inside - outside * np.eye(frame.rank)) @ q.T
    return Dialled(weight, frame.rank, amounts, scale)


def lacking_shrinkage(source: Moments, target: Moments) -> float:
    """Ledoit and Wolf's amount for the source, times the share of rows that it lacks beside the target; 0 for none.

    Of two rows, which lie alike about their mean, that amount is 0 whatever they are: 1 is taken.
    """
    lacking = 1.0 - source.n / target.n
    if lacking <= 0:
        return 0.0
    return lacking * (shrinkage_amount(source, "auto") if source.n > 2 else 1.0)


def _scale_outside(framed: Framed) -> float | None:
    """s_V, the root of the ratio of traces outside U; None where a set does not vary there but for rounding.

    U takes in nearly all that a few rows vary in, so that the trace they leave outside is too small. Where the target
    has no more rows, its trace is so too, and their ratio stands. Where the source has fewer, its covariance is first
    shrunk as a whole, by Ledoit and Wolf's amount times the share of rows that it lacks: a ratio to next to nothing
    would blow up all other rows.
    """
    source, target, directions = framed.source, framed.target, framed.source.space - framed.frame.rank
    rest_y, rest_x = framed.traces_outside()
    amount = lacking_shrinkage(source, target)
    rest_y = (1.0 - amount) * rest_y + amount * source.trace * directions / source.space
    varied = all(
        rest > max(_ROUNDING * m.trace, directions * m.noise) for rest, m in ((rest_y, source), (rest_x, target))
    )
    return float(np.sqrt(rest_x / rest_y)) if varied else None
