"""The potential of target phases is the one of the paper, and lies low where blocks stand as the targets' do."""

import itertools

import numpy as np
import pytest
import torch

from anisoalign.aligners.anisoalign.potential import build_potential
from anisoalign.geometry import wrap
from anisoalign.statistics.phases import PhaseStatistics

OFFSET = np.array([0.4, 1.6, -2.0, 2.7, -0.9])
"""Where blocks stand, all far from zero and from each other, so that a sign cannot be lost."""
FORMS = list(itertools.product((False, True), (False, True)))


def built(radius, phase, p, centred, normalised):
    stats = PhaseStatistics.empty(phase.shape[1]).update(torch.from_numpy(radius), wrap(torch.from_numpy(phase)))
    return build_potential(stats, p, centred, normalised)


def transcribed(radius, phase, p, centred, normalised):
    """Ψ and ∇Ψ of one row, and L, term by term as they are printed."""
    blocks = range(phase.shape[1])
    first = [np.exp(1j * phase[:, k]).mean() for k in blocks]
    energy = [(radius[:, k] ** 2).mean() for k in blocks]
    coupling = {}
    for k, j in itertools.permutations(blocks, 2):
        coupling[k, j] = np.exp(1j * (phase[:, k] - phase[:, j])).mean()
        if centred:
            coupling[k, j] -= first[k] * first[j].conjugate()
    near = {k: set() for k in blocks}
    for k in blocks:
        for j in sorted(set(blocks) - {k}, key=lambda j, k=k: -abs(coupling[k, j]))[:p]:
            near[k].add(j)
            near[j].add(k)
    weight = [energy[k] / sum(energy) for k in blocks]
    strength = {
        (k, j): abs(coupling[k, j]) / (np.sqrt(len(near[k]) * len(near[j])) if normalised else 1)
        for k in blocks
        for j in near[k]
    }

    def potential(row):
        alone = sum(weight[k] * (1 - np.cos(row[k] - np.angle(first[k]))) for k in blocks)
        return alone + sum(
            size * (1 - np.cos(row[k] - row[j] - np.angle(coupling[k, j])))
            for (k, j), size in strength.items()
            if k < j
        )

    def slope(row):
        return [
            weight[k] * np.sin(row[k] - np.angle(first[k]))
            + sum(strength[k, j] * np.sin(row[k] - row[j] - np.angle(coupling[k, j])) for j in near[k])
            for k in blocks
        ]

    return potential, slope, max(weight[k] + 2 * sum(strength[k, j] for j in near[k]) for k in blocks)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize(("centred", "normalised"), FORMS)
def test_it_is_what_the_paper_prints_term_by_term(p, centred, normalised):
    rng = np.random.default_rng(0)
    together = rng.normal(size=(60, 1)) * [1.0, 0.2, 0.7, 0.9, 0.4]  # some blocks go together more than others
    phase = OFFSET + together + 0.5 * rng.normal(size=(60, 5))
    radius = rng.gamma(4.0, size=(60, 5)) * [5.0, 1.0, 2.0, 0.5, 3.0]
    ours = built(radius, phase, p, centred, normalised)
    potential, slope, lipschitz = transcribed(radius, phase, p, centred, normalised)
    rows = rng.uniform(-np.pi, np.pi, (20, 5))
    np.testing.assert_allclose(ours(torch.from_numpy(rows)), [potential(row) for row in rows], rtol=1e-12)
    np.testing.assert_allclose(ours.drift(torch.from_numpy(rows)), [slope(row) for row in rows], rtol=0, atol=1e-12)
    assert ours.lipschitz == pytest.approx(lipschitz, rel=1e-12)


def standing(sign, seed, noise):
    """Rows turned as a whole any way, in which each block stands off by its offset, or the other way."""
    rng = np.random.default_rng(seed)
    turned = rng.uniform(-np.pi, np.pi, (500, 1))
    return turned + sign * OFFSET + noise * rng.normal(size=(500, 5))


@pytest.mark.parametrize(("centred", "normalised"), FORMS)
def test_blocks_that_stand_apart_as_the_targets_do_lie_low_and_feel_no_pull_of_each_other(centred, normalised):
    potential = built(np.ones((500, 5)), standing(1, 0, 0.2), 2, centred, normalised)
    alike, mirrored = (torch.from_numpy(standing(sign, 1, 0.0)) for sign in (1, -1))
    assert float((potential(mirrored) - potential(alike)).mean()) > 0.5
    anchors = [potential.weight * torch.sin(rows - potential.anchor) for rows in (alike, mirrored)]
    pull, against = (potential.drift(rows) - alone for rows, alone in zip((alike, mirrored), anchors, strict=True))
    assert float(pull.abs().max()) < 0.1
    assert float(against.abs().max()) > 0.3


@pytest.mark.parametrize(("centred", "normalised"), FORMS)
def test_it_is_least_where_the_targets_phases_are_and_the_drift_rests_there(centred, normalised):
    rng = np.random.default_rng(0)
    potential = built(np.ones((500, 5)), OFFSET + 0.1 * rng.normal(size=(500, 5)), 2, centred, normalised)
    there = torch.from_numpy(OFFSET[None])
    assert float(potential.drift(there).abs().max()) < 0.1
    others = torch.from_numpy(rng.uniform(-np.pi, np.pi, (300, 5)))
    assert float(potential(there)) < float(potential(others).min())
    assert float(potential(there)) + 0.5 < float(potential(-there))
    assert float((potential(potential.drifted(others, 0.1)) - potential(others)).max()) < 0
