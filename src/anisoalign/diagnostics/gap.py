"""How far apart two sets are: the modality gap (docs/what-the-numbers-mean.md)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from anisoalign.diagnostics.record import Record
from anisoalign.embeddings import InputError
from anisoalign.geometry import (
    anisotropy,
    effective_dimension,
    effective_rank,
    eigenvalues,
    joint_frame,
    power_law_exponent,
    principal_subspace,
    spectral_correlation,
    sqrt_psd,
    subspace_overlap,
)
from anisoalign.geometry.spectra import numerical_rank, spaced_ranks
from anisoalign.statistics import Moments

_PERMUTATIONS = 199


@dataclass(frozen=True)
class GapReport(Record):
    """The modality gap of two sets. What needs pairs is None without them and absent from the JSON.

    Attributes
    ----------
    rows_source, rows_target, dim, q : int
        Rows read of both sets, their width d, and the size of the principal subspaces compared.
    centroid_gap : float
        Gμ = ‖μx − μy‖, in [0, 2].
    covariance_gap, covariance_gap_chance : float
        GΣ = ‖Σx − Σy‖_F / ‖Σx‖_F, and what two samples of one law would show (`covariance_gap_chance`).
    spectral_correlation : float or None
        Cλ; high for any two sets, so no test of anything by itself.
    q : int
        Size asked for of the principal subspaces; d // 10 where none was.
    subspace_overlap_q : int or None
        Size compared: q, or where none was asked for, the numerical rank of the sets if that is smaller.
    subspace_overlap, subspace_overlap_chance, subspace_overlap_p : float or None
        O_q at that size, its level q/d for unrelated subspaces, and the p-value of a permutation of coordinates.
        None, as the size, where the q asked for is beyond the numerical rank of a set.
    overlap_q, overlap_curve : list
        O_q at q = 1, 2, 4, ….
    source_effective_rank, target_effective_rank : float
        exp of the entropy of λ / Σλ: how many directions a set uses.
    source_power_law_exponent, target_power_law_exponent : float or None
        Slope of log λ against log rank.
    source_mean_energy, target_mean_energy : float
        ‖μ‖², the share of every unit row that is the same for all.
    centroid_cosine : float
        μx·μy, the mean cosine of unpaired rows across the sets.
    paired_cosine_limit : float
        The largest mean paired cosine that any pairing of rows with these moments could have:
        μx·μy + tr (Σx^½ Σy Σx^½)^½.
    within_source_cosine, within_target_cosine : float
        Mean cosine of different rows of one set, of a sample of 4,000 rows at most.
    angle_divergence : float
        Jensen–Shannon divergence, in bits, of the histograms of angles within both sets, in bins of one degree.
    mixed_target_share_at_10, mixed_source_share_at_10 : float or None
        Share of targets among the ten rows nearest to a source where as many of both are in one pool, 2,000 at most;
        and of sources among those nearest to a target. None of fewer than 12 rows a side, and where most
        rows of a side repeat another.
    paired_cosine, paired_cosine_std : float, with pairs
        Mean and standard deviation of x_i·y_i.
    paired_distance, centered_paired_distance, residual_ratio : float, with pairs
        Mean ‖x − y‖, mean ‖(x − μx) − (y − μy)‖, and the second over the first.
    residual_anisotropy, residual_effective_dimension : float, with pairs
        Ar and effective dimension (share of d) of the residual covariance.
    residual_energy_ratio : float, with pairs
        tr Σr / (Gμ² + tr Σr).
    residual_coverage, residual_coverage_chance, residual_coverage_unpaired : float, with pairs
        tr(P_U Σr) / tr Σr for the joint frame U of rank 2q; r/d, its level for a random frame; and its value for
        Σx + Σy, the residual of rows that are no pairs.
    residual_energy_k, residual_energy : list, with pairs
        E(K): share of residual energy in the K leading directions, at the K of `residual_energy_k`.
    spectrum_k, source_spectrum, target_spectrum : list
        Eigenvalues of both covariances at the ranks of `spectrum_k`, about evenly spaced on a log scale.
    residual_spectrum : list, with pairs
        Eigenvalues of the residual covariance over their mean, at the ranks of `residual_energy_k`; 1 throughout is
        isotropic.
    histogram_within_source, histogram_within_target, histogram_across : list of int
        Counts of cosines in 200 bins of [−1, 1], of a sample of 4,000 rows a side at most.
    histogram_paired : list of int, with pairs
        The same of x_i·y_i, of all pairs.
    """

    rows_source: int
    rows_target: int
    dim: int
    q: int
    centroid_gap: float
    covariance_gap: float
    covariance_gap_chance: float | None
    spectral_correlation: float | None
    subspace_overlap_q: int | None
    subspace_overlap: float | None
    subspace_overlap_chance: float | None
    subspace_overlap_p: float | None
    overlap_q: list[int]
    overlap_curve: list[float]
    source_effective_rank: float
    target_effective_rank: float
    source_power_law_exponent: float | None
    target_power_law_exponent: float | None
    source_mean_energy: float
    target_mean_energy: float
    spectrum_k: list[int]
    source_spectrum: list[float]
    target_spectrum: list[float]
    centroid_cosine: float
    paired_cosine_limit: float
    within_source_cosine: float | None = None
    within_target_cosine: float | None = None
    angle_divergence: float | None = None
    mixed_target_share_at_10: float | None = None
    mixed_source_share_at_10: float | None = None
    paired_distance: float | None = None
    centered_paired_distance: float | None = None
    residual_ratio: float | None = None
    residual_anisotropy: float | None = None
    residual_effective_dimension: float | None = None
    residual_energy_ratio: float | None = None
    residual_coverage: float | None = None
    residual_coverage_chance: float | None = None
    residual_coverage_unpaired: float | None = None
    residual_energy_k: list[int] | None = None
    residual_energy: list[float] | None = None
    residual_spectrum: list[float] | None = None
    paired_cosine: float | None = None
    paired_cosine_std: float | None = None
    histogram_within_source: list[int] | None = None
    histogram_within_target: list[int] | None = None
    histogram_across: list[int] | None = None
    histogram_paired: list[int] | None = None

    def verdict(self) -> list[str]:
        """Three sentences in plain words."""
        from anisoalign.diagnostics.verdict import gap_verdict

        return gap_verdict(self)

    def __str__(self) -> str:
        return "\n".join(self.verdict())


def gap_from_moments(source: Moments, target: Moments, *, q: int | None = None, seed: int = 0) -> GapReport:
    """Everything about the gap that first and second moments determine.

    Parameters
    ----------
    source, target : Moments
        Order "full", of unit rows.
    q : int, optional
        Size of the principal subspaces compared; d // 10 by default, at least 1, and at most the numerical rank.
    seed : int
        Of the permutation test.

    Raises
    ------
    ValueError
        If the widths differ or q is not between 1 and d.
    InputError
        If all rows of a set are the same.
    """
    if source.dim != target.dim:
        raise ValueError(f"source rows have width {source.dim}, target rows {target.dim}")
    d = source.dim
    asked, q = q, max(1, d // 10) if q is None else q
    if not 1 <= q <= d:
        raise ValueError(f"q must be between 1 and the width {d}, not {q}")
    for side, moments in (("source", source), ("target", target)):
        if moments.trace <= 1e-12:
            raise InputError(f"all {side} rows are the same: there are no directions to compare")
    sx, sy = target.covariance, source.covariance
    lx, ly = eigenvalues(sx), eigenvalues(sy)
    ux, uy = principal_subspace(sx), principal_subspace(sy)
    rank = min(numerical_rank(lx, target.noise), numerical_rank(ly, source.noise))
    compared = q if asked is not None or q <= rank else rank
    ux_q, uy_q, defined = ux[:, :compared], uy[:, :compared], 1 <= compared <= rank
    curve = [k for k in _doubling(d) if k <= rank]
    ranks = spaced_ranks(d)
    cosine = float(source.mean @ target.mean)
    root = sqrt_psd(sx)
    return GapReport(
        rows_source=source.n,
        rows_target=target.n,
        dim=d,
        q=q,
        centroid_gap=float(np.linalg.norm(target.mean - source.mean)),
        covariance_gap=float(np.linalg.norm(sx - sy) / np.linalg.norm(sx)),
        covariance_gap_chance=covariance_gap_chance(source, target),
        spectral_correlation=spectral_correlation(lx, ly, (target.noise, source.noise)),
        subspace_overlap_q=compared if defined else None,
        subspace_overlap=subspace_overlap(ux_q, uy_q) if defined else None,
        subspace_overlap_chance=compared / d if defined else None,
        subspace_overlap_p=overlap_p_value(ux_q, uy_q, seed) if defined else None,
        overlap_q=curve,
        overlap_curve=[subspace_overlap(ux[:, :k], uy[:, :k]) for k in curve],
        source_effective_rank=effective_rank(ly),
        target_effective_rank=effective_rank(lx),
        source_power_law_exponent=power_law_exponent(ly, source.noise),
        target_power_law_exponent=power_law_exponent(lx, target.noise),
        source_mean_energy=float(source.mean @ source.mean),
        target_mean_energy=float(target.mean @ target.mean),
        spectrum_k=ranks,
        source_spectrum=[float(ly[k - 1]) for k in ranks],
        target_spectrum=[float(lx[k - 1]) for k in ranks],
        centroid_cosine=cosine,
        paired_cosine_limit=cosine + float(np.trace(sqrt_psd(root @ sy @ root))),
    )


def covariance_gap_chance(source: Moments, target: Moments) -> float:
    """GΣ that two samples of these sizes would show on average, though their laws had one covariance.

    A sample covariance of n rows is off by E‖Σ̂ − Σ‖² = (E‖x − μ‖⁴ − ‖Σ‖²) / n. Unit rows lie about equally far from
    their mean, so that E‖x − μ‖⁴ is taken for (tr Σ)²; it is more, and so is what chance does.
    """
    noise = sum(max(m.trace**2 - float(np.linalg.norm(m.covariance)) ** 2, 0.0) / m.n for m in (source, target))
    return float(np.sqrt(noise) / np.linalg.norm(target.covariance))


def overlap_p_value(x: Float[np.ndarray, "d q"], y: Float[np.ndarray, "d q"], seed: int = 0) -> float:
    """Share of permutations of the coordinates of `y` with an overlap at least as large; one-sided, never 0.

    Permuting coordinates keeps each subspace's own shape and destroys what the two share.
    """
    generator = np.random.default_rng(seed)
    seen = subspace_overlap(x, y)
    hits = sum(subspace_overlap(x, y[generator.permutation(len(y))]) >= seen for _ in range(_PERMUTATIONS))
    return (hits + 1) / (_PERMUTATIONS + 1)


def add_pairs(
    report: GapReport, source: Moments, target: Moments, residual: Moments, paired: float, centered: float
) -> GapReport:
    """The report with what pairs tell.

    Parameters
    ----------
    residual : Moments
        Order "full", of x_i − y_i (its centred second moment is that of (x − μx) − (y − μy)).
    paired, centered : float
        Mean paired distances before and after centring.
    """
    report = replace(report, paired_distance=paired, centered_paired_distance=centered)
    if residual.trace <= 1e-12:
        return report  # the centred sets are equal: what is left of nothing has no shape
    sigma = residual.covariance
    values = eigenvalues(sigma)
    frame = joint_frame(target.covariance, source.covariance, rank=min(2 * report.q, report.dim))
    energy = np.cumsum(values) / values.sum()
    steps = spaced_ranks(report.dim)
    return replace(
        report,
        residual_ratio=centered / paired,
        residual_anisotropy=anisotropy(values),
        residual_effective_dimension=effective_dimension(values),
        residual_energy_ratio=residual.trace / (report.centroid_gap**2 + residual.trace),
        residual_coverage=frame.coverage(sigma),
        residual_coverage_chance=frame.rank / report.dim,
        residual_coverage_unpaired=frame.coverage(target.covariance + source.covariance),
        residual_energy_k=steps,
        residual_energy=[float(energy[k - 1]) for k in steps],
        residual_spectrum=[float(values[k - 1] / values.mean()) for k in steps],
    )


def _doubling(d: int) -> list[int]:
    """1, 2, 4, … and d itself."""
    return [k for k in (2**i for i in range(d.bit_length())) if k < d] + [d]
