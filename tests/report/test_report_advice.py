"""Which method the page advises, on records written by hand."""

import pytest

from anisoalign.comparison import Comparison, MethodScores
from anisoalign.report.answers import what_it_costs, what_kind, what_methods_do, which_one
from anisoalign.report.choosing import advise, methods_to_show
from anisoalign.report.listings import methods_table
from anisoalign.report.method_charts import label_transfer, trade_off
from anisoalign.report.wording import transfer_has_room


def record(method, kept, reached, kind="method", **more):
    return {
        "method": method,
        "kind": kind,
        "repeats": 4,
        "geometry_consistency": kept,
        "target_penetration": reached,
        "target_coverage": reached,
        **more,
    }


RAW = record("identity", 1.0, 0.0, "control", recall_at_10=0.9, mean_mixed_recall_at_10=0.0)


def by_metric(records):
    return {advice.metric: advice for advice in advise(records)}


def test_the_best_balance_is_advised_and_neither_end_alone():
    records = [RAW, record("near", 1.0, 0.2), record("far", 0.2, 1.0), record("both", 0.9, 0.9)]
    found = by_metric(records)["balance"]
    assert (found.method, found.raw) == ("both", 0.0)
    assert found.value == pytest.approx(0.9)


def test_rows_of_a_common_frame_are_advised_for_search_and_not_as_substitutes():
    measured = {"label_transfer": 0.7, "mean_mixed_recall_at_10": 0.6, "recall_at_10": 0.95}
    there = record("realign:frame=common", 0.9, 0.9, **measured)
    here = record("realign", 0.9, 0.8, label_transfer=0.6, mean_mixed_recall_at_10=0.5, recall_at_10=0.8)
    found = by_metric([RAW, there, here])
    assert (found["balance"].method, found["label_transfer"].method) == ("realign", "realign")
    assert found["mean_mixed_recall_at_10"].method == found["recall_at_10"].method == "realign:frame=common"


def test_a_mixed_index_is_searched_both_ways():
    one_way = record("one-way", 0.9, 0.9, mixed_recall_at_10=0.6, mean_mixed_recall_at_10=0.3)
    both = record("both", 0.8, 0.8, mixed_recall_at_10=0.5, mean_mixed_recall_at_10=0.45)
    assert by_metric([RAW, one_way, both])["mean_mixed_recall_at_10"].method == "both"


def test_a_mixed_index_of_an_older_comparison_is_searched_both_ways_too():
    ways = {"mixed_recall_at_10": 0.6, "reverse_mixed_recall_at_10": 0.5}
    advice = by_metric([RAW, record("realign", 0.9, 0.9, **ways)])["mean_mixed_recall_at_10"]
    assert (advice.method, advice.value) == ("realign", pytest.approx(0.55))


def test_label_transfer_is_drawn_of_methods_whose_rows_stand_for_targets():
    here, there = (
        record(name, 0.9, 0.9, label_transfer=value) for name, value in (("a", 0.6), ("a:frame=common", 0.7))
    )
    plate = label_transfer([here, there], "text", "image")
    assert "best with a, 60.0%" in plate.title
    assert "common frame" in plate.caption
    assert "common frame" not in label_transfer([here], "text", "image").caption


def test_geometry_kept_decides_within_a_frame_alone():
    """Of three that find equally much the two of the common frame are compared, which is that of the best."""
    near = {"mean_mixed_recall_at_10": 0.59, "mean_mixed_recall_at_10_mark": "within_noise"}
    best = {"mean_mixed_recall_at_10": 0.6, "mean_mixed_recall_at_10_mark": "best"}
    records = [
        record("general", 0.99, 0.99, mean_mixed_recall_at_10=0.2),
        record("a", 0.95, 0.8, **near),
        record("b:frame=common", 0.7, 0.8, **near),
        record("c:frame=common", 0.6, 0.8, **best),
    ]
    assert by_metric(records)["mean_mixed_recall_at_10"].method == "b:frame=common"
    assert by_metric([records[0] | near, *records[1:]])["mean_mixed_recall_at_10"].method == "general"


FRAMED = [
    RAW,
    record("realign", 0.9, 0.8, mean_mixed_recall_at_10=0.5),
    record("mean-shift", 0.95, 0.7, mean_mixed_recall_at_10=0.4),
    record("realign:frame=common", 0.4, 1.0, mean_mixed_recall_at_10=0.7),
]


def test_what_is_said_of_geometry_kept_is_said_within_one_frame():
    does = what_methods_do(FRAMED, "text", "image")
    assert does.short.startswith("2 of 2 methods")
    assert "they keep 0.90 to 0.95 of the geometry" in does.short
    assert does.sentences[-1] == "Those of a common frame (frame=common) are for search, and not among these."
    assert "frame=common" not in " ".join(what_methods_do(FRAMED[:3], "text", "image").sentences)
    told = which_one(advise(FRAMED, "text", "image"), FRAMED, "text", "image")
    assert told.short == "To train on texts as images: realign; for one index of both: realign (frame=common)."
    trade = told.sentences[-1]
    assert "realign (frame=common) has 0.70 in recall @10 both ways in the mixed pool against 0.50 of realign" in trade
    assert "images are moved too, and aligned rows are no substitutes for images as they are" in trade
    assert "Ψ 0.40" not in trade
    plate = trade_off(FRAMED, "realign")
    assert [row[0] for row in plate.rows] == ["identity", "realign", "mean-shift"]
    assert "Methods of a common frame (frame=common) are left out" in plate.caption
    assert "frame=common" not in trade_off(FRAMED[:3], "realign").caption
    alone = [FRAMED[0], FRAMED[3]]  # then within that frame
    assert what_methods_do(alone, "text", "image").short.startswith("1 of 1 methods")
    listed = methods_table(FRAMED)
    balances = dict(zip([name for name, _ in listed.groups[0]], [c[0].text for _, c in listed.groups[0]], strict=True))
    assert (balances["realign"], balances["realign:frame=common"]) == ("0.85", "")
    assert any("take no part in marks of what changes with the frame: Φ, Ψ" in note for note in listed.notes)


def test_a_method_in_both_frames_is_shown_once():
    assert methods_to_show(FRAMED) == ["realign"]
    assert methods_to_show(FRAMED[2:]) == ["mean-shift", "realign:frame=common"]


def test_where_most_sources_repeat_nothing_is_advised_by_what_goes_by_neighbours():
    records = [
        {**each, "repeated_sources": 190, "label_transfer": transfer}
        for each, transfer in ((RAW, 0.5), (record("far", 0.7, 0.9), 0.7), (record("near", 0.9, 0.9), 0.6))
    ]
    assert [(line.metric, line.method) for line in advise(records)] == [("label_transfer", "far")]
    answer = which_one(advise(records), records, "text", "image")
    assert "far has 0.700 in label transfer, where raw rows have 0.500" in answer.sentences[0]
    assert answer.sentences[1].startswith("Most sources repeat another")
    unlabelled = [{key: value for key, value in each.items() if key != "label_transfer"} for each in records]
    assert advise(unlabelled) == []
    assert which_one([], unlabelled, "text", "image").short == "These figures do not tell."


def test_labels_that_no_one_can_learn_advise_nothing():
    """Real targets classify no better than always saying the most common label."""
    real = record("real-target", None, None, "oracle", label_transfer=0.52, label_transfer_se=0.02, label_majority=0.5)
    records = [RAW | {"label_transfer": 0.4}, record("realign", 0.9, 0.5, label_transfer=0.5), real]
    assert "label_transfer" not in by_metric(records)
    assert "label_transfer" in by_metric([*records[:2], real | {"label_transfer": 0.6}])


def test_controls_and_bounds_are_never_advised():
    records = [RAW, record("oracle-ridge", 1.0, 1.0, "oracle"), record("realign", 0.9, 0.5)]
    assert by_metric(records)["balance"].method == "realign"


def test_within_noise_the_smallest_change_is_taken_and_the_others_are_named():
    best = record("far", 0.7, 0.9, mean_mixed_recall_at_10=0.80, mean_mixed_recall_at_10_mark="best")
    near = record("near", 0.9, 0.9, mean_mixed_recall_at_10=0.79, mean_mixed_recall_at_10_mark="within_noise")
    worse = record("realign", 0.99, 0.1, mean_mixed_recall_at_10=0.5)
    found = by_metric([RAW, best, near, worse])["mean_mixed_recall_at_10"]
    assert (found.method, found.best, found.alike) == ("near", "far", ("far",))


def test_rows_are_left_alone_where_nothing_gains():
    records = [RAW, record("realign", 0.9, 0.9, recall_at_10=0.85), record("c3", 0.8, 0.9, recall_at_10=0.905)]
    found = by_metric(records)["recall_at_10"]
    assert (found.method, found.value) == (None, 0.9)


def test_uses_without_their_metric_are_left_out():
    assert set(by_metric([record("realign", 0.9, 0.5)])) == {"balance"}
    assert advise([{"method": "realign"}]) == []


def test_the_methods_shown_begin_with_the_advised_one():
    records = [RAW, record("realign", 0.99, 0.4), record("best", 0.95, 0.95), record("aniso-align", 0.9, 0.9)]
    assert methods_to_show(records) == ["best", "aniso-align", "realign"]


def test_what_is_within_noise_of_the_best_is_not_advised_where_it_is_no_better_than_raw_rows():
    near = record("near", 0.9, 0.95, recall_at_10=0.49, recall_at_10_mark="within_noise")
    best = record("best", 0.8, 0.9, recall_at_10=0.55, recall_at_10_mark="best")
    found = by_metric([record("identity", 1.0, 0.0, "control", recall_at_10=0.50), near, best])["recall_at_10"]
    assert (found.method, found.value) == ("best", 0.55)


def test_closed_is_shown_only_where_real_targets_beat_realign_beyond_noise():
    """Differences of pairs of splits count, whose common part cancels."""

    def rows(*real):
        methods = [MethodScores(name) for name in ("realign", "a", "real-target")]
        scores = {"geometry_consistency": 0.9, "target_penetration": 0.5, "target_coverage": 0.5}
        for method, transfer in zip(methods, ([0.6, 0.7, 0.8], [0.65, 0.75, 0.84], real), strict=True):
            for value in transfer:
                method.add({**scores, "label_transfer": value})
        return Comparison(methods, {"repeats": 3}).to_dicts()

    clear, noise, below = rows(0.65, 0.76, 0.85), rows(0.75, 0.65, 0.75), rows(0.55, 0.65, 0.75)
    assert [transfer_has_room(found) for found in (clear, noise, below)] == [True, False, False]
    assert clear[1]["closed"] == pytest.approx(0.14 / 0.16)
    heads = [[name for name, _ in methods_table(found).head] for found in (clear, noise, below)]
    assert ["closed" in head for head in heads] == [True, False, False]


def _gap(rows, dim, share, ratio):
    """A diagnosis whose residuals fill that share of the dimensions."""
    return {
        "rows_source": rows,
        "dim": dim,
        "q": 4,
        "centroid_gap": 0.05,
        "subspace_overlap": 0.5,
        "subspace_overlap_chance": 0.1,
        "subspace_overlap_p": 0.001,
        "residual_effective_dimension": share,
        "residual_energy_k": [1, dim],
        "residual_energy": [share, 1.0],
        "residual_anisotropy": 4.0,
        "residual_ratio": ratio,
    }


def test_a_rest_that_is_as_even_as_few_rows_can_show_is_not_called_lopsided(monkeypatch):
    """Noise of equal size in all directions fills n / (n + d) of them, as far as n rows tell."""
    monkeypatch.setattr("anisoalign.report.answers.gap_sentences", lambda gap: ["", "Shape.", ""])
    even, lopsided = (what_kind(_gap(300, 300, share, 0.9), "text", "image") for share in (0.498, 0.1))
    assert "a fairly even rest" in even.short
    assert "no model" not in " ".join(even.sentences)
    assert "a lopsided rest" in lopsided.short
    assert "So moving the means is not enough" in " ".join(lopsided.sentences)
    steep = what_kind(_gap(300, 300, 0.498, 0.9) | {"residual_anisotropy": 9.0}, "text", "image")  # noise shows 4
    assert "a lopsided rest" in steep.short
    nearly = what_kind(_gap(300, 300, 0.1, 0.1), "text", "image")
    assert "moving the means is not enough" not in " ".join(nearly.sentences)


def test_costs_are_told_as_measured():
    costs = {"fit_seconds": 1800.0, "transform_rows_per_second": 10.0, "model_bytes": 5e8}
    slow = record("slow", 0.9, 0.9, rows_fit_source=10, rows_fit_target=10, **costs)
    assert what_it_costs([slow], "slow", "text", "image").short == "1,800 s to fit here."
    assert what_it_costs([slow], "", "text", "image").short == "Not measured here."
    assert what_it_costs([slow], None, "text", "image").short == "Nothing: rows stay as they are."
    assert what_it_costs([RAW], "slow", "text", "image").short == "Not measured here."


def test_a_dial_is_held_against_the_method_over_the_same_splits():
    dial = {"dial_strength": [0.0, 0.5], "dial_balance": [0.7, 0.82], "dial_own_balance": 0.82}
    chose = {"strength_lowest": 0.4, "strength_highest": 0.5, "strength_used": 0.45}

    def told(**more):
        records = [RAW, record("aniso-align", 0.8, 0.8, balance=0.8, **{**dial, **more})]
        return "sets its strength by itself" in " ".join(which_one(advise(records), records, "text", "image").sentences)

    assert not told(**chose)
    assert told(**chose, dial_own_balance=0.8)
    assert not told(dial_own_balance=0.8), "who sets no strength is not said to"
