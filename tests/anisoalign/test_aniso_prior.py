"""Stage I: the potential and its drift, the wrapped score, and a prior that knows couplings and nothing else."""

from dataclasses import replace

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from anisoalign.aligners.anisoalign.potential import build_potential
from anisoalign.aligners.anisoalign.run import Run
from anisoalign.aligners.anisoalign.score_prior import PriorSettings, ScorePrior, prior_loss, train_score_prior
from anisoalign.aligners.anisoalign.together import Together
from anisoalign.aligners.anisoalign.wrapped import wrapped_score
from anisoalign.embeddings import InputError
from anisoalign.geometry import to_polar, wrap
from anisoalign.statistics.phases import PhaseStatistics

SEEDS = st.integers(0, 2**32 - 1)
SMALL = PriorSettings(width=64, steps=300, batch=256, look_every=50)


def measured(phase):
    return PhaseStatistics.empty(phase.shape[1]).update(torch.ones_like(phase), phase)


def coupled_phases(n, m, seed=0):
    """Phases uniform each by itself, but all of a row close together."""
    generator = torch.Generator().manual_seed(seed)
    common = 2 * torch.pi * torch.rand(n, 1, generator=generator)
    return wrap(common + 0.3 * torch.randn(n, m, generator=generator))


def train(phase, seed=0, **more):
    potential = build_potential(measured(phase), 3, True, False)
    return train_score_prior(phase, torch.zeros_like(phase), potential, SMALL, seed, **more)


@given(SEEDS, st.integers(2, 7), st.integers(0, 8), st.booleans(), st.booleans())
def test_the_drift_is_the_gradient_of_the_potential_and_lipschitz(seed, m, p, centred, normalised):
    rng = np.random.default_rng(seed)
    stats = PhaseStatistics.empty(m).update(*to_polar(torch.from_numpy(rng.normal(size=(40, 2 * m)) + 0.5)))
    potential = build_potential(stats, p, centred, normalised)
    phase = torch.from_numpy(rng.uniform(-np.pi, np.pi, (3, m)))
    step = 1e-5
    for k in range(m):
        ahead, back = phase.clone(), phase.clone()
        ahead[:, k] += step
        back[:, k] -= step
        slope = (potential(ahead) - potential(back)) / (2 * step)
        torch.testing.assert_close(potential.drift(phase)[:, k], slope, rtol=0, atol=1e-9)
    other = phase + torch.from_numpy(rng.normal(size=phase.shape)) * 0.3
    change = (potential.drift(phase) - potential.drift(other)).norm(dim=1)
    assert bool((change <= potential.lipschitz * (phase - other).norm(dim=1) + 1e-12).all())
    # A step of 1/L does not climb.
    assert bool((potential(potential.drifted(phase, 1 / potential.lipschitz)) <= potential(phase) + 1e-12).all())


def test_edges_are_the_union_of_each_blocks_strongest_couplings():
    stats = measured(coupled_phases(200, 6).double())
    for p in (0, 1, 3, 5, 9):
        potential = build_potential(stats, p, False, False)
        size = np.abs(stats.coupling(False)) - 2 * np.eye(6)
        chosen = {
            (min(k, int(other)), max(k, int(other))) for k in range(6) for other in np.argsort(-size[k])[: min(p, 5)]
        }
        assert {tuple(edge) for edge in potential.edges.tolist()} == chosen
        for (k, other), strength, offset in zip(
            potential.edges.tolist(), potential.strength.tolist(), potential.offset.tolist(), strict=True
        ):
            assert strength * np.exp(1j * offset) == pytest.approx(stats.coupling(False)[k, other])


def exact_score(delta, variance):
    """As a sum over windings in 40 digits."""
    with mpmath.workdps(40):
        delta, variance = mpmath.mpf(delta), mpmath.mpf(variance)
        reach = int(10 * mpmath.sqrt(variance) / (2 * mpmath.pi)) + 6
        shifted = [delta + 2 * mpmath.pi * j for j in range(-reach, reach + 1)]
        nearest = min(abs(s) for s in shifted) ** 2
        shares = [mpmath.exp((nearest - s * s) / (2 * variance)) for s in shifted]
        total = mpmath.fsum(shares)
        return float(-mpmath.fsum(w * s for w, s in zip(shares, shifted, strict=True)) / total / variance)


@pytest.mark.parametrize("variance", [1e-4, 1e-3, 1e-2, 0.3, 1.0, 2.99, 3.01, 10.0, 100.0])
def test_the_score_of_the_wrapped_gaussian_is_that_of_the_sum_over_windings(variance):
    delta = np.concatenate([np.linspace(-np.pi, np.pi, 24, endpoint=False), [1e-7, np.pi - 1e-3, np.pi - 1e-6]])
    scores = [exact_score(d, variance) for d in delta]
    delta, variances = torch.from_numpy(delta), torch.full((len(delta),), variance, dtype=torch.float64)
    # Opposite the mean two windings cancel, by exponents as large as π² / 2v whose rounding then shows: below
    # v = 0.01 (the smallest of the default schedule is 0.005) digits are lost there as 1 / v².
    error = 1e-12 * max(1.0, 1e-2 / variance) ** 2
    np.testing.assert_allclose(wrapped_score(delta, variances), scores, rtol=0, atol=error * np.pi / variance)


def test_the_prior_beats_the_best_score_without_a_network_where_phases_are_coupled_and_only_there():
    phase = coupled_phases(2000, 8)
    _, history = train(phase)
    assert min(loss for _, loss in history.held) < 0.8 * history.baseline - 2 * history.error
    generator = torch.Generator().manual_seed(5)
    shuffled = torch.stack([c[torch.randperm(len(c), generator=generator)] for c in phase.T], dim=1)
    _, history = train(shuffled)
    assert min(loss for _, loss in history.held) > max(0.97 * history.baseline, history.baseline - 2 * history.error)


def test_the_error_of_the_priors_lead_is_how_much_it_changes_with_the_rows_held_out():
    """Of eight sets the lead over held-out rows varies by as much as the error of each says."""
    phase, leads, errors = coupled_phases(8 * 400, 4), [], []
    for part in phase.split(400):
        potential = build_potential(measured(phase), 3, True, False)
        quick = replace(SMALL, steps=1, held=0.5, look_every=1)
        _, history = train_score_prior(part, torch.zeros_like(part), potential, quick, len(leads))
        leads.append(history.baseline - history.held[0][1])
        errors.append(history.error)
    assert 0.5 < np.std(leads, ddof=1) / np.mean(errors) < 2


def test_the_prior_is_frozen_and_the_same_for_the_same_seed():
    phase = coupled_phases(300, 4)
    (first, _), (second, _), (other, _) = train(phase, 1), train(phase, 1), train(phase, 2)
    assert not any(p.requires_grad for p in first.parameters())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_training_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    train(coupled_phases(100, 3))
    assert torch.equal(torch.get_rng_state(), state)


def test_first_weights_are_those_that_torch_draws_from_the_seed():
    """To the last bit, so that a seed is the same model as before they had a generator of their own."""
    torch.manual_seed(7)
    expected, generator = [torch.nn.Linear(14, 64), torch.nn.Linear(64, 64)], torch.Generator().manual_seed(7)
    for ours, theirs in zip(ScorePrior(4, SMALL, generator).body[:3:2], expected, strict=True):
        assert torch.equal(ours.weight, theirs.weight)
        assert torch.equal(ours.bias, theirs.bias)


def test_a_training_that_was_interrupted_ends_like_one_that_was_not(tmp_path):
    phase, file = coupled_phases(300, 4), tmp_path / "prior.ckpt"

    def stop(_stage, step, _steps):
        if step == 130:
            raise KeyboardInterrupt

    straight, history = train(phase)
    with pytest.raises(KeyboardInterrupt):
        train(phase, checkpoint=file, progress=stop)
    assert file.exists()
    resumed, again = train(phase, checkpoint=file)
    assert again.held == history.held
    for name, value in straight.state_dict().items():
        assert value.numpy().tobytes() == resumed.state_dict()[name].numpy().tobytes()


def test_prior_matching_pulls_on_phases_and_radii_through_the_frozen_score():
    torch.manual_seed(0)
    phase = coupled_phases(300, 4)
    prior, _ = train(phase)
    # A trained score depends on log radius only where targets' does: a random one shows the path of the gradient.
    random = ScorePrior(4, SMALL)
    for p in random.parameters():
        torch.nn.init.normal_(p, std=0.3)
    for score in (prior, random.requires_grad_(False)):
        score.zero_grad()  # of its own training
        angle, logs = phase[:50].clone().requires_grad_(True), torch.zeros(50, 4, requires_grad=True)
        potential = build_potential(measured(phase), 3, True, False).to(phase)
        prior_loss(score, angle, logs, potential, torch.Generator().manual_seed(0)).backward()
        assert angle.grad is not None
        assert logs.grad is not None
        assert angle.grad.abs().max() > 1e-6
        assert logs.grad.abs().max() > 1e-6
        assert all(p.grad is None for p in score.parameters())


def test_a_state_of_another_potential_is_not_taken_up(tmp_path):
    phase = coupled_phases(400, 6)

    def stop(stage, step, total):
        if step == 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(phase, checkpoint=tmp_path / "state", progress=stop)
    other = build_potential(measured(phase), 1, False, False)
    logs = torch.zeros_like(phase)
    prior, _ = train_score_prior(phase, logs, other, SMALL, 0, tmp_path / "state")
    fresh, _ = train_score_prior(phase, logs, other, SMALL, 0)
    for ours, theirs in zip(prior.parameters(), fresh.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("content", [b"", b"garbage" * 40, None])
def test_a_damaged_state_is_refused_by_its_name(tmp_path, content):
    phase, state = coupled_phases(400, 6), tmp_path / "state"
    train(phase, checkpoint=state)
    state.write_bytes(state.read_bytes()[:-50] if content is None else content)
    with pytest.raises(InputError, match="state, the state of an interrupted training, is damaged"):
        train(phase, checkpoint=state)


def test_the_first_process_decides_for_all_what_is_taken_up(tmp_path):
    """Where processors differ in last bits the keys of processes differ; all must go on from the same step."""

    class Process(Together):
        told = None

        def __init__(self, rank):
            self.rank, self.size = rank, 2

        def agreed(self, value):
            Process.told = value if self.rank == 0 else Process.told
            return Process.told

    def run(seed):
        torch.manual_seed(seed)
        module = torch.nn.Linear(2, 1)
        return Run(module, torch.optim.AdamW(module.parameters()), torch.Generator().manual_seed(seed))

    first = run(0)
    first.descend(first.module(torch.ones(1, 2)).sum(), Together())
    first.write(tmp_path / "state", "key")
    for rank, key in ((0, "key"), (1, "another")):
        again = run(1)
        again.resume(tmp_path / "state", key, Process(rank))
        assert again.step == 1
        assert torch.equal(again.module.weight, first.module.weight)
    (tmp_path / "state").write_bytes(b"damaged")
    for rank in (0, 1):
        with pytest.raises(InputError, match="is damaged"):
            run(1).resume(tmp_path / "state", "key", Process(rank))
