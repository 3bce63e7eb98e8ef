import subprocess
import sys

import numpy as np
import pytest

from anisoalign.aligners import GaussianTransport
from anisoalign.comparison import table
from anisoalign.embeddings import InputError
from anisoalign.report import (
    cosine_histograms,
    label_transfer_bars,
    overlap_curve,
    residual_energy,
    rivals,
    trade_off,
    wording,
    write_figures,
)


def texts(figure):
    """Every text that the figure shows."""
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def line(axes, label):
    return next(found for found in axes.get_lines() if found.get_label() == label)


def boxes(figure, found):
    figure.draw_without_rendering()
    return [text.get_window_extent() for text in found]


def test_importing_loads_no_plotting_library_and_drawing_no_pyplot():
    code = """
import sys, anisoalign, anisoalign.report as report
report.write_page, report.trade_off, report.gap_table
assert not {"matplotlib", "jinja2"} & set(sys.modules)
gap = {"overlap_q": [1, 2], "overlap_curve": [0.1, 0.4], "dim": 4, "q": 1, "subspace_overlap_chance": 0.25}
assert type(report.overlap_curve(gap).canvas).__name__ == "FigureCanvasAgg"
assert "matplotlib.pyplot" not in sys.modules
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_users_settings_stay_and_do_not_show(paired_gap, tmp_path):
    import matplotlib

    expected = write_figures(tmp_path / "plain", gap=paired_gap)[0].read_bytes()
    with matplotlib.rc_context({"font.size": 30, "text.color": "red"}):
        before = dict(matplotlib.rcParams)
        assert write_figures(tmp_path / "red", gap=paired_gap)[0].read_bytes() == expected
        assert dict(matplotlib.rcParams) == before


def test_histograms_hold_every_pair_once(paired_gap):
    axes = cosine_histograms(paired_gap).axes[0]
    curves = {patch.get_label(): patch.get_data() for patch in axes.patches if not patch.get_fill()}
    assert len(curves) == 4
    for label, data in curves.items():
        assert data.values.sum() == pytest.approx(100.0), label
    pairs = next(data for label, data in curves.items() if label.startswith("pairs"))
    middle = (pairs.edges[:-1] + pairs.edges[1:]) / 2
    assert np.average(middle, weights=pairs.values) == pytest.approx(paired_gap["paired_cosine"], abs=0.01)


@pytest.mark.parametrize("at", [0.16, None, 0.9])
def test_histograms_mark_the_cosine_of_the_centroids_and_name_it_inside(paired_gap, at):
    gap = paired_gap if at is None else {**paired_gap, "centroid_cosine": at}
    figure = cosine_histograms(gap)
    marked = {round(float(found.get_xdata()[0]), 6) for found in figure.axes[0].get_lines()}
    assert marked == {round(gap["centroid_cosine"], 6)}
    name = next(text for text in figure.axes[0].texts if text.get_text().startswith("centroid cosine"))
    assert f"{gap['centroid_cosine']:.2f}" in name.get_text()
    (box,) = boxes(figure, [name])
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


def test_histograms_without_pairs_show_none(unpaired_gap):
    figure = cosine_histograms(unpaired_gap)
    assert not any("pairs:" in text or "own" in text for text in texts(figure))


def test_histogram_title_tells_which_rows_win(paired_gap):
    names = {"source": "text", "target": "image"}
    near = cosine_histograms({**paired_gap, **names, "within_source_cosine": 0.8, "paired_cosine": 0.3})
    far = cosine_histograms({**paired_gap, **names, "within_source_cosine": 0.2, "paired_cosine": 0.3})
    assert (
        near.get_suptitle().replace("\n", " ").startswith("On average, a text row is closer to other text rows (0.80)")
    )
    assert far.get_suptitle().replace("\n", " ").startswith("On average, a text row is closer to its own image (0.30)")


def test_overlap_curve_against_chance(paired_gap):
    figure = overlap_curve(paired_gap)
    axes, d = figure.axes[0], paired_gap["dim"]
    seen, chance = line(axes, "the two sets"), line(axes, f"by chance, q/{d}")
    np.testing.assert_array_equal(seen.get_xdata(), paired_gap["overlap_q"])
    np.testing.assert_array_equal(seen.get_ydata(), paired_gap["overlap_curve"])
    np.testing.assert_allclose(np.asarray(chance.get_ydata()) * d, chance.get_xdata())
    assert axes.get_xscale() == "log"
    assert f"{paired_gap['subspace_overlap']:.0%}" in figure.get_suptitle()


def test_overlap_beyond_the_rank_is_said_to_be_unknown(paired_gap):
    gap = {key: value for key, value in paired_gap.items() if key not in ("subspace_overlap", "subspace_overlap_p")}
    assert overlap_curve(gap).get_suptitle().startswith("Too few distinct rows")


def test_overlap_that_chance_explains_is_called_chance(paired_gap):
    assert "no more" in overlap_curve({**paired_gap, "subspace_overlap_p": 0.4}).get_suptitle()


def test_residual_energy_against_the_diagonal(paired_gap):
    axes = residual_energy(paired_gap).axes[0]
    curve, even = line(axes, "this residual"), line(axes, "isotropic: spread evenly")
    shares = 100.0 * np.asarray(paired_gap["residual_energy_k"]) / paired_gap["dim"]
    np.testing.assert_allclose(curve.get_xdata()[1:], shares)
    np.testing.assert_allclose(curve.get_ydata()[1:], 100.0 * np.asarray(paired_gap["residual_energy"]))
    assert curve.get_ydata()[0] == 0.0
    np.testing.assert_array_equal(even.get_xdata(), even.get_ydata())


def points(axes):
    """Centre and half widths of every error bar."""
    found = []
    for container in axes.containers:
        data, _, bars = container.lines
        x, y = float(data.get_xdata()[0]), float(data.get_ydata()[0])
        spread = [bar.get_segments()[0] for bar in bars]
        dx = max((abs(segment[1][0] - segment[0][0]) / 2 for segment in spread), default=0.0)
        dy = max((abs(segment[1][1] - segment[0][1]) / 2 for segment in spread), default=0.0)
        found.append((x, y, dx, dy))
    return found


def test_trade_off_puts_each_method_where_it_measured(labelled):
    figure = trade_off(labelled)
    seen = points(figure.axes[0])
    for record in labelled:
        if record.get("kind") != "method":
            continue
        key = min(("target_penetration", "target_coverage"), key=lambda name: record[name])
        expected = (record[key], record["geometry_consistency"])
        expected += (record[f"{key}_se"], record["geometry_consistency_se"])
        assert any(point == pytest.approx(expected, abs=1e-9) for point in seen), record["method"]
    measured = [record for record in labelled if "target_coverage" in record]
    assert len(seen) == len(measured) == len(labelled) - 1  # real targets have no place on these axes


def test_trade_off_joins_strengths_in_order_and_names_the_rest(labelled):
    figure = trade_off(labelled)
    by_name = {record["method"]: record for record in labelled}
    ends = [by_name["gaussian-transport:strength=0.5"], by_name["gaussian-transport"]]
    curve = next(
        found for found in figure.axes[0].get_lines() if len(found.get_xdata()) == 2 and found.get_zorder() == 2
    )
    np.testing.assert_allclose(curve.get_ydata(), [record["geometry_consistency"] for record in ends])
    shown = texts(figure)
    assert {"strength=0.5", "strength=1", "mean-shift", "realign", "gaussian-transport, by strength"} <= set(shown)
    assert line(figure.axes[0], "the ideal").get_xydata().tolist() == [[1.0, 1.0]]


def test_far_controls_stand_at_the_edge_with_their_coordinates(labelled):
    record = next(r for r in labelled if r["method"] == "random-target")
    moved = [r if r is not record else {**record, "geometry_consistency": -0.4} for r in labelled]
    figure = trade_off(moved)
    assert any(text.startswith("random-target\n(") and "-0.40" in text for text in texts(figure))
    assert min(y for _, y, _, _ in points(figure.axes[0])) == pytest.approx(figure.axes[0].get_ylim()[0])


@pytest.mark.parametrize("count", [4, 20])
def test_labels_do_not_overlap(labelled, count):
    rng = np.random.default_rng(count)
    records = [
        {
            **labelled[0],
            "method": f"method-number-{i}",
            "target_penetration": float(x),
            "target_coverage": 1.0,
            "geometry_consistency": float(y),
        }
        for i, (x, y) in enumerate(rng.uniform(0.55, 1.0, (count, 2)))
    ]
    figure = trade_off(records)
    found = boxes(figure, figure.axes[0].texts)
    assert len(found) == count
    assert not any(a.overlaps(b) for i, a in enumerate(found) for b in found[:i])


def test_transfer_is_sorted_and_has_both_lines(labelled):
    axes = label_transfer_bars(labelled).axes[0]
    values = {record["method"]: record["label_transfer"] for record in labelled if "label_transfer" in record}
    order = [label.get_text() for label in axes.get_yticklabels()]
    assert order == sorted(values, key=lambda name: values[name])
    for name, method in (("ReAlign", "realign"), ("real targets", "real-target")):
        assert line(axes, name).get_xdata()[0] == pytest.approx(100.0 * values[method])


def test_transfer_far_below_the_rest_is_an_arrow_with_its_value():
    records = [
        {"method": name, "kind": "method", "repeats": 3, "label_transfer": value, "label_transfer_se": 0.01}
        for name, value in (("a", 0.70), ("b", 0.72), ("c", 0.74), ("d", 0.02))
    ]
    figure = label_transfer_bars(records)
    assert figure.axes[0].get_xlim()[0] > 50.0
    assert "2.0" in texts(figure)
    assert next(container.lines[0].get_marker() for container in figure.axes[0].containers) == "<"


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("gaussian-transport:strength=0.25,rank=8", ("gaussian-transport:rank=8", 0.25)),
        ("gaussian-transport:rank=8", ("gaussian-transport:rank=8", 1.0)),
        ("other:strength=2", ("other", 2.0)),
        ("other", None),
        ("other:strength=auto", None),
    ],
)
def test_strength_of_a_method(method, expected):
    assert rivals.strength_of(method) == expected


def test_names_agree_with_the_comparison_and_the_aligners():
    assert (wording.REALIGN, wording.REAL_TARGET) == (table.REFERENCE, table.REAL)
    assert rivals.FULL_STRENGTH["gaussian-transport"] == GaussianTransport().get_params()["strength"]
    assert {measure.key for measure in wording.COMPARED} <= {
        *table.DIRECTIONS,
        "closed",
        "mixed_target_share_at_10",
    }  # no better above a half


def test_names_are_shown_as_they_are(hostile):
    assert hostile[0]["method"] in texts(trade_off(hostile))


def test_without_matplotlib_the_message_says_what_to_install(paired_gap, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r'pip install "anisoalign\[report\]"'):
        cosine_histograms(paired_gap)
