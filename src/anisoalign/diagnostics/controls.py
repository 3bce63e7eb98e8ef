"""Diagnostic transforms: what known moves do to the metrics, as controls (docs/what-the-numbers-mean.md)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from anisoalign.diagnostics.alignment import alignment_metrics
from anisoalign.diagnostics.mixing import mixing_of_equals
from anisoalign.diagnostics.repeats import warn_of_repeats_in_controls
from anisoalign.geometry import inverse_sqrt, normalize, principal_subspace, sqrt_psd
from anisoalign.statistics import Moments

CONTROL_ROWS = 2_000
"""Rows a side that the controls are measured on."""
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
METRICS = (
    "centroid_gap",
    "geometry_consistency",
    "neighbour_consistency",
    "target_penetration",
    "target_coverage",
)


def residual_path(
    y: Float[np.ndarray, "n d"], x: Float[np.ndarray, "n d"], alphas: tuple[float, ...], energy: float = 0.5
) -> list[Float[np.ndarray, "n d"]]:
    """z_α = Norm(y − μy + μx + α P_K r) for several α; K leading residual directions hold `energy`. Needs pairs."""
    shifted = y - y.mean(axis=0) + x.mean(axis=0)
    residual = x - shifted
    covariance = residual.T @ residual / len(residual)
    vectors = principal_subspace(covariance)
    values = np.einsum("ij,ij->j", vectors, covariance @ vectors)
    leading = int(np.searchsorted(np.cumsum(values), energy * values.sum())) + 1
    step = (residual @ vectors[:, :leading]) @ vectors[:, :leading].T
    return [normalize(shifted + alpha * step) for alpha in alphas]


def control_transforms(
    source: Float[np.ndarray, "m d"], target: Float[np.ndarray, "n d"], *, paired: bool = False, seed: int = 0
) -> dict[str, Float[np.ndarray, "m d"]]:
    """Identity, mean shift, full moment matching, random targets and, with pairs, the residual path.

    Examples
    --------
    >>> import numpy as np
    >>> from anisoalign.geometry import normalize
    >>> rows = normalize(np.random.default_rng(0).normal(size=(60, 4)))
    >>> list(control_transforms(rows, rows))
    ['identity', 'mean_shift', 'moment_match', 'random_target']
    """
    y, x = (Moments.empty(rows.shape[1]).update(rows) for rows in (source, target))
    match = sqrt_psd(x.covariance) @ inverse_sqrt(y.covariance, y.noise)
    drawn = np.random.default_rng(seed).integers(0, len(target), len(source))
    moved = {
        "identity": source,
        "mean_shift": normalize(source - y.mean + x.mean),
        "moment_match": normalize((source - y.mean) @ match.T + x.mean),
        "random_target": target[drawn],
    }
    if paired:
        path = residual_path(source, target, ALPHAS)
        moved |= {f"residual_path_{alpha:.2f}": rows for alpha, rows in zip(ALPHAS, path, strict=True)}
    return moved


def measure_controls(
    source: Float[np.ndarray, "m d"], target: Float[np.ndarray, "n d"], *, paired: bool = False, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Metrics of every control: name → metric → value; of unequal sets as many rows of both are mixed.

    A warning tells where most source rows repeat.
    """
    warn_of_repeats_in_controls(source)
    found = {}
    for name, rows in control_transforms(source, target, paired=paired, seed=seed).items():
        report = alignment_metrics(source, target, rows, seed=seed).to_dict()
        if len(rows) != len(target):
            report |= mixing_of_equals(target, rows, report["k"], seed)._asdict()
        found[name] = {metric: report[metric] for metric in METRICS}
    return found
