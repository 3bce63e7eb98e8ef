"""Small, thin and repetitive sets: finite unit rows where that means something, a clear error where not."""

import numpy as np
import pytest

import anisoalign as aa
from anisoalign.aligners import parse_method
from anisoalign.geometry import normalize


def cases():
    """Name -> source, target; widths and row numbers that users do try."""
    rng = np.random.default_rng(0)
    y, x = rng.normal(size=(60, 12)) + 0.5, rng.normal(size=(70, 12)) - 0.5
    constant_y, constant_x = y.copy(), x.copy()
    constant_y[:, 3], constant_x[:, 3] = 0.0, 0.0
    return {
        "fewer rows than dimensions": (y[:5], x[:4]),
        "two rows": (y[:2], x[:2]),
        "one row each": (y[:1], x[:1]),
        "one source row": (y[:1], x),
        "one target row": (y, x[:1]),
        "a coordinate that is always zero": (constant_y, constant_x),
        "zero in the source only": (constant_y, x),
        "duplicated rows": (np.repeat(y[:3], 20, axis=0), np.repeat(x[:4], 20, axis=0)),
        "one source row repeated": (np.repeat(y[:1], 30, axis=0), x),
        "all rows the same": (np.repeat(y[:1], 30, axis=0), np.repeat(x[:1], 30, axis=0)),
        "one dimension": (np.abs(y[:, :1]), -np.abs(x[:, :1])),
        "two dimensions": (y[:, :2], x[:, :2]),
    }


CASES = cases()


@pytest.mark.filterwarnings("ignore::anisoalign.aligners.anisoalign.premise.AlignmentWarning")
@pytest.mark.parametrize("case", CASES)
def test_every_method_gives_finite_unit_rows(method, case):
    source, target = CASES[case]
    z = method.fit(source, target).transform(source)
    assert np.isfinite(z).all()
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1.0, atol=1e-5)


@pytest.mark.filterwarnings("ignore::anisoalign.aligners.anisoalign.premise.AlignmentWarning")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "changes",
    [{}, {"terms": "init+guide+refine+prior+phase+support+structure", "initial": "transport", "support": "mmd"}],
    ids=["published", "all parts"],
)
def test_the_neural_stages_give_finite_unit_rows_or_say_what_they_need(case, changes):
    source, target = CASES[case]
    model = aa.AnisoAlign.paper(prior_steps=20, refine_steps=5, strength=1.0, **changes)
    if min(len(source), len(target)) < 2 or source.shape[1] < 2:
        with pytest.raises(aa.InputError, match=r"two rows a side at least|rows of one dimension have no blocks"):
            model.fit(source, target)
        return
    z = model.fit(source, target).transform(source)
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("rank", [None, 3, 0.9, 1.0])
@pytest.mark.parametrize("shrinkage", ["auto", 0.0, 1.0])
@pytest.mark.parametrize("case", CASES)
def test_transport_at_any_rank_and_shrinkage(case, rank, shrinkage):
    source, target = CASES[case]
    z = aa.GaussianTransport(rank=rank, shrinkage=shrinkage).fit(source, target).transform(source)
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_a_diagnosis_is_finite_or_refused(case, paired):
    source, target = CASES[case]
    rows = min(len(source), len(target)) if paired else None
    source, target = source[:rows], target[:rows]
    if min(len(source), len(target)) < 2:
        with pytest.raises(aa.InputError, match="has 1 row; a diagnosis needs at least two"):
            aa.diagnose(source, target, paired=paired)
        return
    if any(len(np.unique(np.round(aa.open_embeddings(s).read(), 12), axis=0)) == 1 for s in (source, target)):
        with pytest.raises(aa.InputError, match="rows are the same"):
            aa.diagnose(source, target, paired=paired)
        return
    report = aa.diagnose(source, target, paired=paired)
    for name, value in report.to_dict().items():
        assert np.isfinite(np.asarray(value, float)).all(), name
    assert len(report.verdict()) == 3


def test_the_overlap_is_undefined_beyond_the_rank(planted):
    y, x, _ = planted
    report = aa.diagnose(y[:5], x[:5], q=5)  # five rows span four directions about their mean
    assert report.subspace_overlap is None
    assert report.overlap_q == [1, 2, 4]
    assert "too few distinct rows" in report.verdict()[1]
    assert aa.diagnose(y[:5], x[:5], q=4).subspace_overlap is not None


def test_where_no_size_is_named_as_many_directions_are_compared_as_rows_span(make_planted):
    y, x, _ = make_planted(300, 64)
    few = y[np.arange(300) % 4]  # three directions about their mean, where six would be compared
    report = aa.diagnose(few, x)
    assert (report.q, report.subspace_overlap_q) == (6, 3)
    asked = aa.diagnose(few, x, q=3)
    for name in ("subspace_overlap", "subspace_overlap_chance", "subspace_overlap_p"):
        assert getattr(report, name) == getattr(asked, name)
    assert report.subspace_overlap_chance == 3 / 64
    assert "in 3, all that distinct rows span" in report.verdict()[1]
    assert aa.diagnose(y, x).subspace_overlap_q == 6


def test_a_size_that_was_named_and_is_beyond_the_rank_leaves_out_the_overlap_with_all_that_is_read_beside_it(planted):
    y, x, _ = planted
    record = aa.diagnose(y[:5], x[:5], q=5).to_dict()
    assert record["q"] == 5
    assert not [name for name in record if name.startswith("subspace_overlap")]


@pytest.mark.parametrize("q", [0, 17])
def test_a_subspace_beyond_the_width_is_refused(planted, q):
    with pytest.raises(aa.InputError, match="q must be between 1 and the width 16"):
        aa.diagnose(planted.source, planted.target, q=q)


def test_sets_that_do_not_belong_together_are_refused(planted):
    y, x, labels = planted
    with pytest.raises(aa.InputError, match="source has width 16, target has width 5"):
        aa.diagnose(y, x[:, :5])
    with pytest.raises(aa.InputError, match="pairs need as many rows"):
        aa.diagnose(y, x[:9], paired=True)
    with pytest.raises(aa.InputError, match="aligned has width 5"):
        aa.evaluate(y, x, y[:, :5])
    with pytest.raises(aa.InputError, match="aligned has 9 rows, source has 300"):
        aa.evaluate(y, x, y[:9])
    with pytest.raises(aa.InputError, match="pairs need as many rows"):
        aa.evaluate(y, x[:50], y, paired=True)
    with pytest.raises(aa.InputError, match="299 source labels for 300 source rows"):
        aa.evaluate(y, x, y, source_labels=labels[1:])
    with pytest.raises(aa.InputError, match="too few rows to evaluate: 5 source"):
        aa.evaluate(y[:5], x, y[:5])
    with pytest.raises(ValueError, match="dtype must be"):
        aa.diagnose(y, x, dtype="float8")


@pytest.mark.parametrize("missing", [None, float("nan"), np.float32("nan"), np.datetime64("NaT"), ""])
def test_a_label_that_is_missing_is_no_class_of_its_own(planted, missing):
    y, x, labels = planted
    some = [*labels[:7], missing, *labels[8:]]
    for measure in (aa.evaluate, lambda y, x, _, **more: aa.compare(y, x, target_labels=labels, **more)):
        with pytest.raises(aa.InputError, match=r"source labels, row 7: .* is no label; leave rows without one out"):
            measure(y, x, y, paired=True, source_labels=some)


def test_labels_that_name_single_rows_teach_no_classes(planted):
    y, x, _ = planted
    names = [f"row {i:03d}" for i in range(300)]
    said = r"the 300 source rows that are used have as many different ones \('row 000', 'row 001', ...\)"
    for paired in (True, False):
        with pytest.raises(aa.InputError, match=said):
            aa.evaluate(y, x, y, paired=paired, source_labels=names, target_labels=names)
    with pytest.raises(aa.InputError, match=said):
        aa.compare(y, x, source_labels=names, target_labels=names, methods=["identity"], repeats=1)
    shared = [i // 2 for i in range(300)]
    aa.evaluate(y, x, y, paired=True, source_labels=shared)


@pytest.mark.filterwarnings("ignore:.* source rows repeat another", "ignore:60 aligned and 80 target rows")
def test_evaluation_of_repeated_rows_is_finite():
    source, target = CASES["duplicated rows"]
    z = aa.ReAlign().fit(source, target).transform(source)
    for name, value in aa.evaluate(source, target, z).to_dict().items():
        assert np.isfinite(value), name


def test_a_set_collapsed_to_one_point_has_no_geometry(planted):
    y, x, _ = planted
    point = np.repeat(x[:1], len(y), axis=0)
    scores = aa.evaluate(y, x, point, paired=True)
    assert scores.geometry_consistency == 0.0
    assert scores.recall_at_1 == pytest.approx(1 / 300)


@pytest.mark.parametrize("dim", [2, 16, 77])
def test_rows_that_are_all_the_same_have_no_spread_not_less_than_none(dim):
    """Rounding takes 1 − ‖μ‖² below 0 for about every other row, and a root of that would be no number."""
    rng = np.random.default_rng(dim)
    y = rng.normal(size=(30, dim))
    for _ in range(20):
        x = np.repeat(rng.normal(size=(1, dim)), 7, axis=0)
        for source, target in ((y, x), (x, y)):
            assert np.isfinite(aa.ReAlign().fit(source, target).transform(source)).all()


@pytest.mark.filterwarnings("ignore::anisoalign.aligners.anisoalign.premise.AlignmentWarning")
@pytest.mark.parametrize("spread", [0.0, 1e-9])
@pytest.mark.parametrize(
    "spec",
    [
        "standardize",
        "whiten-color",
        "blockwise-covariance",
        "gaussian-transport:strength=0.5",
        "aniso-align:force=true,strength=0.5",
        "aniso-align:force=true,strength=1",
    ],
)
def test_a_source_of_one_row_over_and_over_is_not_told_apart_by_its_rounding(spec, spread):
    """What it varies by is rounding, and a map that makes as much of it as of the target's variance is noise."""
    rng = np.random.default_rng(0)
    row, target = normalize(rng.normal(size=(1, 16))), normalize(rng.normal(size=(80, 16)) + 1)
    source = np.repeat(row, 60, axis=0) + spread * rng.normal(size=(60, 16))
    model = parse_method(spec).fit(source, target)
    weights = [np.abs(value).max() for name, value in vars(model).items() if "weight" in name and value is not None]
    assert max(weights, default=0) < 1e6
    alone, together = (model.transform(rows, out_dtype="float64") for rows in (source[0], source))
    np.testing.assert_allclose(alone, together[0], atol=1e-12)
