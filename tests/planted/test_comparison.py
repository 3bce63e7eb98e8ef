"""The comparison: its protocol, its marks and `closed`, worked out by hand."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import anisoalign as aa
from anisoalign.aligners import parse_method
from anisoalign.aligners.anisoalign.premise import PremiseError
from anisoalign.comparison import (
    DEFAULT_METHODS,
    Comparison,
    MethodScores,
    compare,
    compare_rows,
    split,
    split_by_item,
    split_in_step,
)
from anisoalign.comparison.comparing import read_in_step
from anisoalign.comparison.items import items_by_ids, items_of
from anisoalign.comparison.repeat import Repeat
from anisoalign.diagnostics.alignment import alignment_metrics
from anisoalign.diagnostics.label_transfer import as_text, cross_fitted_label_transfer, label_transfer
from anisoalign.embeddings import EmbeddingSet
from anisoalign.embeddings.formats.memory import MemorySource
from anisoalign.geometry import normalize
from anisoalign.report import comparison_markdown, comparison_table
from anisoalign.report.listings import methods_table


@given(st.integers(50, 400), st.integers(0, 2**32 - 1))
def test_the_parts_are_disjoint_and_in_proportion(rows, seed):
    part = split_in_step(rows, seed)
    together = np.concatenate([part.fit_target, part.fit_source, part.test_target])
    assert sorted(together) == list(range(rows))
    np.testing.assert_array_equal(part.test_target, part.test_source)  # the same items, in step
    assert abs(len(part.fit_target) - 0.4 * rows) <= 1
    assert abs(len(part.fit_source) - 0.4 * rows) <= 1
    # The protocol's permutation, and none other.
    np.testing.assert_array_equal(together, np.random.default_rng(seed).permutation(rows))


@given(st.integers(50, 300), st.integers(50, 300), st.integers(0, 2**32 - 1))
def test_unequal_sets_are_split_apart(source, target, seed):
    part = split(source, target, seed)
    if source == target:
        assert not set(part.fit_target) & set(part.fit_source)
        return
    assert sorted([*part.fit_source, *part.test_source]) == list(range(source))
    assert sorted([*part.fit_target, *part.test_target]) == list(range(target))
    assert abs(len(part.test_source) - 0.2 * source) <= 1
    assert abs(len(part.test_target) - 0.2 * target) <= 1


@pytest.fixture
def by_hand() -> Comparison:
    """Four repeats of made-up scores."""
    methods = [
        MethodScores("identity", "control"),
        MethodScores("realign"),
        MethodScores("a"),
        MethodScores("b"),
        MethodScores("oracle-ridge", "oracle"),
        MethodScores("real-target", "oracle"),
    ]
    transfer = {
        "identity": [0.9, 0.9, 0.9, 0.9],
        "realign": [0.5, 0.6, 0.5, 0.6],
        "a": [0.7, 0.8, 0.6, 0.8],
        "b": [0.7, 0.7, 0.7, 0.7],
        "oracle-ridge": [1.0, 1.0, 1.0, 1.0],
        "real-target": [0.9, 1.0, 0.9, 1.0],
    }
    gap = {"identity": [0.0] * 4, "realign": [0.2] * 4, "a": [0.1] * 4, "b": [0.1, 0.1, 0.1, 0.1001]}
    for entry in methods:
        for repeat in range(4):
            metrics = {"label_transfer": transfer[entry.method][repeat]}
            if entry.method in gap:
                metrics["centroid_gap"] = gap[entry.method][repeat]
            entry.add(metrics)
    return Comparison(methods, {"repeats": 4})


def test_means_errors_and_marks_by_hand(by_hand):
    found = {record["method"]: record for record in by_hand.to_dicts()}
    assert found["realign"]["label_transfer"] == pytest.approx(0.55)
    assert found["realign"]["label_transfer_se"] == pytest.approx(np.sqrt(4 * 0.05**2 / 3) / 2)
    # a: 0.725 is best; b is behind by (0, 0.1, −0.1, 0.1), mean 0.025 within two errors of 0.048.
    assert found["a"]["label_transfer_mark"] == "best"
    assert found["b"]["label_transfer_mark"] == "within_noise"
    assert "label_transfer_mark" not in found["realign"]
    # The smaller gap is better; b is behind by 2.5e-5 with an error of 2.5e-5.
    assert found["a"]["centroid_gap_mark"] == "best"
    assert found["b"]["centroid_gap_mark"] == "within_noise"
    # Controls and oracles do not compete.
    for name in ("identity", "oracle-ridge", "real-target"):
        assert not [key for key in found[name] if key.endswith("_mark")]
    assert all(record["repeats"] == 4 and record["schema_version"] == 1 for record in found.values())
    json.dumps(by_hand.to_dicts(), allow_nan=False)


def test_more_than_a_perfect_mixture_is_not_marked_as_better():
    values = {"a": [0.99, 1.0, 1.0], "clumps": [1.1, 1.3, 1.2], "behind": [0.8, 0.8, 0.81]}
    methods = [MethodScores(name) for name in values]
    for entry in methods:
        for value in values[entry.method]:
            entry.add({"target_penetration": value, "recall_at_1": value})
    found = {record["method"]: record for record in Comparison(methods, {}).to_dicts()}
    assert found["a"].get("target_penetration_mark") == "within_noise"
    assert found["clumps"]["target_penetration"] == pytest.approx(1.2)  # told as it was measured
    assert "target_penetration_mark" not in found["behind"]
    assert "recall_at_1_mark" not in found["a"]


def test_closed_by_hand(by_hand):
    found = {record["method"]: record for record in by_hand.to_dicts()}
    # Room: mean real 0.95 − mean ReAlign 0.55 = 0.4; a gains 0.2, 0.2, 0.1, 0.2 of it.
    assert found["a"]["closed"] == pytest.approx(0.175 / 0.4)
    assert found["a"]["closed_se"] == pytest.approx(np.std([0.5, 0.5, 0.25, 0.5], ddof=1) / 2)
    assert (found["realign"]["closed"], found["realign"]["closed_se"]) == (0.0, 0.0)
    assert found["real-target"]["closed"] == pytest.approx(1.0)
    assert found["identity"]["closed"] == pytest.approx(0.35 / 0.4)


def test_closed_is_absent_without_labels_or_room():
    same = [MethodScores("realign"), MethodScores("a"), MethodScores("real-target", "oracle")]
    for entry in same:
        entry.add({"label_transfer": 0.5})
    assert all("closed" not in record for record in Comparison(same, {}).to_dicts())
    records = Comparison([MethodScores("a", "method", {"centroid_gap": [0.1]})], {}).to_dicts()
    assert "closed" not in records[0]
    assert "centroid_gap_se" not in records[0]
    assert "centroid_gap_mark" not in records[0]  # alone, nothing is best


def test_a_repeat_is_the_protocol_step_by_step(planted):
    """One repeat written out: fit on two parts of other items, measured on the third."""
    y, x, labels = planted
    options = {"source_labels": labels, "target_labels": labels, "repeats": 1, "seed": 5}
    name = "gaussian-transport:strength=0.5"
    result = compare_rows(y, x, paired=True, methods=[name], **options)
    order = np.random.default_rng(5).permutation(300)
    fit_x, fit_y, test = order[:120], order[120:240], order[240:]
    model = parse_method(name).fit(y[fit_y], x[fit_x])
    z = model.transform(y[test], dtype="float64", out_dtype="float64")
    expected = alignment_metrics(y[test], x[test], z, paired=True, seed=5).to_dict()
    found = {record["method"]: record for record in result.to_dicts()}
    for key in ("geometry_consistency", "centroid_gap", "target_coverage", "paired_cosine", "mixed_recall_at_10"):
        assert found[name][key] == pytest.approx(expected[key], rel=1e-9), key
    train = model.transform(y[fit_y], dtype="float64", out_dtype="float64")
    assert found[name]["label_transfer"] == label_transfer(train, labels[fit_y], x[test], labels[test])
    real = label_transfer(x[fit_x], labels[fit_x], x[test], labels[test])
    assert found["real-target"]["label_transfer"] == real
    assert set(found) == {"realign", name, "oracle-procrustes", "oracle-ridge", "real-target"}
    ridge = aa.oracle.Ridge().fit(y[fit_y], x[fit_y]).transform(y[test])
    assert found["oracle-ridge"]["paired_cosine"] == pytest.approx((ridge * x[test]).sum(axis=1).mean())


def test_without_pairs_nothing_is_paired_and_repeats_follow_the_seed(planted):
    y, x, _ = planted
    records = compare(y, x[:200], methods=["realign", "mean-shift", "random-target"], repeats=2, seed=1).to_dicts()
    assert {record["kind"] for record in records} == {"method", "control"}
    for record in records:
        assert not {"paired_cosine", "label_transfer", "closed", "recall_at_1"} & set(record)
    again = compare(y, x[:200], methods=["realign", "mean-shift", "random-target"], repeats=2, seed=1).to_dicts()
    other = compare(y, x[:200], methods=["realign", "mean-shift", "random-target"], repeats=2, seed=9).to_dicts()
    assert records == again
    assert records != other


def test_the_smallest_comparison_works(planted):
    y, x, _ = planted
    (record,) = compare(y[:60], x[:60], methods=["realign"], repeats=1).to_dicts()
    assert (record["rows_test_source"], record["k"]) == (12, 10)
    assert compare(y[:60], x[:61], methods=["realign"], repeats=1).to_dicts()[0]["rows_test_source"] == 12


def test_one_split_tells_no_error_and_marks_no_method_as_best(planted):
    y, x, labels = planted
    known = {"methods": ["realign", "mean-shift"], "paired": True, "source_labels": labels, "target_labels": labels}
    once, twice = (compare(y, x, repeats=repeats, **known).to_dicts() for repeats in (1, 2))
    told = [
        {key for record in records for key in record if key.endswith(("_se", "_mark"))} for records in (once, twice)
    ]
    assert told[0] == set()
    assert {"geometry_consistency_se", "geometry_consistency_mark"} <= told[1]


def test_comparisons_that_cannot_be_made_are_refused(planted):
    y, x, labels = planted
    with pytest.raises(aa.InputError, match="at least 60 rows a side: source has 40"):
        compare(y[:40], x)
    for sample in (20_000, 100):  # samples of both are equally long
        with pytest.raises(aa.InputError, match="pairs need as many rows on both sides: source has 300, target has 20"):
            compare(y, x[:200], paired=True, sample=sample)
    with pytest.raises(aa.InputError, match="pairs need equal numbers of rows"):
        compare_rows(y, x[:200], paired=True)
    with pytest.raises(aa.InputError, match="give source and target labels, or neither"):
        compare(y, x, source_labels=labels)
    with pytest.raises(aa.InputError, match="299 target labels for 300 target rows"):
        compare(y, x, source_labels=labels, target_labels=labels[1:])
    with pytest.raises(aa.InputError, match="there is no method 'realin'"):
        compare(y, x, methods=["realin"])
    with pytest.raises(aa.InputError, match="repeats must be at least 1"):
        compare(y, x, repeats=0)
    for k in (1, 60):
        with pytest.raises(aa.InputError, match=f"k must be between 2 and 59, not {k}"):
            compare(y, x, methods=["realign"], repeats=1, k=k)
    with pytest.raises(aa.InputError, match="strength must lie in"):
        compare(y, x, methods=["gaussian-transport:strength=2"], repeats=1)


def test_a_comparison_in_float32_is_one_in_float32_and_close(planted):
    options = {"paired": True, "repeats": 2, "source_labels": planted.labels, "target_labels": planted.labels}
    found = {d: compare(planted.source, planted.target, dtype=d, **options).to_dicts() for d in ("auto", "float32")}
    auto, narrow = found["auto"], found["float32"]
    assert auto == compare(planted.source, planted.target, dtype="float64", **options).to_dicts()
    assert [record.keys() for record in auto] == [record.keys() for record in narrow]
    for wide, small in zip(auto, narrow, strict=True):
        assert small.get("instance_consistency") == pytest.approx(wide.get("instance_consistency"), abs=1e-4)
        assert small.get("centroid_gap") == pytest.approx(wide.get("centroid_gap"), abs=1e-4)
        assert small.get("label_transfer") == pytest.approx(wide.get("label_transfer"), abs=0.03)
    differing = [wide["method"] for wide, small in zip(auto, narrow, strict=True) if wide != small]
    assert len(differing) >= 10  # so it was really computed in another precision


@given(st.integers(60, 200), st.integers(0, 2**32 - 1))
def test_the_split_of_items_that_are_rows_is_the_split_in_step(rows, seed):
    one_each = np.arange(rows)
    part, other = split_by_item(one_each, one_each, seed), split_in_step(rows, seed)
    for name in vars(other):
        np.testing.assert_array_equal(getattr(part, name), getattr(other, name))


@given(st.integers(60, 120), st.integers(0, 2**32 - 1))
def test_no_item_of_several_captions_is_in_two_parts(items, seed):
    generator = np.random.default_rng(seed)
    source, target = generator.integers(0, items, 5 * items), generator.permutation(items)
    part = split_by_item(source, target, seed)
    held = [set(source[part.fit_source]), set(target[part.fit_target]), set(target[part.test_target])]
    assert sum(map(len, held)) == len(set.union(*held))
    assert set(source[part.test_source]) <= held[2]


@given(st.integers(60, 90), st.integers(0, 900), st.integers(0, 900), st.integers(0, 2**32 - 1))
def test_items_of_one_set_alone_take_no_rows_from_the_other(shared, more_sources, more_targets, seed):
    source = np.arange(shared + more_sources)
    target = np.concatenate([np.arange(shared), shared + more_sources + np.arange(more_targets)])
    part = split_by_item(source, target, seed)
    assert min(map(len, vars(part).values())) >= 12
    assert not set(source[part.fit_source]) & set(target[part.fit_target])
    fitted = set(source[part.fit_source]) | set(target[part.fit_target])
    assert not fitted & (set(source[part.test_source]) | set(target[part.test_target]))
    assert len(part.fit_source) + len(part.test_source) == len(source) - int(0.4 * shared)


def with_ids(name, ids, width=8):
    """A set whose ids are given, its rows drawn by their number."""
    table = pa.table({"id": ids})
    rows = np.random.default_rng(0).normal(size=(len(ids), width)) + 1.0
    return EmbeddingSet([MemorySource(rows, name, table)], format="memory", name=name)


def test_five_captions_an_image_are_split_by_the_ids_that_both_sets_have():
    images = with_ids("images", [f"{i}.jpg" for i in range(100)])
    texts = with_ids("texts", [f"{i}.jpg" for i in range(99, -1, -1) for _ in range(5)])
    items = items_by_ids(texts, images, np.arange(500), np.arange(100))
    assert items is not None
    np.testing.assert_array_equal(items.source, np.repeat(np.arange(100), 5))
    np.testing.assert_array_equal(items.target, np.arange(100)[::-1])
    record = compare(texts, images, methods=["realign"], repeats=1).to_dicts()[0]
    assert (record["split"], record["rows_fit_source"], record["rows_fit_target"]) == ("by item", 200, 40)


def test_ids_that_name_nothing_in_common_do_not_split():
    texts, images = with_ids("texts", list(range(150))), with_ids("images", list(range(100)))
    assert items_by_ids(texts, images, np.arange(150), np.arange(100)) is None  # two counters
    others = with_ids("images", [f"{i}.jpg" for i in range(100)])
    assert items_by_ids(texts, others, np.arange(150), np.arange(100)) is None
    assert compare(texts, others, methods=["realign"], repeats=1).to_dicts()[0]["split"] == "apart"


@pytest.mark.parametrize("sample", [600, 240])  # of the smaller sample two fifths of the ids are in the other
def test_ids_of_sets_of_one_length_but_in_another_order_split_them(sample):
    order = np.random.default_rng(1).permutation(600)
    names = np.array([f"{i}.jpg" for i in range(600)])
    texts, images = with_ids("texts", names.tolist()), with_ids("images", names[order].tolist())
    a, b = read_in_step(texts, images, sample, 0, np.dtype(np.float64))
    part = split(len(a), len(b), 0, items_of(texts, images, a, b, False))
    text, image = names[a.rows], names[order][b.rows]
    fitted, tested = set(text[part.fit_source]), set(text[part.test_source])
    assert not fitted & (set(image[part.fit_target]) | set(image[part.test_target]))
    assert not tested & set(image[part.fit_target])
    found = compare(texts, images, methods=["realign"], repeats=1, sample=sample)
    assert found.protocol["split"] == "by item"


@pytest.mark.parametrize(
    ("texts", "images", "how"),
    [
        ([f"{i}.jpg" for i in range(120)], [f"{i}.jpg" for i in range(120)], "in step"),
        ([f"{i}.txt" for i in range(120)], [f"{i}.jpg" for i in range(119, -1, -1)], "in step"),
        (list(range(120)), list(range(119, -1, -1)), "in step"),  # two counters
        ([f"{i}" if i < 90 else f"t{i}" for i in range(120)], [f"{i}" for i in range(120)], "in step"),
        ([f"{i % 60}" for i in range(120)], [f"{i % 60}" for i in range(120)], "by item"),
        # items in several rows, beside rows that only one set knows by name
        ([f"{i // 2}" for i in range(120)], [f"t{i}" if i % 2 else f"{i // 2}" for i in range(120)], "by item"),
    ],
)
def test_sets_of_one_length_are_in_step_where_no_id_says_otherwise(texts, images, how):
    assert compare(with_ids("a", texts), with_ids("b", images), methods=["realign"], repeats=1).protocol["split"] == how


def test_rows_without_an_id_are_items_of_their_own():
    names = [f"{i}.jpg" for i in range(60)]
    texts, images = with_ids("texts", ["0.jpg", None, *names, None]), with_ids("images", names[::-1])
    items = items_by_ids(texts, images, np.arange(63), np.arange(60))
    assert items is not None
    assert items.source[0] == items.source[2] == items.target[-1]
    assert len({*items.source.tolist(), *items.target.tolist()}) == 62


def test_too_few_items_in_common_do_not_split():
    texts, images = (with_ids("texts", [f"{i}" for i in range(a, b)]) for a, b in ((0, 90), (31, 120)))
    assert items_by_ids(texts, images, np.arange(90), np.arange(89)) is None


def test_pairs_with_equal_targets_stay_together():
    generator = np.random.default_rng(0)
    image = np.repeat(generator.normal(size=(80, 8)), 3, axis=0)
    record = compare_rows(image + 0.1, image, paired=True, methods=["realign"], repeats=1).to_dicts()[0]
    assert (record["rows_fit_source"], record["rows_test_target"], record["split"]) == (96, 48, "by item")


def test_one_k_for_all_splits_from_the_one_that_tests_fewest_rows():
    generator = np.random.default_rng(0)
    items = np.concatenate([np.zeros(700, int), np.arange(1, 901)])  # where the first is tested, 880 rows are
    image, text = normalize(generator.normal(size=(901, 4)))[items], normalize(generator.normal(size=(1600, 4)))
    options = {"paired": True, "methods": ["mean-shift"], "repeats": 2}
    for seed in (8, 9):  # the first item is tested in the second split, then in the first
        protocol = compare_rows(text, image, seed=seed, **options).protocol
        assert (protocol["rows_test_source"], protocol["rows_fit_source"], protocol["k"]) == (181, 360, 10), seed
        with pytest.raises(aa.InputError, match="k must be between 2 and 180, not 300"):
            compare_rows(text, image, seed=seed, k=300, **options)


def test_a_later_split_with_too_few_rows_is_told_before_any_work():
    generator = np.random.default_rng(0)
    items = np.concatenate([np.zeros(60, int), np.arange(1, 41)])
    image, text = generator.normal(size=(41, 8))[items], generator.normal(size=(100, 8))
    done = []
    with pytest.raises(aa.InputError, match="a part of a split has 9 rows, 12 are needed"):
        compare_rows(text, image, paired=True, methods=["realign"], repeats=4, seed=5, progress=done.append)
    assert not done


def test_labels_learned_from_copies_of_the_tested_image_do_not_count():
    """Random labels of images that stand once for each of five captions: nothing can be learned of them."""
    generator = np.random.default_rng(0)
    image = np.repeat(normalize(generator.normal(size=(60, 16))), 5, axis=0)
    text = normalize(image + 0.02 * generator.normal(size=image.shape))
    labels = np.repeat(generator.integers(0, 2, 60), 5)
    assert cross_fitted_label_transfer(text, image, labels) < 0.7
    alone = cross_fitted_label_transfer(text[::5], image[::5], labels[::5])
    assert cross_fitted_label_transfer(text, image, labels) == pytest.approx(alone, abs=0.15)


def test_labels_are_compared_as_text_and_must_meet():
    numbers = np.arange(90) % 3
    rows = normalize(np.eye(6)[numbers] + 0.1 * np.random.default_rng(0).normal(size=(90, 6)))
    assert (
        label_transfer(rows, numbers, rows, numbers.astype(str)) == label_transfer(rows, numbers, rows, numbers) > 0.5
    )
    with pytest.raises(aa.InputError, match="no source label is a target label"):
        compare_rows(rows, rows, source_labels=["a", "b", "c"] * 30, target_labels=["A", "B", "C"] * 30)


def test_labels_of_several_types_in_a_list_are_the_same_as_one_by_one(planted):
    texts, numbers = [1.0, 2.0] * 149 + ["cat", "cat"], [1, 2] * 149 + ["cat", "cat"]  # together numpy writes "1.0"
    options = {"methods": ["realign"], "repeats": 1}
    found = []
    for source, target in ((texts, numbers), ([str(label) for label in numbers],) * 2):
        labels = {"source_labels": source, "target_labels": target}
        compared = compare(planted.source, planted.target, **labels, **options).to_dicts()
        of_rows = compare_rows(planted.source, planted.target, **labels, **options).to_dicts()
        assert compared[0]["label_transfer"] == of_rows[0]["label_transfer"]
        report = aa.evaluate(planted.source, planted.target, planted.source, **labels)
        found.append((compared[0]["label_transfer"], report.label_transfer))
    assert found[0] == found[1]
    assert min(found[0]) > 0.2


def test_labels_are_text_whatever_holds_them():
    labels = ["1", "2", "cat"]
    for held in (
        labels,
        np.array(labels),
        np.array([1.0, 2, "cat"], object),
        pd.Series([1, 2, "cat"], index=[7, 8, 9]),
    ):
        assert as_text(held).tolist() == labels
    for held in (torch.tensor([1, 2]), torch.tensor([1.0, 2.0]), range(1, 3), pd.Series([1, 2], index=[7, 8])):
        assert as_text(held).tolist() == labels[:2]


def test_a_rare_label_costs_only_the_splits_that_lack_it(planted):
    y, x, _ = planted
    labels = ["a"] * 296 + ["b"] * 4
    options = {"methods": ["mean-shift"], "repeats": 6}
    parts = [split(300, 300, seed) for seed in range(6)]
    kept = [all(len({labels[i] for i in rows}) == 2 for rows in (p.fit_source, p.fit_target)) for p in parts]
    assert 0 < sum(kept) < 6
    with pytest.warns(UserWarning, match=f"{6 - sum(kept)} of 6 splits have only one label left.* 296 of 300 rows"):
        found = compare_rows(y, x, source_labels=labels, target_labels=labels, **options)
    for name in ("mean-shift", "realign", "real-target"):
        assert len(found.scores_of(name, "label_transfer")) == sum(kept)
    assert len(found.scores_of("mean-shift", "centroid_gap")) == 6
    assert {record["label_transfer_repeats"] for record in found.to_dicts()} == {sum(kept)}
    said = f"Label transfer is that of {sum(kept)} of 6 splits"
    records = found.to_dicts()
    told = str(found), comparison_markdown(records), str(comparison_table(records).caption)
    assert all(said in text for text in (*told, " ".join(methods_table(records).notes)))
    alone = ["a"] * 299 + ["b"]
    with pytest.warns(UserWarning, match="6 of 6 splits .* there is none"):
        records = compare_rows(y, x, source_labels=alone, target_labels=alone, **options).to_dicts()
    assert [record["method"] for record in records] == ["realign", "mean-shift"]
    assert not any("label_transfer" in record for record in records)
    with pytest.warns(UserWarning, match="1 of 5 folds have only one label left"):
        report = aa.evaluate(y, x, y, paired=True, source_labels=alone)
    assert report.label_transfer is not None


def test_one_label_for_all_rows_is_refused_before_any_work(planted):
    y, x, labels = planted
    done = []
    with pytest.raises(aa.InputError, match="two different labels: all 300 target rows that are used are '1'"):
        compare_rows(y, x, source_labels=labels, target_labels=[1] * 300, progress=done.append)
    assert not done
    for held in ({"source_labels": [1] * 300, "target_labels": labels}, {"target_labels": [1] * 300, "paired": True}):
        with pytest.raises(aa.InputError, match="two different labels: all 300"):
            aa.evaluate(y, x, y, **held)


def test_labels_of_pairs_in_a_series_go_by_place(planted):
    labels = pd.Series(["a", "b"] * 150, index=range(1000, 1300))
    other = labels.copy()
    other.iloc[5] = "z"
    with pytest.raises(aa.InputError, match="row 5 is 'b' in the source, 'z' in the target"):
        aa.evaluate(*planted[:2], planted.source, paired=True, source_labels=labels, target_labels=other)


def test_one_method_that_refuses_is_told_of_however_it_is_named():
    generator = np.random.default_rng(0)
    y, x = (normalize(generator.normal(size=(200, 64))) for _ in range(2))
    told = []
    for methods in ("aniso-align", ["aniso-align"]):
        with pytest.raises(aa.InputError, match="aniso-align: ") as raised:
            compare_rows(y, x, methods=methods, repeats=1)
        told.append(str(raised.value))
    assert told[0] == told[1]
    for none in ([], ()):
        with pytest.raises(aa.InputError, match="no method is named"):
            compare_rows(y, x, methods=none)


def test_of_unequal_sets_as_many_tested_rows_are_mixed(make_planted):
    world = make_planted(rows=600)
    compared = aa.compare(world.source, world.target[:120], methods=["random-target", "mean-shift"], repeats=4)
    for record in compared.to_dicts():  # of all rows the mean shift would have 0.3 and 1.5, ahead of a perfect mixture
        for key in ("target_penetration", "target_coverage"):
            assert record[key] == pytest.approx(1.0, abs=0.15), (record["method"], key)


def test_nothing_is_marked_by_labels_that_no_one_can_learn():
    """Labels drawn at random, two in three of them the same: real targets do no better than saying that one."""
    rng = np.random.default_rng(0)
    text, image = rng.normal(size=(240, 8)) + 1, rng.normal(size=(240, 8)) - 1
    drawn, real = rng.permutation(np.arange(240) % 3 > 0), image[:, 0] > np.median(image[:, 0])
    for labels, learned in ((drawn, False), (real, True)):
        names = [str(label) for label in labels]
        options = {"source_labels": names, "target_labels": names, "methods": ["mean-shift", "realign"], "repeats": 4}
        records = aa.compare(text, image, **options).to_dicts()
        assert records[0]["label_majority"] == pytest.approx(max(labels.mean(), 1 - labels.mean()))
        assert any("label_transfer_mark" in record for record in records) == learned
        assert any("geometry_consistency_mark" in record for record in records)


BOTH_FRAMES = ("aniso-align", "aniso-align:frame=common")


def test_by_default_methods_are_compared_in_both_frames():
    assert {"mean-shift:frame=common", *BOTH_FRAMES} <= set(DEFAULT_METHODS)


def test_one_fit_serves_both_frames(planted, monkeypatch):
    y, x, _ = planted
    fit, fits = Repeat.fit, []

    def counted(repeat, model):
        fits.append(model.name)
        return fit(repeat, model)

    monkeypatch.setattr(Repeat, "fit", counted)
    options = {"paired": True, "repeats": 2, "dials": True}
    together = compare_rows(y, x, methods=[BOTH_FRAMES[1], "realign", BOTH_FRAMES[0]], **options)
    assert [name for name in fits if not name.startswith("oracle")] == ["realign", "aniso-align"] * 2
    assert [entry.method for entry in together.methods[:3]] == [BOTH_FRAMES[1], "realign", BOTH_FRAMES[0]]
    common, _, target, *_ = together.methods
    assert common.costs["fit_seconds"] == target.costs["fit_seconds"]
    assert (common.frame, target.frame) == ("common", "target")
    assert (bool(common.dial), bool(target.dial)) == (False, True)  # curves weigh Ψ
    for entry in (common, target):
        (alone,) = (e for e in compare_rows(y, x, methods=[entry.method], **options).methods if e.kind == "method")
        assert (alone.scores, alone.strengths) == (entry.scores, entry.strengths)


def test_labels_learned_in_one_frame_are_not_marked_against_those_of_the_other():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(240, 8)) - 1
    text, labels = image + rng.normal(size=(240, 8)) + 2, [str(label) for label in image[:, 0] > -1]
    options = {"source_labels": labels, "target_labels": labels, "repeats": 4}
    found = aa.compare(text, image, methods=["realign", "mean-shift", "mean-shift:frame=common"], **options)
    *here, there, _ = found.to_dicts()
    assert "best" in {record.get("label_transfer_mark") for record in here}
    assert "label_transfer" in there
    assert "label_transfer_mark" not in there


def test_sets_that_a_method_refuses_are_not_fitted_again_for_the_other_frame(planted, monkeypatch):
    tried = []

    def refusing(repeat, model):
        tried.append(model.name)
        raise PremiseError("unlike")

    monkeypatch.setattr(Repeat, "fit", refusing)
    with pytest.raises(aa.InputError, match=r"^aniso-align, aniso-align:frame=common: unlike; with the parameter"):
        compare_rows(planted.source, planted.target, methods=BOTH_FRAMES, repeats=2)
    assert tried == ["aniso-align"]


def test_a_frame_that_there_is_not_is_refused(planted):
    y, x, _ = planted
    with pytest.raises(aa.InputError, match=r"mean-shift:frame=mean: frame must be one of target, common"):
        compare_rows(y, x, methods=["mean-shift", "mean-shift:frame=mean"], repeats=1)


def test_without_a_common_frame_other_methods_are_compared_all_the_same(planted):
    constant = np.tile(planted.source[:1], (300, 1))
    for methods in (["mean-shift", "mean-shift:frame=common"], ["mean-shift:frame=common", "realign"]):
        found = compare_rows(constant, planted.target, methods=methods, repeats=1)
        assert list(found.refused) == ["mean-shift:frame=common"]
        assert "all source rows are the same" in found.refused["mean-shift:frame=common"]
    with pytest.raises(aa.InputError, match="there is no common frame"):
        compare_rows(constant, planted.target, methods=["mean-shift:frame=common"], repeats=1)


def test_search_in_one_pool_is_measured_both_ways_together(planted):
    x = planted.target
    y = normalize(planted.source + 0.5 * np.random.default_rng(0).normal(size=x.shape))  # or all would be found
    scores = compare_rows(y, x, paired=True, methods=["identity"], repeats=3).methods[0].scores
    ways = scores["mixed_recall_at_10"], scores["reverse_mixed_recall_at_10"]
    assert ways[0] != ways[1]
    np.testing.assert_allclose(scores["mean_mixed_recall_at_10"], np.mean(ways, axis=0))
    assert "mean_mixed_recall_at_10" not in compare_rows(y, x, methods=["realign"], repeats=1).to_dicts()[0]
