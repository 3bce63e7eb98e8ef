"""A comparison's dials: each point is what a model of that strength would have got in the table."""

from collections.abc import Callable

import numpy as np
import pytest

import anisoalign as aa
from anisoalign.comparison import Comparison, MethodScores, compare_rows
from anisoalign.diagnostics.alignment import alignment_metrics

SEED, REPEATS = 6, 2
METRICS = ("geometry_consistency", "target_penetration", "target_coverage", "recall_at_10", "mixed_recall_at_10")


def parts(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of targets and of sources to fit on, and rows to test, by the protocol."""
    order = np.random.default_rng(seed).permutation(300)
    return order[:120], order[120:240], order[240:]


def at_every_strength(planted, family: Callable, strengths) -> dict[float, list[dict]]:
    """Metrics of the models that `family(sources, targets)` gives by strength, repeat by repeat."""
    y, x, _ = planted
    found: dict[float, list[dict]] = {strength: [] for strength in strengths}
    for seed in range(SEED, SEED + REPEATS):
        fit_x, fit_y, test = parts(seed)
        model_at = family(y[fit_y], x[fit_x])
        for strength, metrics in found.items():
            z = model_at(strength).transform(y[test], dtype="float64", out_dtype="float64")
            metrics.append(alignment_metrics(y[test], x[test], z, paired=True, seed=seed).to_dict())
    return found


def balanced(metrics: dict) -> float:
    kept, reached = metrics["geometry_consistency"], min(metrics["target_penetration"], metrics["target_coverage"], 1.0)
    return 2 * kept * reached / (kept + reached)


def transports(y, x):
    return lambda strength: aa.GaussianTransport(shrinkage=0.3, strength=strength).fit(y, x)


def aniso(y, x):
    fitted = aa.AnisoAlign(strength=0.9).fit(y, x)  # whose parts do not depend on the strength
    return lambda strength: fitted.at_strength(strength).calibrate(y)


@pytest.mark.parametrize(
    ("method", "family"),
    [("gaussian-transport:shrinkage=0.3,strength=0.6", transports), ("aniso-align:strength=0.6", aniso)],
    ids=["transport", "aniso-align"],
)
def test_a_point_of_the_dial_is_a_model_of_that_strength(planted, method, family):
    y, x, _ = planted
    result = compare_rows(y, x, paired=True, methods=[method], repeats=REPEATS, seed=SEED, dials=True)
    record = result.to_dicts()[0]
    strengths = record["dial_strength"]
    assert (strengths[0], strengths[-1]) == (0.0, 1.0)
    assert record["dial_repeats"] == REPEATS
    for place, (strength, repeats) in enumerate(at_every_strength(planted, family, strengths).items()):
        for metric in METRICS:
            expected = np.mean([metrics[metric] for metrics in repeats])
            assert record[f"dial_{metric}"][place] == pytest.approx(expected, rel=1e-9), (strength, metric)
        expected = np.mean([balanced(metrics) for metrics in repeats])
        assert record["dial_balance"][place] == pytest.approx(expected, rel=1e-9), strength
    assert record["dial_own_balance"] == pytest.approx(record["balance"])
    assert len(set(record["dial_geometry_consistency"])) == len(strengths) > 3  # turning it does something


def test_the_strength_used_is_the_one_that_the_fit_chose_or_was_told(planted):
    y, x, _ = planted
    methods = ["aniso-align", "aniso-align:strength=0.3", "gaussian-transport:strength=0.6"]
    chosen, named, other = compare_rows(y, x, methods=methods, repeats=1, seed=SEED).to_dicts()
    fit_x, fit_y, _ = parts(SEED)
    assert chosen["strength_used"] == aa.AnisoAlign().fit(y[fit_y], x[fit_x]).strength_
    assert chosen["strength_used"] not in (0.0, 0.3)
    assert chosen["strength_lowest"] == chosen["strength_highest"] == chosen["strength_used"]
    assert named["strength_used"] == 0.3
    assert "strength_lowest" not in named  # it was told, it did not choose
    assert "strength_used" not in other


def test_strengths_of_several_repeats_are_told_by_mean_and_range():
    entry = MethodScores("aniso-align", strengths=[0.4, 0.9, 0.5], chooses_strength=True)
    entry.add({"balance": 0.5})
    (record,) = Comparison([entry], {}).to_dicts()
    assert record["strength_used"] == pytest.approx(0.6)
    assert (record["strength_lowest"], record["strength_highest"]) == (0.4, 0.9)


def test_one_family_is_turned_once_whatever_strengths_are_asked_for(planted):
    y, x, _ = planted
    methods = ["gaussian-transport:strength=0.25", "gaussian-transport:strength=0.5", "gaussian-transport:rank=4"]
    records = compare_rows(y, x, methods=[*methods, "realign"], repeats=1, dials=True).to_dicts()
    assert ["dial_strength" in record for record in records] == [True, False, True, False]
