"""What should lead a source towards its targets? Every candidate in AnisoAlign's place of the guide, same splits.

    python benchmarks/target_priors.py
    ANISOALIGN_DATA=DIR python benchmarks/target_priors.py

A candidate maps initialised rows to an estimate of their targets; half of the way is gone, the spread is restored and
the result is measured at two strengths. Writes target_priors.json and the table of ../docs/target-priors.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy.special import entr, softmax
from sklearn.cluster import KMeans

from anisoalign.aligners import AnisoAlign, ReAlign
from anisoalign.aligners.anisoalign.correction_fit import Turned, fit_initial, fit_restore
from anisoalign.aligners.anisoalign.coupling import bandwidth_for, coupling, regress
from anisoalign.aligners.gaussian_transport import Framed
from anisoalign.comparison.split import split
from anisoalign.comparison.table import REFERENCE
from anisoalign.geometry import normalize
from anisoalign.geometry.rotation import turn_between
from anisoalign.statistics import Moments
from protocol import (
    HERE,
    SCENES,
    Move,
    Part,
    Table,
    calibrated,
    markdown,
    parser,
    part_of,
    quiet,
    real,
    real_rows,
    rowwise,
    transforming,
    world_rows,
    write,
)

SHARES = (0.5, 1.0)
STEP = 0.5


def softmax_towards(points: np.ndarray, bandwidth: float) -> Move:
    """Mean-shift point of a von Mises–Fisher kernel density on `points`."""

    def estimate(rows: np.ndarray) -> np.ndarray:
        return normalize(coupling(rows, points, bandwidth, balance=0.0) @ points)

    return estimate


def regressed(rows: np.ndarray, estimates: np.ndarray) -> Move:
    """The regression of estimates on rows, onto the sphere."""
    weight, bias = regress(rows, estimates, 1.0)
    return lambda z: normalize(z @ weight.T + bias)


def linear(rows: np.ndarray, target: np.ndarray, bandwidth: float, balance: float = 0.5, keep: float = 0.0) -> Move:
    """The guide of the package where `keep` is 0; with more, what barycentres have beyond a share of the row."""
    barycentres = coupling(rows, target, bandwidth, balance) @ target
    weight, bias = regress(rows, barycentres - keep * rows, 1.0)
    return lambda z: normalize(z @ weight.T + bias + keep * z)


def twice(rows: np.ndarray, target: np.ndarray, bandwidth: float) -> Move:
    """Couple, move half way, couple again: the second estimate is a map of the moved rows."""
    first = linear(rows, target, bandwidth)

    def moved(z: np.ndarray) -> np.ndarray:
        return normalize((z + first(z)) / 2)

    second = linear(moved(rows), target, bandwidth)
    return lambda z: second(moved(z))


def wiener(target: np.ndarray, noise: float = 3.0) -> Move:
    """Tweedie's estimate under a Gaussian prior: second moments alone, no coupling."""
    mean = target.mean(axis=0)
    covariance = (target - mean).T @ (target - mean) / len(target)
    values, vectors = np.linalg.eigh(covariance)
    gain = (vectors * (values / (values + noise * values.mean()))) @ vectors.T
    return lambda z: normalize(mean + (z - mean) @ gain)


def in_canonical_directions(rows: np.ndarray, barycentres: np.ndarray, own: np.ndarray, target: np.ndarray) -> Move:
    """The coupling's regression with each canonical correlation replaced by that of the true pairs in its directions.

    Its directions are those of the whitened cross-covariance, with the regression's penalty on both sides. Needs
    pairs: no rule that shrinks or sharpens correlations can do better on the same directions.
    """
    (into_y, out_of_y), (into_x, out_of_x) = (whitening(side) for side in (rows, target))
    found, true = (into_y @ cross(rows, ends) @ into_x for ends in (barycentres, own))
    left, _, right = np.linalg.svd(found)
    mended = out_of_y @ (left * np.einsum("ij,ji->i", left.T @ true, right.T)) @ right @ out_of_x
    weight = (into_y @ into_y @ mended).T
    bias = barycentres.mean(axis=0) - weight @ rows.mean(axis=0)
    return lambda z: normalize(z @ weight.T + bias)


def cross(rows: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Cross-covariance of rows in step."""
    return (rows - rows.mean(axis=0)).T @ (ends - ends.mean(axis=0)) / len(rows)


def whitening(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse root and root of the covariance with its mean eigenvalue added."""
    values, vectors = np.linalg.eigh(cross(rows, rows))
    values = values + values.mean()
    return (vectors / np.sqrt(values)) @ vectors.T, (vectors * np.sqrt(values)) @ vectors.T


def denoiser(target: np.ndarray, variance: float, seed: int, steps: int = 600) -> Move:
    """A network trained on targets alone to undo Gaussian noise of the kernel's variance, residual and small."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        d = target.shape[1]
        net = torch.nn.Sequential(torch.nn.Linear(d, 256), torch.nn.SiLU(), torch.nn.Linear(256, d))
        rows = torch.from_numpy(target).float()
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2)
        for _ in range(steps):
            clean = rows[torch.randint(len(rows), (256,))]
            noisy = torch.nn.functional.normalize(clean + (variance / d**0.5) ** 0.5 * torch.randn_like(clean), dim=1)
            loss = (noisy + net(noisy) - clean).square().sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def estimate(z: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return normalize(z + net(torch.from_numpy(z).float()).double().numpy())

    return estimate


def oracle(rows: np.ndarray, own: np.ndarray, target: np.ndarray) -> Move:
    """The same regression, coupled by each source's own target: the ceiling of all that couple. Needs pairs."""
    h = bandwidth_for(own, target, max(4.0, 0.02 * len(target)))
    return regressed(rows, coupling(own, target, h, 0.0) @ target)


def by_label(rows: np.ndarray, target: np.ndarray, same: np.ndarray, otherwise: np.ndarray) -> Move:
    """The same regression, each source coupled evenly with the targets of its own class. Needs labels of both."""
    counts = same.sum(axis=1, keepdims=True)
    return regressed(rows, np.where(counts > 0, same / np.maximum(counts, 1), otherwise) @ target)


def by_residuals(rows: np.ndarray, target: np.ndarray, plan: np.ndarray, shrinkage: float, rounds: int) -> Move:
    """Couple again by the distance to the regression's estimate, in the metric of what it leaves unexplained.

    Expectation and maximisation of x = W y + c + noise of covariance S, shrunk; S from the plan before it.
    """
    wanted, d = max(4.0, 0.02 * len(target)), target.shape[1]
    for _ in range(rounds):
        barycentres = plan @ target
        weight, bias = regress(rows, barycentres, 1.0)
        estimate = rows @ weight.T + bias
        spread = (target.T * plan.sum(axis=0)) @ target - estimate.T @ barycentres - barycentres.T @ estimate
        spread = (spread + estimate.T @ estimate) / len(rows)
        spread = (1 - shrinkage) * spread + shrinkage * np.trace(spread) / d * np.eye(d)
        white = np.linalg.inv(np.linalg.cholesky(spread))
        a, b = estimate @ white.T, target @ white.T
        closeness = a @ b.T - (a**2).sum(axis=1)[:, None] / 2 - (b**2).sum(axis=1) / 2
        plan = softened(closeness, wanted)
    return regressed(rows, plan @ target)


def by_relations(rows: np.ndarray, target: np.ndarray, plan: np.ndarray, weight: float, rounds: int = 5) -> Move:
    """Couple again by cosines and by whether neighbours are coupled with neighbours: a fused Gromov–Wasserstein plan.

    With row-stochastic kernels K of 12 neighbours within either set, K_y P K_xᵀ is the gradient of its relational term;
    its logarithm and the cosine are each divided by their spread, and `weight` is that of the former.
    """
    wanted, cosines = max(4.0, 0.02 * len(target)), rows @ target.T
    kernels = []
    for side in (rows, target):
        near = side @ side.T
        np.fill_diagonal(near, -1e3)
        kernels.append(softened(near, 12.0))
    for _ in range(rounds):
        agreed = np.log(kernels[0] @ plan @ kernels[1].T + 1e-6)
        plan = softened(cosines / cosines.std() + weight * (agreed - agreed.mean()) / agreed.std(), wanted)
    return regressed(rows, plan @ target)


def by_leading_directions(rows: np.ndarray, target: np.ndarray, directions: int = 32) -> np.ndarray:
    """The plan by cosines of what is seen in the leading directions of both, about the targets' mean."""
    both = np.concatenate([rows - rows.mean(axis=0), target - target.mean(axis=0)])
    leading = np.linalg.svd(both, full_matrices=False)[2][:directions].T
    y, x = (normalize((side - target.mean(axis=0)) @ leading) for side in (rows, target))
    return coupling(y, x, bandwidth_for(y, x, max(4.0, 0.02 * len(x))), 0.5)


def both_ways(rows: np.ndarray, target: np.ndarray, plan: np.ndarray) -> np.ndarray:
    """The plan times that of targets with sources: what each finds in the other."""
    wanted = max(4.0, 0.02 * len(rows))
    agreed = plan * coupling(target, rows, bandwidth_for(target, rows, wanted), 0.5).T
    return agreed / agreed.sum(axis=1, keepdims=True)


def by_neighbours(rows: np.ndarray, barycentres: np.ndarray, neighbours: float = 8.0) -> Move:
    """The mean barycentre of a row's soft neighbours among sources: local where a regression is global."""
    h = bandwidth_for(rows, rows, neighbours)
    return lambda z: normalize(coupling(z, rows, h, 0.0) @ barycentres)


def kernel_regressed(rows: np.ndarray, barycentres: np.ndarray, neighbours: float = 8.0) -> Move:
    """Ridge regression in a von Mises–Fisher kernel twice as wide as that of as many neighbours."""
    h, mean = 2 * bandwidth_for(rows, rows, neighbours), barycentres.mean(axis=0)

    def kernel(z: np.ndarray) -> np.ndarray:
        return np.exp((z @ rows.T - 1) / h)

    gram = kernel(rows)
    penalty = np.trace(gram) / len(gram)
    weight = np.linalg.solve(gram + penalty * np.eye(len(gram)), barycentres - mean)
    return lambda z: normalize(mean + kernel(z) @ weight)


def softened(closeness: np.ndarray, wanted: float) -> np.ndarray:
    """Rows of a softmax whose perplexity is `wanted` in the mean."""
    low, high = 1e-4, 1e4
    plan = closeness
    for _ in range(50):
        width = (low * high) ** 0.5
        plan = softmax(closeness / width, axis=1)
        perplexity = np.exp(entr(plan).sum(axis=1).mean())
        low, high = (low, width) if perplexity > wanted else (width, high)
    return plan


def candidates(rows: np.ndarray, rotated: np.ndarray, own: np.ndarray, part: Part) -> Iterator[tuple[str, Move | None]]:
    """Names and maps, from rows turned and transported; `own`, the targets of these rows, is for oracles alone."""
    target, seed = part.fit_x, part.seed
    h = bandwidth_for(rows, target, max(4.0, 0.02 * len(target)))
    yield "none", None
    for keep in (0.0, 0.25, 0.5, 1.0):
        yield f"coupled, linear, keep {keep:g}", linear(rows, target, h, keep=keep)
    again = coupling(rotated, target, bandwidth_for(rotated, target, max(4.0, 0.02 * len(target))), 0.5) @ target
    yield "coupled after the rotation", regressed(rows, again)
    yield "unbalanced", linear(rows, target, h, 0.0)
    yield "balanced", linear(rows, target, h, 1.0)
    yield "neighbours × 5", linear(rows, target, bandwidth_for(rows, target, 0.1 * len(target)))
    by_cosine = coupling(part.fit_y, target, bandwidth_for(part.fit_y, target, max(4.0, 0.02 * len(target))), 0.5)
    yield "coupled by raw cosines", regressed(rows, by_cosine @ target)
    yield "coupled twice", twice(rows, target, h)
    plan = coupling(rows, target, h, 0.5)
    yield "coupled by residuals", by_residuals(rows, target, plan, 0.9, 1)
    yield "coupled by residuals, three rounds", by_residuals(rows, target, plan, 0.5, 3)
    for weight in (0.3, 1.0):
        yield f"coupled by relations, weight {weight:g}", by_relations(rows, target, plan, weight)
    yield "coupled where both agree", regressed(rows, both_ways(rows, target, plan) @ target)
    shared = coupling(rows, rows, bandwidth_for(rows, rows, 8.0), 0.0) @ plan @ target
    yield "coupled, shared by neighbours", regressed(rows, shared)
    yield "coupled, mean of neighbours", by_neighbours(rows, plan @ target)
    yield "coupled, kernel regression", kernel_regressed(rows, plan @ target)
    yield "neighbours among sources alone", softmax_towards(rows, bandwidth_for(rows, rows, 8.0))
    yield "kernel on all targets", softmax_towards(target, h)
    few = KMeans(max(2, len(target) // 4), n_init="auto", random_state=seed).fit(target).cluster_centers_
    few = normalize(few)
    yield "kernel on prototypes", softmax_towards(few, h)
    for wanted in (4.0, 8.0):
        plan_to_few = coupling(rows, few, bandwidth_for(rows, few, max(wanted, 0.02 * len(few))), 0.5)
        yield f"coupled with prototypes, {wanted:g} of them", regressed(rows, plan_to_few @ few)
    yield "coupled by leading directions", regressed(rows, by_leading_directions(rows, target) @ target)
    yield "Gaussian prior (Wiener)", wiener(target)
    yield "learned denoiser", denoiser(target, h, seed)
    yield "oracle coupling (pairs)", oracle(rows, own, target)
    if part.fit_y_labels is not None and part.fit_x_labels is not None:
        same = part.fit_y_labels[:, None] == part.fit_x_labels
        yield "oracle coupling (labels)", by_label(rows, target, same, plan)
    yield "oracle correlations (pairs)", in_canonical_directions(rows, plan @ target, own, target)
    yield "oracle regression (pairs)", regressed(rows, own)


def maps(part: Part, own: np.ndarray) -> dict[str, Move]:
    """Every candidate at every strength, calibrated, as a function of unit source rows."""
    moments_y = Moments.empty(part.fit_y.shape[1]).update(part.fit_y)
    moments_x = Moments.empty(part.fit_x.shape[1]).update(part.fit_x)
    turn, rows = turn_between(moments_y.mean, moments_x.mean), torch.from_numpy(part.fit_y)
    transported = AnisoAlign(terms="init", strength=1.0, force=True).fit(part.fit_y, part.fit_x)
    station = rowwise(transported.correction().at(1.0, torch.float64))
    turned = Turned.by(turn, moments_y, moments_x, None)
    first = rowwise(fit_initial(turned, rows, 0.3, 0.5).at(torch.float64))
    found = {REFERENCE: transforming(ReAlign().fit(part.fit_y, part.fit_x))}
    z = first(part.fit_y)
    for name, estimate in candidates(z, station(part.fit_y), own, part):
        full = station if estimate is None else led(first, estimate, z, moments_x)
        for share in SHARES:
            found[f"{name} @ {share:g}"] = calibrated(between(station, full, share), part)
    return found


def between(first: Move, full: Move, share: float) -> Move:
    """A share of the way from transported rows to guided ones."""
    return lambda rows: normalize((1 - share) * first(rows) + share * full(rows))


def led(first: Move, estimate: Move, z: np.ndarray, moments_x: Moments) -> Move:
    """Initialised, moved part of the way towards the estimate, its spread restored."""

    def moved(rows: np.ndarray) -> np.ndarray:
        return normalize((1 - STEP) * rows + STEP * estimate(rows))

    now = Moments.empty(z.shape[1]).update(moved(z))
    restore = rowwise(fit_restore(Framed.by(now, moments_x, None), 0.3, 0.6).at(torch.float64))
    return lambda rows: restore(moved(first(rows)))


def parts(name: str) -> Iterator[tuple[Part, np.ndarray]]:
    """Repeats of a set, each with the targets that belong to its fit sources."""
    if name == "world":
        for repeat in range(3):
            y, x, labels = world_rows(3_000, SCENES + 50 + repeat)
            yield part_of(y, x, labels, repeat), x[split(len(y), len(x), repeat).fit_source]
        return
    for part in real(name, 20):
        x = real_rows(name)[1]
        yield part, x[split(len(x), len(x), part.seed).fit_source]


def main() -> None:
    """Measure, write JSON and the page's tables."""
    parser(__doc__).parse_args()
    quiet()
    records, tables = {}, []
    for name in ("world", "fashion_clip", "coco_clip"):
        table = Table()
        for part, own in parts(name):
            table.add(part, maps(part, own))
        if table.repeats:
            records[name] = table.records()
            tables.append(f"## {name}, {table.repeats} splits\n\n{markdown(table, 'guide @ share of the way')}")
            print(tables[-1], flush=True)
    write("target_priors", records)
    page = HERE.parent / "docs" / "target-priors.md"
    head = page.read_text().split("<!-- tables -->")[0] if page.is_file() else ""
    page.write_text(head + "<!-- tables -->\n\n" + "\n\n".join(tables) + "\n")


if __name__ == "__main__":
    main()
