"""How much work a fit of AnisoAlign is beyond its passes over all rows, by kind, for a plan."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any, Self

from anisoalign.aligners.anisoalign import chosen_rotation
from anisoalign.aligners.anisoalign.chosen_strength import QUICK_PRIOR_STEPS, folds_at_once
from anisoalign.aligners.anisoalign.coupling import BISECTIONS, COUPLED_ROWS, PROBES, ROUNDS
from anisoalign.aligners.anisoalign.held_out import MOST_FITTED, MOST_HELD
from anisoalign.aligners.anisoalign.settings import has_polar, parse_terms, polar_settings
from anisoalign.aligners.anisoalign.span import narrow
from anisoalign.aligners.anisoalign.strength import FEWEST, FOLDS, NODES
from anisoalign.statistics import map_precision

PREMISE, ROTATION = 1.0, 8 / 3
"""Decompositions of d × d matrices, in full symmetric ones, of which eigenvalues alone are a third and an SVD two:
of a look at the premise, which takes a few directions of each side, and of a full rotation."""
MATRICES = 20
"""A fit's products of such matrices."""
FULL = ("auto", "full")
"""Rotations that couple rows; "auto" is the full one on most sets."""
HELD_MATRICES = 8
"""Such matrices that a fit holds at a time."""
MAPS = 12
"""Products with a d × d matrix that each row of the sample goes through: moments, stations of the dial, means."""
SWEEP = 10
"""Sweeps over memory, as in a round of the coupling or over rows at a strength, that take as long as an exponential."""
SCORE = 12
"""Exponentials that the wrapped score of a block takes; half as many again with its gradient."""


@dataclass(frozen=True)
class Work:
    """Work of one thread, by what it is bound by.

    Parameters
    ----------
    products : int
        Operations of products in float64; one in float32 counts half.
    decomposed : int
        d³ of symmetric eigendecompositions.
    exponentials : int
        Entries of which one is taken, with the sweeps around it.
    steps : int
        Of training, for what each takes however small the networks are.
    imports : int
        Libraries that are imported on the way: torch's optimisers for training, and what choosing a strength loads.
    """

    products: int = 0
    decomposed: int = 0
    exponentials: int = 0
    steps: int = 0
    imports: int = 0

    def __add__(self, other: Work) -> Self:
        return type(self)(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def times(self, count: int) -> Self:
        """The same work again and again."""
        return type(self)(*(count * value for value in astuple(self)))


def sampled_work(model: Any, source_rows: int, target_rows: int, dim: int, at_once: int = 1) -> Work:
    """Work of the stages that are fitted on samples, and of choosing the rotation and the strength.

    With so many folds `at_once`, of the thread that does most.
    """
    y, x = min(model.fit_rows, source_rows), min(model.fit_rows, target_rows)
    looked, space = Work(decomposed=int(PREMISE * dim**3)), dim
    if narrow(y + x, dim) and not has_polar(model):
        dim = y + x + 1
    found = _one_fit(model, y, x, dim, space, model.prior_steps) + looked
    found += Work(imports=int(found.steps > 0) + int(model.strength == "auto"))
    few = min(y, x)
    if model.rotation == "auto" and model.initial != "radial" and few >= chosen_rotation.FEWEST:
        held = min(MOST_HELD, int(chosen_rotation.HELD * few))
        found += _two_routes(model, _fitted(y, held), _fitted(x, held), held, dim, space)
    if model.strength != "auto" or few < FEWEST:
        return found
    held = min(MOST_HELD, few) // FOLDS
    quick = min(model.prior_steps, QUICK_PRIOR_STEPS)
    split = _one_fit(model, _fitted(y, held), _fitted(x, held), dim, space, quick)
    beside = min(_fitted(y, held) + _fitted(x, held), dim, (space + 1) // 2)  # the transport that each is held against
    split += Work(decomposed=dim**3 + 2 * beside**3)
    return found + split.times(-(-FOLDS // at_once)) + measured_work(FOLDS * held, dim).times(len(NODES))


def _fitted(rows: int, held: int) -> int:
    """Rows that a split is fitted on, of so many."""
    return min(MOST_FITTED, rows - held)


def sampled_bytes(model: Any, source_rows: int, target_rows: int, dim: int, dtype: str = "auto") -> int:
    """Memory of the samples, of what is made of them and of the matrices of a fit, beside that of its passes."""
    y, x = min(model.fit_rows, source_rows), min(model.fit_rows, target_rows)
    samples = (y + x) * dim * map_precision(max(source_rows, target_rows), dtype).itemsize
    coupled = stages = 0
    if _couples(model):
        coupled = _coupled(y) * _coupled(x) + 2 * (_coupled(y) + _coupled(x)) * dim
    if "refine" in parse_terms(model.terms):
        stages = 3 * (y + x) * dim  # as float64, in polar coordinates, and both once more as float32
    fits = folds_at_once(model, max(y, x), dim) if model.strength == "auto" and min(y, x) >= FEWEST else 1
    return samples + 8 * fits * (max(coupled, stages) + HELD_MATRICES * dim**2)


def _couples(model: Any) -> bool:
    return "guide" in parse_terms(model.terms) or (model.initial != "radial" and model.rotation in FULL)


def _inside(model: Any, rows: int, dim: int, space: int) -> int:
    """Directions of a frame of so many rows of both sets; a share of energy is known afterwards."""
    return min(rows, dim, model.rank if isinstance(model.rank, int) else (space + 1) // 2)


def _two_routes(model: Any, y: int, x: int, held: int, dim: int, space: int) -> Work:
    """One split, at which most choices of the rotation end: both routes to the transport, and how near each comes.

    Together they multiply half of what a whole fit does.
    """
    inside = _inside(model, y + x, dim, space)
    decomposed = _decomposed(model, {"init"}, dim, inside) + dim**3 + 2 * inside**3
    found = Work(MAPS * 2 * y * dim**2 // 2 + MATRICES * dim**3, decomposed)
    found += _coupling(_coupled(y), _coupled(x), dim, model.balance)
    probes = -(-held // max(1, held // PROBES))
    return found + Work((2 * probes + 6 * held) * held * dim, 0, (BISECTIONS * probes + 6 * held) * held)


def _one_fit(model: Any, y: int, x: int, dim: int, space: int, prior_steps: int) -> Work:
    terms = parse_terms(model.terms)
    products = MAPS * 2 * y * dim**2 + MATRICES * 2 * dim**3
    found = Work(
        products, _decomposed(model, terms, dim, _inside(model, y + x, dim, space)), len(NODES) * y * dim // SWEEP
    )
    if _couples(model):
        found += _coupling(_coupled(y), _coupled(x), dim, model.balance)
    blocks = (model.rank if isinstance(model.rank, int) else dim // 2) // 2  # a share of energy is known afterwards
    if "prior" in terms:
        found += _stage_one(blocks, model).times(-(-3 * prior_steps // 4))  # it stops early, sooner on few rows
    if "refine" in terms:
        found += _stage_two(blocks, dim, model, "prior" in terms).times(model.refine_steps)
    return found


def _decomposed(model: Any, terms: set[str], dim: int, inside: int) -> int:
    """d³ of what the parts decompose: a frame each, two matrices of its rank for a transport, and for the rotation."""
    guided, radial = "guide" in terms, model.initial == "radial"
    frames, transports, turned = int(guided), int(guided), 0.0
    if radial:
        frames += bool(terms & {"init", "refine"})
    else:
        full = model.rotation in FULL
        turned = ROTATION * full
        frames += 1 + full + ("refine" in terms)
        transports += ("init" in terms or not guided) + (guided or full) + full
    return int((frames + turned) * dim**3) + 2 * transports * inside**3


def _coupled(rows: int) -> int:
    """Rows that are coupled, of so many in the sample."""
    return min(rows, COUPLED_ROWS)


def _coupling(y: int, x: int, dim: int, balance: float) -> Work:
    probes, rounds = -(-y // max(1, y // PROBES)), ROUNDS if balance > 0 else 0
    return Work(2 * (2 * y + probes) * x * dim, 0, BISECTIONS * probes * x + y * x * (1 + 2 * rounds // SWEEP))


def measured_work(held: int, dim: int) -> Work:
    """Geometry kept and mixing of held-out rows: neighbours among both sets, cosines of all pairs."""
    return Work(2 * 3 * (2 * held) ** 2 * dim // 2, 0, 2 * (2 * held) ** 2)


def _stage_one(blocks: int, model: Any) -> Work:
    prior = polar_settings(model).prior
    layers = 4 * blocks * prior.width + prior.width**2
    return Work(3 * prior.batch * layers, 0, prior.batch * blocks * SCORE, 1)


def _stage_two(blocks: int, dim: int, model: Any, prior: bool) -> Work:
    settings = polar_settings(model)
    layers = (5 * blocks + 2 * dim) * settings.width + settings.width**2 + 4 * dim * 2 * blocks
    found = Work(3 * settings.batch * layers, 0, settings.batch * (dim + 8 * blocks), 1)
    if not prior:
        return found
    own = settings.prior.width * (4 * blocks + settings.prior.width)
    return found + Work(3 * settings.batch * own, 0, settings.batch * blocks * 3 * SCORE // 2, 1)
