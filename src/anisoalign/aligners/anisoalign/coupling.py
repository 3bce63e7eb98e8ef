"""Which targets a source speaks of, without pairs: an entropic coupling of unpaired rows."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

FEWEST = 4
"""Neighbours that a source is spread over at least, however small the sample."""
BISECTIONS = 40
"""Halvings of the range in which the bandwidth is sought: down to the last digits of it."""
ROUNDS = 50
"""Sinkhorn iterations."""
COUPLED_ROWS = 4096
"""Rows a side that are coupled: the plan has that number squared of entries (134 MB in float64)."""
PROBES = 512
"""Rows on which the bandwidth is sought; a mean of that many entropies is exact enough."""


def bandwidth_for(source: Float[np.ndarray, "n d"], target: Float[np.ndarray, "m d"], neighbours: float) -> float:
    """H at which the soft nearest neighbours of a source row are `neighbours` in number, by perplexity.

    Perplexity exp(mean entropy of softmax_j(z·x_j / h)) grows with h, so bisection finds it. It makes one setting
    fit encoders whose cosines spread differently.

    Examples
    --------
    >>> import numpy as np
    >>> bandwidth_for(np.eye(4), np.eye(4), 2.0) < bandwidth_for(np.eye(4), np.eye(4), 3.0)
    True
    """
    cosines = source[:: max(1, len(source) // PROBES)] @ target.T
    low, high = 1e-4, 10.0
    for _ in range(BISECTIONS):
        middle = float(np.sqrt(low * high))
        if np.exp(_entropy(cosines / middle)) > neighbours:
            high = middle
        else:
            low = middle
    return float(np.sqrt(low * high))


def coupling(
    source: Float[np.ndarray, "n d"], target: Float[np.ndarray, "m d"], bandwidth: float, balance: float
) -> Float[np.ndarray, "n m"]:
    """Rows P_i· ∝ exp(z_i·x_j / h + g_j), each summing to one, with g from semi-unbalanced Sinkhorn iterations.

    With g = 0 this is the posterior of a von Mises–Fisher kernel density on the targets, and P X Tweedie's estimate
    for Gaussian noise of variance h. The potentials g raise targets that few sources find and lower hubs: `balance`
    is the damping of a marginal relaxed by ρ·KL (Chizat et al. 2018).

    Parameters
    ----------
    source, target : ndarray, shapes (n, d) and (m, d), unit rows
    bandwidth : float
        h, in units of cosine.
    balance : float
        ρ / (ρ + h) in [0, 1], for a penalty ρ on unequal use of targets: 0 leaves each source to itself, 1 is full
        balance.
    """
    kernel = source @ target.T
    kernel -= kernel.max(axis=1, keepdims=True)
    kernel /= bandwidth
    np.exp(kernel, out=kernel)
    raised = np.ones(len(target))
    for _ in range(ROUNDS if balance > 0 else 0):
        used = (kernel.T @ (1.0 / (kernel @ raised))) * len(target) / len(source)
        raised = np.maximum(used, np.finfo(np.float64).tiny) ** -balance
    kernel *= raised
    kernel /= kernel.sum(axis=1, keepdims=True)
    return kernel


def regress(
    source: Float[np.ndarray, "n d"], barycentres: Float[np.ndarray, "n d"], ridge: float
) -> tuple[Float[np.ndarray, "d d"], Float[np.ndarray, " d"]]:
    """Ridge regression b ≈ W z + c; the penalty is `ridge` times the mean eigenvalue of the covariance of z.

    Linear on purpose: it averages the coupling over all rows, moves neighbours together and leaves a map of O(d²)
    numbers in place of the rows.
    """
    mean_z, mean_b = source.mean(axis=0), barycentres.mean(axis=0)
    centred = source - mean_z
    covariance = centred.T @ centred / len(source)
    penalty = max(ridge * float(np.trace(covariance)) / len(covariance), np.finfo(np.float64).tiny)
    cross = centred.T @ (barycentres - mean_b) / len(source)
    weight = np.linalg.solve(covariance + penalty * np.eye(len(covariance)), cross).T
    return weight, mean_b - weight @ mean_z


def _entropy(logits: np.ndarray) -> float:
    logits = logits - logits.max(axis=1, keepdims=True)
    weights = np.exp(logits)
    total = weights.sum(axis=1)
    return float(np.mean(np.log(total) - (weights * logits).sum(axis=1) / total))
