"""The section "In equations" of docs/how-anisoalign-works.md, in plain NumPy, gives the rows that AnisoAlign gives."""

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf_shrinkage

import anisoalign as aa

DIAL = (0.0, 0.2, 0.5, 1.0)
BOUND = 0.15
"""Short, so that it binds."""
ROUNDING = 16 * np.finfo(np.float64).eps


def norm(z):
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


def root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


def transport(t, s, x, amount, lacking):
    """A_t(S, a)."""
    d = len(s)
    values, vectors = np.linalg.eigh(x + s)
    kept = int((values > ROUNDING * (np.linalg.norm(s) + np.linalg.norm(x))).sum())
    q = vectors[:, ::-1][:, : min((d + 1) // 2, kept)]
    r, (inside_s, inside_x) = q.shape[1], (q.T @ m @ q for m in (s, x))
    shrunk_s, shrunk_x = ((1 - amount) * m + amount * np.trace(m) / r * np.eye(r) for m in (inside_s, inside_x))
    half = root(shrunk_s)
    back = np.linalg.inv(half)
    full = back @ root(half @ shrunk_x @ half) @ back
    scale = np.sqrt(np.trace(x) / np.trace(s))
    rest_s, rest_x = np.trace(s) - np.trace(inside_s), np.trace(x) - np.trace(inside_x)
    rest_s = (1 - lacking) * rest_s + lacking * (d - r) * np.trace(s) / d
    outside = np.sqrt(rest_x / rest_s) if min(rest_x, rest_s) > 1e-7 else scale
    inside = (1 - t) * scale * np.eye(r) + t * full
    return ((1 - t) * scale + t * outside) * (np.eye(d) - q @ q.T) + q @ inside @ q.T


def barycentres(z, x, k, balance):
    """b_i."""
    cosines = z @ x.T
    probes = cosines[:: max(1, len(z) // 512)]

    def perplexity(h):
        p = np.exp((probes - probes.max(axis=1, keepdims=True)) / h)
        p /= p.sum(axis=1, keepdims=True)
        return np.exp(-np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0).sum(axis=1).mean())

    low, high = 1e-4, 10.0
    for _ in range(40):
        h = np.sqrt(low * high)
        low, high = (low, h) if perplexity(h) > k else (h, high)
    kernel, g = np.exp((cosines - cosines.max(axis=1, keepdims=True)) / np.sqrt(low * high)), np.ones(len(x))
    for _ in range(50):
        g = (len(x) / len(z) * (kernel / (kernel @ g)[:, None]).sum(axis=0)) ** -balance
    return kernel * g / (kernel @ g)[:, None] @ x


def written_again(y, x, k):
    """From rows of sources and targets to the aligned rows of others, at a strength."""
    my, mx, sy, sx, d = y.mean(axis=0), x.mean(axis=0), np.cov(y.T, bias=True), np.cov(x.T, bias=True), y.shape[1]
    share = max(0.0, 1 - len(y) / len(x))

    def lacking(rows):
        return share and share * ledoit_wolf_shrinkage(rows)

    u, v = norm(my), norm(mx)
    across = norm(v - (u @ v) * u)
    plane, c = np.stack([u, across], axis=1), u @ v
    e = np.sqrt(1 - c * c)
    turn = np.eye(d) + plane @ np.array([[c - 1, -e], [e, c - 1]]) @ plane.T
    turned = turn @ sy @ turn.T

    def moved(rotation, amount):
        weight = transport(0.5, rotation @ sy @ rotation.T, sx, amount, lacking(y)) @ rotation
        shift = mx - norm(mx + (y - my) @ weight.T).mean(axis=0)
        return lambda rows: norm(norm(mx + (rows - my) @ weight.T) + shift)

    before = moved(turn, 0.3)
    z = before(y)
    b = barycentres(z, x, k, 0.5)
    first = (b - b.mean(axis=0)).T @ (y - my) @ turn.T
    second = transport(1.0, turned, sx, 0.1, lacking(y)) @ turned
    mixed = sum(m / np.linalg.norm(m, "nuc") for m in (first, second)) + np.eye(d) / d
    basis = np.linalg.svd(v[:, None])[0][:, 1:]
    left, _, right = np.linalg.svd(basis.T @ mixed @ basis)
    rotation = (np.outer(v, v) + basis @ left @ right @ basis.T) @ turn

    spread, zc = np.cov(z.T, bias=True), z - z.mean(axis=0)
    ridge = spread + np.trace(spread) / d * np.eye(d)
    w = np.linalg.solve(ridge, zc.T @ (b - b.mean(axis=0)) / len(z)).T
    offset = b.mean(axis=0) - w @ z.mean(axis=0)

    def guided(rows):
        step = 0.5 * (norm(rows @ w.T + offset) - rows)
        return norm(rows + step * np.minimum(1.0, BOUND / np.linalg.norm(step, axis=1, keepdims=True)))

    led = guided(z)
    restore = transport(0.6, np.cov(led.T, bias=True), sx, 0.3, lacking(led))
    scale = np.sqrt(np.trace(sx) / np.trace(sy))
    at = (
        lambda rows: norm(mx + scale * (rows - my)),
        lambda rows: norm(mx + scale * (rows - my) @ rotation.T),
        moved(rotation, 0.1),
        lambda rows: norm(mx + (guided(before(rows)) - led.mean(axis=0)) @ restore.T),
    )

    def blended(t, rows):
        last = int(np.searchsorted(DIAL[1:-1], t, side="right"))
        share = (t - DIAL[last]) / (DIAL[last + 1] - DIAL[last])
        return norm((1 - share) * at[last](rows) + share * at[last + 1](rows))

    return lambda t, rows: norm(blended(t, rows) - blended(t, y).mean(axis=0) + mx)


@pytest.mark.filterwarnings("ignore:.* rows for a frame of .* directions")
@pytest.mark.parametrize(("sources", "targets", "dim"), [(300, 260, 24), (90, 240, 24), (60, 60, 256)])
def test_the_equations_of_the_page_give_the_same_rows(make_planted, sources, targets, dim):
    rows = make_planted(sources + targets + 40, dim)
    noise = 0.2 / np.sqrt(dim) * np.random.default_rng(0).normal(size=(2, *rows.source.shape))
    source, target = norm(rows.source + noise[0]), norm(rows.target + noise[1])
    y, x, others = source[:sources], target[sources : sources + targets], source[-40:]
    equations = written_again(y, x, max(4, 0.02 * len(x)))
    model = aa.AnisoAlign(strength=1.0, rotation="full", guide_bound=BOUND, force=True).fit(y, x, dtype="float64")
    for t in (0.0, 0.1, 0.2, 0.4, 0.5, 0.8, 1.0):
        ours = (
            model.at_strength(t).calibrate(y, dtype="float64").transform(others, dtype="float64", out_dtype="float64")
        )
        assert np.abs(ours - equations(t, others)).max() < 1e-8, t
