import io

import numpy as np
import pytest
from rich.console import Console

import anisoalign as aa
from anisoalign.comparison import compare_rows
from anisoalign.diagnostics.measures import ALIGNED, fixed, present
from anisoalign.report import alignment_table, comparison_markdown, comparison_table, gap_table
from anisoalign.report.answers import which_one
from anisoalign.report.choosing import advise
from anisoalign.report.gap_charts import shared_title
from anisoalign.report.listings import gap_listing, methods_table


def printed(table, width=120):
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return out.getvalue()


def markdown_rows(text):
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return lines[0], {cells[0]: cells[1:] for cells in lines[2:]}


def test_comparison_fits_120_columns_and_cuts_nothing(labelled):
    text = printed(comparison_table(labelled))
    assert max(map(len, text.splitlines())) <= 120
    assert "…" not in text
    record = next(r for r in labelled if r["method"] == "mean-shift")
    row = next(line for line in text.splitlines() if line.startswith("mean-shift"))
    assert f"{record['geometry_consistency']:.3f}±" in row


def test_narrow_terminals_get_whole_numbers(labelled):
    lines = printed(comparison_table(labelled), width=80).splitlines()
    record = next(r for r in labelled if r["method"] == "realign")
    row = next(line for line in lines if line.startswith("realign"))
    assert f" {record['geometry_consistency']:.3f} " in row


def test_what_is_left_out_is_told_where_labels_were_measured(labelled):
    """The share of a way is none where real targets gain nothing on ReAlign."""
    without = [{k: v for k, v in record.items() if not k.startswith("closed")} for record in labelled]
    said = "“Closed” is left out: on these rows ReAlign and real targets are not told apart in label transfer."
    for text in (printed(comparison_table(without)), comparison_markdown(without)):
        assert said in " ".join(text.split())
    assert "is left out" not in printed(comparison_table([record | {"closed": 0.5} for record in without]))


def test_comparison_has_only_the_columns_that_were_measured(plain):
    text = printed(comparison_table(plain)) + comparison_markdown(plain)
    assert "closed" not in text
    assert "transfer" not in text
    assert "recall" not in text
    assert "penetration" in text


def test_marks_of_the_records_reach_the_terminal(labelled):
    table = comparison_table(labelled)
    text = printed(table)
    best = next(r for r in labelled if r.get("geometry_consistency_mark") == "best")
    row = next(line for line in text.splitlines() if line.startswith(best["method"].split(":")[0]))
    assert "*" in row
    styled = io.StringIO()
    Console(file=styled, width=120, force_terminal=True, color_system="standard").print(table)
    assert f"\x1b[1m{best['geometry_consistency']:.3f}" in styled.getvalue()


def test_one_split_has_no_spread_and_no_best_in_any_table(sets):
    y, x, _ = sets
    records = compare_rows(y, x, methods=["realign", "mean-shift"], repeats=1).to_dicts()
    before = [record | {"geometry_consistency_se": 0.0, "geometry_consistency_mark": "best"} for record in records]
    for shown in (records, before):  # results of before still say so
        text = printed(comparison_table(shown)) + comparison_markdown(shown)
        assert "one split: no spread is known" in text
        assert not {"±", "≈", "*", "**"} & set(text.replace("\n* ", "\n").replace("**", "*"))
        listing = methods_table(shown)
        assert {cell.mark for group in listing.groups for _, cells in group for cell in cells} == {""}
        assert "tells no spread" in listing.notes[0]
        assert "on the one split measured" in " ".join(which_one(advise(shown), shown, "text", "image").sentences)


def test_markdown_marks_best_and_noise():
    base = {"kind": "method", "repeats": 2}
    records = [
        {**base, "method": "a", "label_transfer": 0.8, "label_transfer_se": 0.01, "label_transfer_mark": "best"},
        {
            **base,
            "method": "b",
            "label_transfer": 0.79,
            "label_transfer_se": 0.01,
            "label_transfer_mark": "within_noise",
        },
        {**base, "method": "c", "label_transfer": 0.5, "label_transfer_se": 0.01},
        {**base, "method": "d", "kind": "control", "label_transfer": 0.9, "label_transfer_se": 0.01},
    ]
    head, rows = markdown_rows(comparison_markdown(records))
    assert head == ["method", "label transfer"]
    assert rows["a"] == ["**0.800 ± 0.010**"]
    assert rows["b"] == ["≈ 0.790 ± 0.010"]
    assert rows["c"] == ["0.500 ± 0.010"]
    assert rows["d"] == ["0.900 ± 0.010"]


def test_markdown_puts_controls_last_and_explains(labelled):
    text = comparison_markdown(labelled)
    _, rows = markdown_rows(text)
    kinds = {record["method"]: record["kind"] for record in labelled}
    order = [kinds[name.replace("\\", "")] for name in rows]
    assert order == sorted(order, key=lambda kind: kind != "method")
    assert "within two standard errors" in text
    assert "over 2 splits" in text


def test_the_tables_say_why_columns_have_no_marks_where_most_sources_repeat(labelled):
    records = [{**record, "repeated_sources": 200} for record in labelled]
    for shown, whole in (
        (" ".join(printed(comparison_table(records)).split()), printed(comparison_table(labelled))),
        (comparison_markdown(records), comparison_markdown(labelled)),
        (" ".join(methods_table(records).notes), " ".join(methods_table(labelled).notes)),
    ):
        assert "hardly tell one method from another, and none is marked by them" in shown
        assert "none is marked" not in whole


def test_one_split_claims_no_spread(labelled):
    records = [{**record, "repeats": 1} for record in labelled]
    text = comparison_markdown(records)
    assert "±" not in text.split("\n\n")[0]
    assert "no spread is known" in text


def test_markdown_shows_hostile_names_as_text(hostile):
    text = comparison_markdown(hostile)
    assert "<script" not in text
    row = next(line for line in text.splitlines() if "script" in line)
    assert row.count(" | ") == next(line for line in text.splitlines() if "realign" in line).count(" | ")


def test_terminal_shows_hostile_names_as_text(labelled):
    records = [{**labelled[0], "method": "[red]name[/red]"}]
    assert "[red]name[/red]" in printed(comparison_table(records))


def test_gap_listing_tells_numbers_and_their_meaning(paired_gap, unpaired_gap):
    text = printed(gap_table([paired_gap]))
    assert f"{paired_gap['centroid_gap']:.3f}" in text
    assert f"{paired_gap['residual_ratio']:.3f}" in text
    assert "240 rows" in text
    without = printed(gap_table([unpaired_gap]))
    assert "paired distance" not in without
    assert "residual" not in without


def test_gap_listing_holds_the_controls(paired_gap):
    metrics = ("centroid_gap", "geometry_consistency", "neighbour_consistency", "target_penetration", "target_coverage")
    moved = {
        f"control_mean_shift_{name}": value for name, value in zip(metrics, (0.01, 0.9, 0.8, 0.7, 0.6), strict=True)
    }
    row = next(line for line in printed(gap_table([{**paired_gap, **moved}])).splitlines() if "mean shift" in line)
    assert row.split()[2:] == ["0.010", "Ψ", "0.900", "Ω", "0.80", "0.70", "/", "0.60"]


def test_gap_listing_says_where_fewer_directions_were_compared():
    rows = np.random.default_rng(0).normal(size=(60, 40))
    few = aa.diagnose(rows[np.arange(60) % 3], rows).to_dict()
    text = printed(gap_table([few]))
    assert "width 40, q = 2, all that the rows span" in text
    assert "subspace overlap" in text
    assert ", d = 40, q = 2." in gap_listing(few, "text", "image").notes[0]
    absent = printed(gap_table([aa.diagnose(rows[np.arange(60) % 3], rows, q=4).to_dict()]))
    assert "width 40, q = 4 " in absent
    assert "overlap" not in absent
    assert "what unrelated sets of this width would share" not in absent
    assert "compare 4 leading directions" in shared_title(aa.diagnose(rows[:3], rows, q=4).to_dict())
    assert "the 2 leading" in shared_title(few)


def test_gap_matrix_has_gaps_above_and_overlaps_below(paired_gap):
    pairs = {("text", "image"): (0.8, 0.4), ("text", "audio"): (0.7, 0.3), ("image", "audio"): (0.6, 0.2)}
    records = [
        {**paired_gap, "source": a, "target": b, "centroid_gap": gap, "subspace_overlap": overlap}
        for (a, b), (gap, overlap) in pairs.items()
    ]
    del records[2]["subspace_overlap"]
    rows = {cells[0]: cells[1:] for line in printed(gap_table(records)).splitlines() if (cells := line.split())}
    assert rows["text"] == ["·", "0.80", "0.70"]
    assert rows["image"] == ["0.40", "·", "0.60"]
    assert rows["audio"] == ["0.30", "–", "·"]


def test_alignment_listing(alignment):
    text = printed(alignment_table(alignment))
    for key in ("geometry_consistency", "paired_cosine", "label_transfer"):
        assert f"{alignment[key]:.3f}" in text
    less = {key: value for key, value in alignment.items() if "recall" not in key and "label" not in key}
    assert "recall" not in printed(alignment_table(less))


def test_a_report_of_an_alignment_prints_what_the_command_prints(sets, alignment):
    y, x, labels = sets
    report = aa.evaluate(y, x, aa.ReAlign().fit(source=y, target=x).transform(y), paired=True, source_labels=labels)
    text, listing = str(report), printed(alignment_table(alignment))
    assert text.splitlines()[0] == "240 source and 240 target rows, k = 10"
    for measure in present(ALIGNED, [alignment]):
        assert f"{measure.name} " in text
        assert f"{measure.name} " in listing
        assert f" {measure.number(alignment)}  " in text
    assert max(map(len, text.splitlines())) <= 100
    assert "residual_spectrum" not in text
    less = str(aa.evaluate(y, x, y))
    assert "geometry kept" in less
    assert not any(word in less for word in ("recall", "label", "paired"))


@pytest.mark.parametrize(("value", "text"), [(float("nan"), "–"), (-1.0, "−1.00"), (0.004, "0.00"), (1e3, "1000.00")])
def test_fixed(value, text):
    assert fixed(value, 2) == text
