"""Which method the page advises, on records written by hand."""

import pytest

from anisoalign.report.choosing import advise, methods_to_show, transfer_has_room
from anisoalign.report.listings import methods_table


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


RAW = record("identity", 1.0, 0.0, "control", recall_at_10=0.9, mixed_recall_at_10=0.0)


def by_metric(records):
    return {advice.metric: advice for advice in advise(records)}


def test_the_best_balance_is_advised_and_neither_end_alone():
    records = [RAW, record("near", 1.0, 0.2), record("far", 0.2, 1.0), record("both", 0.9, 0.9)]
    found = by_metric(records)["balance"]
    assert (found.method, found.raw) == ("both", 0.0)
    assert found.value == pytest.approx(0.9)


def test_controls_and_bounds_are_never_advised():
    records = [RAW, record("oracle-ridge", 1.0, 1.0, "oracle"), record("realign", 0.9, 0.5)]
    assert by_metric(records)["balance"].method == "realign"


def test_within_noise_the_smallest_change_is_taken_and_the_others_are_named():
    best = record("far", 0.7, 0.9, mixed_recall_at_10=0.80, mixed_recall_at_10_mark="best")
    near = record("near", 0.9, 0.9, mixed_recall_at_10=0.79, mixed_recall_at_10_mark="within_noise")
    worse = record("realign", 0.99, 0.1, mixed_recall_at_10=0.5)
    found = by_metric([RAW, best, near, worse])["mixed_recall_at_10"]
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


def test_closed_is_shown_only_where_real_targets_beat_realign_beyond_noise():
    def rows(real):
        return [
            record("realign", 0.9, 0.5, label_transfer=0.70, label_transfer_se=0.01, closed=0.0),
            {
                "method": "real-target",
                "kind": "oracle",
                "label_transfer": real,
                "label_transfer_se": 0.01,
                "closed": 1.0,
            },
        ]

    assert transfer_has_room(rows(0.80))
    assert not transfer_has_room(rows(0.71))
    heads = [[name for name, _ in methods_table(rows(real)).head] for real in (0.80, 0.71)]
    assert ["closed" in head for head in heads] == [True, False]
