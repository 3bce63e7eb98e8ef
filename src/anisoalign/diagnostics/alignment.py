"""How good an alignment Z = T(Y) is: semantics kept, target reached (docs/what-the-numbers-mean.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from anisoalign.diagnostics.cosines import cosines_of_pairs, row_pairs
from anisoalign.diagnostics.label_transfer import Labels, check_labels_meet, cross_fitted_label_transfer, label_transfer
from anisoalign.diagnostics.measures import alignment_text
from anisoalign.diagnostics.mixed_search import FIRST, mixed_search
from anisoalign.diagnostics.mixing import mixing_among, pool_neighbours
from anisoalign.diagnostics.neighbours import neighbours, ranks_of
from anisoalign.diagnostics.record import Record
from anisoalign.geometry import anisotropy, eigenvalues
from anisoalign.geometry.spectra import spaced_ranks

SMALL = 500
"""Below this many rows a side, k is 10 by default instead of 20."""


def default_k(*rows: int) -> int:
    """Neighbours to look at when the user names no number: 20, or 10 where a set has fewer than 500 rows."""
    return 10 if min(rows) < SMALL else 20


@dataclass(frozen=True)
class AlignmentReport(Record):
    """Metrics of an alignment. What needs pairs or labels that were not given is None and not printed.

    Attributes
    ----------
    rows_source, rows_target, k : int
        Rows that were measured, and the number of neighbours looked at.
    instance_consistency : float
        Φ, mean cosine of a source row with its aligned row.
    geometry_consistency : float
        Ψ, correlation of the cosines of pairs of rows before and after.
    neighbour_consistency : float
        Ω_k, mean share of the k nearest neighbours that stay.
    centroid_gap : float
        Δμ = ‖μz − μx‖.
    target_penetration, target_coverage : float
        M_Z and M_X, mixing relative to a random permutation.
    mixed_target_share_at_10 : float
        Share of targets among the first ten that z_i finds among all targets and all other aligned rows.
    uncentered_residual_anisotropy : float, with pairs
        λ1 / (tr / d) of the second moment of x_i − z_i.
    paired_cosine : float, with pairs
        Mean of z_i·x_i.
    recall_at_1, recall_at_10, reverse_recall_at_1, reverse_recall_at_10 : float, with pairs
        Aligned row to its target, and target to its aligned row.
    mixed_recall_at_10 : float, with pairs
        Query z_i against all targets and all other aligned rows: is x_i among the first ten?
    reverse_mixed_recall_at_10 : float, with pairs
        Query x_i against all aligned rows and all other targets: is z_i among the first ten?
    raw_mixed_target_share_at_10 : float, of `evaluate` alone
    raw_mixed_recall_at_10, raw_reverse_mixed_recall_at_10 : float, with pairs, of `evaluate` alone
        The same of source rows as they are: what the alignment is to be held against.
    label_transfer : float, with labels
        Accuracy on targets of a classifier trained on aligned rows.
    raw_label_transfer : float, with labels
        The same of a classifier trained on the source rows: what the alignment is to be held against.
    residual_spectrum_k, residual_spectrum : list, with pairs, of `evaluate` alone
        Eigenvalues of the second moment of x_i − z_i over their mean, at ranks about evenly spaced on a log scale; the
        first is `uncentered_residual_anisotropy`.
    frame : str
        "common" where targets and aligned rows, each side less its own mean, lie in a common frame and the source does
        not: Φ, Ψ and Ω, which hold aligned rows against it, are lower for that, and nothing is told of raw rows.
    """

    rows_source: int
    rows_target: int
    k: int
    instance_consistency: float
    geometry_consistency: float
    neighbour_consistency: float
    centroid_gap: float
    target_penetration: float
    target_coverage: float
    mixed_target_share_at_10: float
    uncentered_residual_anisotropy: float | None = None
    paired_cosine: float | None = None
    recall_at_1: float | None = None
    recall_at_10: float | None = None
    reverse_recall_at_1: float | None = None
    reverse_recall_at_10: float | None = None
    mixed_recall_at_10: float | None = None
    reverse_mixed_recall_at_10: float | None = None
    raw_mixed_target_share_at_10: float | None = None
    raw_mixed_recall_at_10: float | None = None
    raw_reverse_mixed_recall_at_10: float | None = None
    label_transfer: float | None = None
    raw_label_transfer: float | None = None
    residual_spectrum_k: list[int] | None = None
    residual_spectrum: list[float] | None = None
    frame: str | None = None

    def __str__(self) -> str:
        return alignment_text(self.to_dict())


def geometry_consistency(source: Float[np.ndarray, "n d"], aligned: Float[np.ndarray, "n d"], seed: int = 0) -> float:
    """Ψ: Pearson correlation of {y_i·y_j} and {z_i·z_j} over pairs i < j; all pairs up to 5,000 rows."""
    i, j = row_pairs(len(source), seed)
    before, after = cosines_of_pairs(source, i, j), cosines_of_pairs(aligned, i, j)
    if min(before.std(), after.std()) < 1e-12:
        return 0.0  # all cosines alike: there is no geometry to keep
    return float(np.corrcoef(before, after)[0, 1])


def neighbour_consistency(source: Float[np.ndarray, "n d"], aligned: Float[np.ndarray, "n d"], k: int) -> float:
    """Ω_k: mean overlap of each row's k nearest neighbours before and after; in [0, 1]."""
    own = np.arange(len(source))
    before = neighbours(source, source, k, exclude=own)
    after = neighbours(aligned, aligned, k, exclude=own)
    # A neighbour found both times stands twice, side by side, among the 2k sorted ones.
    both = np.sort(np.concatenate([before, after], axis=1), axis=1)
    return float((both[:, 1:] == both[:, :-1]).sum() / before.size)


def residual_anisotropy_uncentered(target: Float[np.ndarray, "n d"], aligned: Float[np.ndarray, "n d"]) -> float:
    """Ar of the second moment, not centred, of x_i − z_i."""
    return anisotropy(_residual_eigenvalues(target, aligned))


def residual_spectrum(target: Float[np.ndarray, "n d"], aligned: Float[np.ndarray, "n d"]) -> dict[str, list]:
    """Eigenvalues of the second moment of x_i − z_i over their mean, and their ranks; nothing where none is left."""
    values = _residual_eigenvalues(target, aligned)
    if values.mean() <= 1e-12:
        return {}
    ranks = spaced_ranks(len(values))
    return {
        "residual_spectrum_k": ranks,
        "residual_spectrum": [float(values[k - 1] / values.mean()) for k in ranks],
    }


def _residual_eigenvalues(target: np.ndarray, aligned: np.ndarray) -> np.ndarray:
    residual = target - aligned
    return eigenvalues(residual.T @ residual / len(residual))


def alignment_metrics(
    source: Float[np.ndarray, "m d"],
    target: Float[np.ndarray, "n d"],
    aligned: Float[np.ndarray, "m d"],
    *,
    paired: bool = False,
    source_labels: Labels | None = None,
    target_labels: Labels | None = None,
    k: int | None = None,
    seed: int = 0,
) -> AlignmentReport:
    """Every metric of section 6 that the given information allows, for arrays of unit rows.

    Parameters
    ----------
    source, aligned : ndarray, shape (m, d)
        Y and Z = T(Y); row i of one belongs to row i of the other.
    target : ndarray, shape (n, d)
        X.
    paired : bool
        Row i of the source belongs to row i of the target.
    source_labels, target_labels : sequences, optional
        Both are needed for label transfer; with pairs one of them is enough.
    k : int, optional
        Neighbours; 20, or 10 below 500 rows a side.

    Examples
    --------
    >>> import numpy as np
    >>> from anisoalign.geometry import normalize
    >>> rows = normalize(np.random.default_rng(0).normal(size=(60, 8)))
    >>> report = alignment_metrics(rows, rows, rows, paired=True)
    >>> report.instance_consistency, report.recall_at_1, report.k
    (1.0, 1.0, 10)
    """
    k = default_k(len(source), len(target)) if k is None else k
    found = pool_neighbours(target, aligned, max(k, FIRST))
    report = {
        "rows_source": len(source),
        "rows_target": len(target),
        "k": k,
        "instance_consistency": float(np.einsum("ij,ij->i", source, aligned).mean()),
        "geometry_consistency": geometry_consistency(source, aligned, seed),
        "neighbour_consistency": neighbour_consistency(source, aligned, k),
        "centroid_gap": float(np.linalg.norm(aligned.mean(axis=0) - target.mean(axis=0))),
        **mixing_among(found[:, :k], len(target))._asdict(),
        **mixed_search(found, len(target), paired),
    }
    if paired:
        report |= paired_metrics(target, aligned)
        labels = source_labels if source_labels is not None else target_labels
        if labels is not None:
            for name, rows in (("label_transfer", aligned), ("raw_label_transfer", source)):
                report[name] = cross_fitted_label_transfer(rows, target, labels, seed=seed)
    elif source_labels is not None and target_labels is not None:
        check_labels_meet(source_labels, target_labels)
        for name, rows in (("label_transfer", aligned), ("raw_label_transfer", source)):
            report[name] = label_transfer(rows, source_labels, target, target_labels)
    return AlignmentReport(**report)


def paired_metrics(target: Float[np.ndarray, "n d"], aligned: Float[np.ndarray, "n d"]) -> dict[str, float]:
    """Metrics that need to know which target belongs to which aligned row."""
    own = np.arange(len(target))
    forward, backward = ranks_of(aligned, target, own), ranks_of(target, aligned, own)
    return {
        "uncentered_residual_anisotropy": residual_anisotropy_uncentered(target, aligned),
        "paired_cosine": float(np.einsum("ij,ij->i", target, aligned).mean()),
        "recall_at_1": float(np.mean(forward < 1)),
        "recall_at_10": float(np.mean(forward < 10)),
        "reverse_recall_at_1": float(np.mean(backward < 1)),
        "reverse_recall_at_10": float(np.mean(backward < 10)),
    }
