"""What the page says in words is what it shows in figures, on any data."""

import re

import numpy as np
import pytest
from reading import read, stored

from anisoalign.report import write_page
from anisoalign.report.answers import what_it_costs, what_kind, which_one
from anisoalign.report.choosing import advise, balance_of
from anisoalign.report.gap_charts import overlap
from anisoalign.report.listings import methods_table, other_methods_table
from anisoalign.report.method_charts import trade_off
from anisoalign.report.phase_charts import compasses
from anisoalign.report.sentences import alignment_sentences


@pytest.fixture(scope="module")
def page(tmp_path_factory, everything):
    return read(write_page(tmp_path_factory.mktemp("page") / "page.html", results=everything))[0]


def figure(page, key):
    return re.search(rf'<figure id="figure-{key}".*?</figure>', page, re.DOTALL).group(0)


def titles(page, key):
    return re.findall(r"<h3>(.*?)</h3>", figure(page, key))


def numbers(text):
    return [float(found.replace("−", "-")) for found in re.findall(r"[−-]?\d+\.\d+", text)]


@pytest.mark.parametrize(
    ("seen", "p", "words"),
    [
        (0.97, 0.005, "Most leading directions shared"),
        (0.60, 0.005, "Most leading directions shared"),
        (0.40, 0.005, "Some leading directions shared"),
        (0.23, 0.005, "Few leading directions shared, though more than by chance"),
        (0.23, 0.2, "Not shown to share directions"),
        (0.97, 0.2, "Not shown to share directions"),
    ],
)
def test_the_kind_of_gap_agrees_with_the_share_drawn(paired_gap, seen, p, words):
    gap = {**paired_gap, "subspace_overlap": seen, "subspace_overlap_chance": 0.1, "subspace_overlap_p": p}
    answer, plate = what_kind(gap, "text", "image"), overlap(gap, "text", "image")
    assert plate is not None
    assert answer.short.startswith(f"{words} ({seen:.0%}; chance 10%)")
    assert f"{seen:.0%}" in plate.title
    assert ("Not shown" in plate.title) == (p > 0.01)
    assert f"{seen:.2f}" in answer.sentences[0]
    assert ("Most" in answer.short) <= (seen > 0.5)


@pytest.mark.parametrize(("gap_size", "apart"), [(0.8, True), (0.02, False)])
def test_means_are_called_apart_only_where_they_are(paired_gap, gap_size, apart):
    short = what_kind({**paired_gap, "centroid_gap": gap_size}, "text", "image").short
    assert ("means apart" in short) == apart


def test_the_energy_told_is_where_the_curve_drawn_passes_the_effective_dimension(page, paired_gap):
    rows = stored(page, "data")["residual-energy"]["rows"]
    count = paired_gap["residual_effective_dimension"] * paired_gap["dim"]
    energy = np.interp(count, [0, *(row[0] for row in rows)], [0, *(row[1] for row in rows)])
    share = paired_gap["residual_effective_dimension"]
    (title,) = titles(page, "residual-energy")
    assert title.startswith(f"{share:.0%} of the {paired_gap['dim']} dimensions hold {energy:.0%} of")
    assert f"{share:.0%} of the dimensions hold {energy:.0%} of what is left" in page
    assert f"<b>{energy:.0%}</b>of the energy of that rest lies in {share:.0%} of the dimensions" in page
    svg = figure(page, "residual-energy")
    curve = re.search(r'class="line pairs" points="([^"]+)"', svg).group(1).split()
    x, y = zip(*(map(float, point.split(",")) for point in curve), strict=True)
    at = next(
        tip
        for tip in re.findall(r'class="tip" cx="([\d.]+)" cy="([\d.]+)"[^>]*data-tip="([^"]*)"', svg)
        if tip[2] == title
    )
    assert float(at[1]) == pytest.approx(np.interp(float(at[0]), x, y), abs=0.2)


@pytest.mark.parametrize("key", ["cosines", "projection", "compasses"])
def test_a_figure_that_is_switched_has_a_title_for_each_state(page, key):
    found = titles(page, key)
    assert len(found) == figure(page, key).count('<div class="view"') >= 2
    assert len(set(found)) == len(found)
    assert all("before" in title.lower() if i == 0 else "after" in title.lower() for i, title in enumerate(found))


def test_mean_cosines_of_a_title_are_those_of_the_histogram_under_it(page):
    rows = stored(page, "data")["cosines"]["rows"]
    states = list(dict.fromkeys(row[0] for row in rows))
    for state, title in zip(states, titles(page, "cosines"), strict=True):
        for kind, told in zip(("within_source", "paired"), numbers(title), strict=True):
            chosen = [row for row in rows if row[:2] == [state, kind]]
            middle = [(row[2] + row[3]) / 2 for row in chosen]
            assert told == pytest.approx(np.average(middle, weights=[row[4] for row in chosen]), abs=0.011)


def test_places_of_a_title_are_the_means_of_the_points_under_it(page):
    rows = stored(page, "data")["projection"]["rows"]
    target = np.mean([row[2] for row in rows if row[1] == "image"])
    states = list(dict.fromkeys(row[0] for row in rows if row[1] == "text"))
    for state, title in zip(states, titles(page, "projection"), strict=True):
        moved = np.mean([row[2] for row in rows if row[:2] == [state, "text"]])
        assert numbers(title) == pytest.approx([moved, target], abs=0.0051)


def test_title_and_alternative_text_of_phases_tell_the_angle_of_the_hands_drawn(view):
    plate = compasses([view], "text", "image")
    assert plate is not None
    blocks = [dict(zip(plate.columns, row, strict=True)) for row in plate.rows]
    weight = np.array([block["weight"] for block in blocks])
    for side, shown in zip(("source", "aligned"), plate.views, strict=True):
        turn = np.array([block[f"{side}_phase"] - block["target_phase"] for block in blocks])
        angle = np.degrees(weight @ np.abs(np.angle(np.exp(1j * turn))) / weight.sum())
        told = re.findall(r"(\d+)°", shown.title)
        assert told == re.findall(r"(\d+)°", shown.words) == [f"{angle:.0f}"]


def test_every_method_lies_on_the_curve_of_its_strength(everything):
    """Also where the curve was measured in fewer splits, and where a method chose its strength itself."""
    records = [
        {**r, "repeats": 30, "dial_repeats": 2, "geometry_consistency": r["geometry_consistency"] - 0.03}
        for r in everything.compare
    ]
    chosen = next(r for r in records if "dial_strength" in r)
    auto = {**chosen, "method": "aniso-align", "strength_used": 0.32, "strength_lowest": 0.3, "strength_highest": 0.4}
    plate = trade_off([*records, auto], "aniso-align")
    assert plate is not None
    dots = {row[0]: row[3:] for row in plate.rows if row[1] != "dial"}
    curves = [row for row in plate.rows if row[1] == "dial"]
    assert [row[3:] for row in curves if row[0] == "aniso-align" and row[2] == 0.32] == [dots["aniso-align"]]
    half = [row[3:] for row in curves if row[0] == "gaussian-transport" and row[2] == 0.5]
    assert half == [dots["gaussian-transport:strength=0.5"]]
    assert "means over the first 2 splits, those of methods over all 30" in plate.caption
    assert "(auto): 0.3 to 0.4, 0.32 on average" in plate.caption
    assert "strength=0.32 (auto)" in plate.views[0].svg


def record(method, kept, reached, kind="method", **more):
    places = {"geometry_consistency": kept, "target_penetration": reached, "target_coverage": reached}
    return {"method": method, "kind": kind, "repeats": 4, **places, **more}


MIXED = "gaussian-transport:shrinkage=0.3,strength=0.75"
RECORDS = [
    record("identity", 1.0, 0.0, "control", recall_at_10=0.98, mean_mixed_recall_at_10=0.0),
    record("aniso-align", 0.99, 0.97, recall_at_10=0.91, mean_mixed_recall_at_10=0.8),
    record(MIXED, 0.81, 0.93, recall_at_10=0.92, mean_mixed_recall_at_10=0.85),
    record("gaussian-transport:shrinkage=0.3,strength=0.5", 0.9, 0.9, recall_at_10=0.92, mean_mixed_recall_at_10=0.83),
    record("oracle-ridge", 0.6, 0.0, "oracle", recall_at_10=0.6, mean_mixed_recall_at_10=0.0),
]


def test_the_headline_names_the_use_of_every_method_and_the_trade_is_told_in_figures():
    answer = which_one(advise(RECORDS, "text", "image"), RECORDS, "text", "image")
    assert answer.short == (
        "To train on texts as images: aniso-align; for one index of both: gaussian-transport (shrinkage=0.3, "
        "strength=0.75); to rank images alone for a text: raw rows."
    )
    trade = next(sentence for sentence in answer.sentences if sentence.startswith("For one index of both"))
    own, other = balance_of(RECORDS[1]), balance_of(RECORDS[2])
    assert numbers(trade.split("recall")[0])[-1:] == [0.85]
    for figure in ("0.80 of aniso-align", f"balance of {other:.2f} against {own:.2f}", "Ψ 0.81 against 0.99"):
        assert figure in trade


def test_one_method_for_all_uses_is_named_once():
    records = [RECORDS[0], {**RECORDS[1], "recall_at_10": 0.999, "mean_mixed_recall_at_10": 0.9}]
    answer = which_one(advise(records, "text", "image"), records, "text", "image")
    assert answer.short.count("aniso-align") == 1
    assert all(use in answer.short for use in ("To train", "for one index", "to rank"))
    assert len(answer.sentences) == 1


def test_each_advised_method_has_its_two_commands(tmp_path):
    text, _ = read(write_page(tmp_path / "page.html", comparison=RECORDS))
    code = re.findall(r'<pre class="take"><code>(.*?)</code></pre>', text, re.DOTALL)
    fits, transforms = zip(*(block.split("\n") for block in code), strict=True)
    assert [line.split()[2] for line in fits] == ["aniso-align", MIXED]
    assert [line.split()[-1] for line in fits] == [line.split()[2] for line in transforms]


def test_a_method_advised_in_both_frames_is_fitted_once_and_both_sides_are_moved(tmp_path):
    common = record("aniso-align:frame=common", 0.6, 0.97, recall_at_10=0.97, mean_mixed_recall_at_10=0.9)
    text, _ = read(write_page(tmp_path / "page.html", comparison=[*RECORDS[:2], common]))
    code = re.findall(r'<pre class="take"><code>(.*?)</code></pre>', text, re.DOTALL)
    assert [block.split("\n") for block in code] == [
        [
            "anisoalign fit aniso-align --source SOURCE --target TARGET --out model",
            "anisoalign transform model --source SOURCE --out aligned",
        ],
        [
            "anisoalign transform model --source SOURCE --frame common --out aligned2",
            "anisoalign transform model --source TARGET --side target --frame common --out targets2",
        ],
    ]
    assert "among those in the frame of the best" in text
    assert "frame=common takes from aligned rows and from targets the mean of their own side" in text
    text, _ = read(write_page(tmp_path / "page.html", comparison=RECORDS))
    assert "the frame of the best" not in text
    assert "frame=common" not in text


def test_costs_are_compared_with_the_best_of_the_simpler_methods():
    protocol = {"rows_fit_source": 200, "rows_fit_target": 200}
    costs = ((0.0, 1e5, 1e3), (6.0, 5e3, 1e7), (0.2, 2e4, 1e6), (0.2, 3e4, 1e6), (0.1, 1e4, 1e6))
    records = [
        {**r, **protocol, "fit_seconds": fit, "transform_rows_per_second": rate, "model_bytes": size}
        for r, (fit, rate, size) in zip(RECORDS, costs, strict=True)
    ]
    answer = what_it_costs(records, "aniso-align", "text", "image")
    told = next(sentence for sentence in answer.sentences if "simpler" in sentence)
    assert "gaussian-transport (shrinkage=0.3, strength=0.5), with a balance of 0.90 against 0.98" in told
    assert "30 times as long to fit (6.0 s against 0.20 s)" in told
    assert "6.0 times as long to transform" in told
    assert any("in proportion to their number" in sentence for sentence in answer.sentences)


def test_other_strengths_controls_and_maps_made_with_pairs_are_folded_and_none_is_lost(tmp_path):
    front, folded = methods_table(RECORDS, ["aniso-align", MIXED]), other_methods_table(RECORDS, ["aniso-align", MIXED])
    assert folded is not None
    names = [[name for group in listing.groups for name, _ in group] for listing in (front, folded)]
    assert names[0] == ["aniso-align", MIXED, "gaussian-transport:shrinkage=0.3,strength=0.5", "identity"]
    assert names[1] == ["oracle-ridge"]
    without = [
        [name for group in made.groups for name, _ in group]
        for made in (methods_table(RECORDS), other_methods_table(RECORDS))
    ]
    assert sorted([*without[0], *without[1]]) == sorted(r["method"] for r in RECORDS)
    assert MIXED in without[1]
    text, _ = read(write_page(tmp_path / "page.html", comparison=RECORDS))
    before = text[: text.index('<table id="other-methods-table">')]
    assert before.count("<details>") == before.count("</details>") + 1
    assert "bound" not in text.split('<script type="application/json"')[0].split("</style>")[1]


def test_ids_are_used_once(page):
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(set(ids)) == len(ids)


def test_an_alignment_says_who_is_found_in_the_pool_of_both(alignment):
    kept = {key: value for key, value in alignment.items() if "mixed" not in key and "recall" not in key}
    found = " ".join(alignment_sentences(alignment))
    for key in ("mixed_recall_at_10", "reverse_mixed_recall_at_10", "mixed_target_share_at_10"):
        assert f"{alignment[key]:.0%}" in found, key
    assert f"before, {alignment['raw_mixed_target_share_at_10']:.0%} were" in found
    share = {"mixed_target_share_at_10": 0.25}
    assert "25% of the first ten rows that an aligned row finds are targets." in alignment_sentences(kept | share)[-1]
    assert len(alignment_sentences(kept)) == 2  # results of before these were measured
