import base64
import hashlib
import json
import re
import sys

import numpy as np
import pytest
from reading import figures, read, stored

import anisoalign as aa
from anisoalign.comparison import before_after
from anisoalign.comparison.showing import projection
from anisoalign.embeddings import InputError
from anisoalign.geometry import normalize
from anisoalign.report import write_page
from anisoalign.report.results import Results, read_results, write_results

LOADS = {"link", "iframe", "object", "embed", "base", "form", "video", "audio"}
QUESTIONS = ["Is there a gap?", "What kind?", "What does each method do about it?", "Which one for me?"]


def test_the_page_answers_five_questions_in_order(tmp_path, everything):
    text, _ = read(write_page(tmp_path / "page.html", results=everything))
    places = [text.index(f"{i}. {question}") for i, question in enumerate([*QUESTIONS, "What does it cost?"], 1)]
    assert places == sorted(places)
    assert figures(text) == [
        "cosines", "projection", "spectra", "overlap", "residual-spectrum", "residual-energy", "trade-off",
        "compasses", "couplings", "plain-recall",
    ]  # fmt: skip
    assert {"methods-table", "costs-table", "advice"} <= set(re.findall(r'<table id="([a-z-]+)"', text))
    assert "text that says class" in text


def test_every_figure_has_an_alternative_text_and_its_numbers(tmp_path, everything):
    text, _ = read(write_page(tmp_path / "page.html", results=everything))
    charts = re.findall(r'<svg class="chart".*?</svg>', text, re.DOTALL)
    titles = [re.search(r'<title id="[^"]+">([^<]{20,})</title>', chart) for chart in charts]
    assert charts
    assert all(titles)
    data = stored(text, "data")
    assert set(data) == set(figures(text))
    for key, part in data.items():
        assert part["rows"], key
        assert {len(row) for row in part["rows"]} == {len(part["columns"])}, key


def test_figures_hold_the_numbers_of_the_records(tmp_path, everything, paired_gap):
    data = stored(write_page(tmp_path / "page.html", results=everything).read_text(encoding="utf-8"), "data")
    expected = list(zip(paired_gap["overlap_q"], paired_gap["overlap_curve"], strict=True))
    assert [tuple(row[:2]) for row in data["overlap"]["rows"]] == expected
    before = [row for row in data["cosines"]["rows"] if row[:2] == ["before", "paired"]]
    assert sum(row[4] for row in before) == sum(paired_gap["histogram_paired"])
    dial = [row for row in data["trade-off"]["rows"] if row[1] == "dial"]
    record = next(r for r in everything.compare if "dial_strength" in r)
    assert [row[2] for row in dial] == record["dial_strength"]
    assert [row[3] for row in dial] == record["dial_geometry_consistency"]


def test_the_page_holds_its_own_results(tmp_path, everything):
    text = write_page(tmp_path / "page.html", results=everything).read_text(encoding="utf-8")
    assert stored(text, "results") == everything.to_dict()
    write_results(tmp_path / "results.json", everything)
    assert write_page(tmp_path / "again.html", results=read_results([tmp_path / "results.json"])).read_text() == text


def test_page_loads_nothing_and_runs_only_its_own_script(tmp_path, everything):
    text, page = read(write_page(tmp_path / "page.html", results=everything))
    assert not LOADS & set(page.names)
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text
    assert all(value.startswith(("#", "data:image/")) for name, value in page.attributes if name in ("href", "src"))
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text


def test_everything_from_outside_is_escaped(tmp_path, hostile, paired_gap, view):
    evil = "</script><script>alert(1)</script>"
    results = Results(
        diagnose=[{**paired_gap, "source": evil, "target": "<b>&"}, paired_gap],
        compare=hostile,
        views=[{**view, "method": evil}],
        captions={"source": {str(entry["row"]): evil for entry in view["neighbours"]}},
        names={"source": evil, "target": '"><img>'},
    )
    text, page = read(write_page(tmp_path / "page.html", results=results, title="<script>alert(2)</script>"))
    assert page.names.count("script") == 3  # two of data, one of ours
    assert not {"b>", "img"} & set(page.names)
    assert "<title>&lt;script&gt;alert(2)&lt;/script&gt;</title>" in text
    assert not any(name.startswith("on") for name, _ in page.attributes)


def test_names_of_blocks_are_escaped_and_no_form_is_sent(tmp_path, view):
    phases = json.loads(json.dumps(view["phases"]))
    evil = {block["block"]: f"<a href=x>{block['block']}</a>" for block in phases["blocks"]}
    for block in phases["blocks"]:
        block["block"] = evil[block["block"]]
    phases["couplings"] = [[evil[k], evil[other], *rest] for k, other, *rest in phases["couplings"]]
    text, page = read(write_page(tmp_path / "page.html", results=Results(views=[{**view, "phases": phases}])))
    assert {"compasses", "couplings"} <= set(figures(text))
    assert ("href", "x") not in page.attributes
    (policy,) = (value for name, value in page.attributes if name == "content" and "default-src" in value)
    assert {"base-uri 'none'", "form-action 'none'"} <= set(policy.split("; "))


def test_absent_numbers_leave_figures_and_columns_out(tmp_path, unpaired_gap, plain):
    text, _ = read(write_page(tmp_path / "page.html", gap=unpaired_gap, comparison=plain))
    assert figures(text) == ["cosines", "spectra", "overlap", "trade-off"]
    body = text.split('<script type="application/json"')[0].split("</style>")[1]
    for word in ("label transfer", "residual", "its own", "mixed pool"):
        assert word not in body, word


def test_what_was_not_measured_is_said_with_the_command_that_measures_it(tmp_path, unpaired_gap, alignment):
    text, _ = read(write_page(tmp_path / "page.html", gap=unpaired_gap))
    assert text.count("Not measured here.") >= 2
    assert "anisoalign compare --source TEXT" in text
    text, _ = read(write_page(tmp_path / "page.html", alignment=alignment))
    assert "anisoalign diagnose --source TEXT" in text
    assert "What does the alignment do about it?" in text


def test_what_nothing_is_advised_of_is_not_said_to_cost_nothing(tmp_path):
    """Without pairs nothing that methods of a common frame are for is measured."""
    measured = {"geometry_consistency": 0.4, "target_penetration": 0.9, "target_coverage": 0.9}
    compared = [{"method": "mean-shift:frame=common", "kind": "method", "repeats": 4, **measured}]
    text, _ = read(write_page(tmp_path / "page.html", comparison=compared))
    assert "rows stay as they are" not in text


def test_controls_have_a_table(tmp_path, unpaired_gap):
    gap = {**unpaired_gap, "control_random_target_geometry_consistency": 0.0625}
    text, _ = read(write_page(tmp_path / "page.html", gap=gap))
    assert '<table id="controls">' in text
    assert ">0.062</td>" in text


def test_best_and_noise_are_marked(tmp_path, labelled):
    text, _ = read(write_page(tmp_path / "page.html", comparison=labelled))
    best = next(record for record in labelled if record.get("geometry_consistency_mark") == "best")
    value, spread = best["geometry_consistency"], best["geometry_consistency_se"]
    assert re.search(rf'<td class="best" data-value="{value:.6g}">{value:.3f} <small>± {spread:.3f}</small></td>', text)
    assert text.count("≈ ") >= sum(r.get("label_transfer_mark") == "within_noise" for r in labelled)


def test_a_set_without_a_defined_overlap_still_has_a_page(tmp_path, sets):
    y, x, _ = sets
    gap = aa.diagnose(y[:3].repeat(10, axis=0), x, q=8).to_dict()
    assert "subspace_overlap" not in gap
    text, _ = read(write_page(tmp_path / "page.html", gap=gap))
    assert "too few distinct rows" in text


def test_sets_that_are_equal_have_a_page(tmp_path, sets):
    y, _, _ = sets
    gap = aa.diagnose(y, y.copy(), paired=True).to_dict()
    view = before_after(y, y, y, paired=True).to_dict()
    text, _ = read(write_page(tmp_path / "page.html", results=Results(diagnose=[gap], views=[view])))
    assert "Hardly" in text
    assert "nan" not in "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))


def test_existing_page_is_replaced_and_nothing_is_left_over(tmp_path, alignment):
    path = tmp_path / "page.html"
    path.write_text("old")
    write_page(path, alignment=alignment)
    assert path.read_text(encoding="utf-8") != "old"
    assert [found.name for found in tmp_path.iterdir()] == ["page.html"]


def test_nothing_to_report(tmp_path):
    with pytest.raises(InputError, match="nothing to report"):
        write_page(tmp_path / "page.html", comparison=[])


def test_a_folder_that_is_not_there(tmp_path, alignment):
    with pytest.raises(InputError, match="cannot be written"):
        write_page(tmp_path / "no" / "page.html", alignment=alignment)


def test_missing_library(tmp_path, paired_gap, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(InputError, match=r'pip install "anisoalign\[report\]"'):
        write_page(tmp_path / "page.html", gap=paired_gap)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "holds no results"),
        ('{"cosine": 1}', "holds no results"),
        ('{"diagnose": [{"dim": 4}]}', "diagnose, entry 0, lacks rows_source"),
        ('{"compare": {}}', "compare should be a JSON array"),
        ('{"compare": [{"method": 3}]}', "method should not be 3"),
        ('{"thumbnails": {"0": "https://x.org/a.png"}}', "a page loads nothing"),
        ('[{"method": "a", "balance": NaN}]', "NaN is no number of JSON"),
    ],
)
def test_files_that_are_no_results_are_refused_by_name(tmp_path, text, said):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(InputError, match=said) as raised:
        read_results([tmp_path / "r.json"])
    assert str(tmp_path / "r.json") in str(raised.value)


def test_costs_that_a_record_lacks_leave_empty_cells(tmp_path, labelled):
    costs = {"fit_seconds": 0.5, "transform_rows_per_second": 2000.0, "model_bytes": 100}
    records = [{**record, **costs} for record in labelled]
    for key in ("recall_at_10", *costs, "rows_fit_source"):
        cut = [dict(record) for record in records]
        position = next(number for number, record in enumerate(cut) if record["method"] == "realign")
        del cut[position][key]
        write_page(tmp_path / "page.html", comparison=cut)
        assert "Time, size and price" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("diagnose", "source_spectrum", "x"),
        ("evaluate", "rows_source", None),
        ("views", "neighbours", [5]),
        ("views", "projection_target", ["x"]),
        ("captions", "source", 5),
        ("names", "source", 5),
    ],
)
def test_what_no_page_can_be_made_of_is_named_by_file_and_part(tmp_path, everything, alignment, part, key, value):
    sound = {**everything.to_dict(), "evaluate": alignment}
    broken = json.loads(json.dumps(sound))
    record = broken[part][0] if isinstance(broken[part], list) else broken[part]
    record[key] = value
    if part == "evaluate":  # as a record that was cut
        del broken["compare"], record[key]
    del sound[part]
    (tmp_path / "sound.json").write_text(json.dumps({k: v for k, v in sound.items() if k in broken}))
    (tmp_path / "broken.json").write_text(json.dumps({part: broken[part]}))
    (tmp_path / "page.html").write_text("mine")
    with pytest.raises(InputError, match=rf"made of {part} of \S*broken\.json: "):
        write_page(tmp_path / "page.html", results=read_results([tmp_path / "sound.json", tmp_path / "broken.json"]))
    assert (tmp_path / "page.html").read_text() == "mine"


def test_what_json_prints_is_told_apart_and_put_together(tmp_path, unpaired_gap, alignment, plain):
    for name, value in {"gap": unpaired_gap, "alignment": alignment, "comparison": plain}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    found = read_results([tmp_path / f"{name}.json" for name in ("gap", "alignment", "comparison")])
    assert (found.diagnose, found.evaluate, found.compare) == ([unpaired_gap], alignment, plain)


def test_projection_and_neighbours_are_what_they_say(view, sets):
    y, x, _ = sets
    line = x.mean(axis=0) - y.mean(axis=0)
    drawn = y[np.random.default_rng(0).permutation(len(y))[:300]]
    along = (drawn - y.mean(axis=0)) @ line / (line @ line)
    np.testing.assert_allclose(np.array(view["projection_source"])[:, 0], along, atol=1e-4)
    assert np.mean(np.array(view["projection_aligned"])[:, 0]) == pytest.approx(1.0, abs=0.05)
    entry = view["neighbours"][0]
    pool = np.concatenate([x, y])
    cosines = pool @ y[entry["row"]]
    cosines[len(x) + entry["row"]] = -1
    assert [n["cosine"] for n in entry["before"]] == pytest.approx(sorted(cosines, reverse=True)[:5], abs=1e-4)
    assert all(n["own"] == (n["side"] == "target" and n["row"] == entry["row"]) for n in entry["before"])


def test_means_no_further_apart_than_by_chance_make_no_axis():
    """Divided by a distance of next to nothing, noise would look like a method that misses."""
    rows = normalize(np.random.default_rng(0).normal(size=(900, 8)))
    y, x, z = rows[:300], rows[300:600], rows[600:]
    points = {name: np.array(found) for name, found in projection(y, x, z).items()}
    assert max(abs(found.mean(axis=0)[0]) for found in points.values()) < 0.1
    apart = projection(normalize(y + 0.3), x, z)
    assert np.mean(np.array(apart["target"])[:, 0]) == pytest.approx(1.0)


@pytest.mark.parametrize(("captioned", "count"), [(True, 6), (False, 3)])
def test_as_many_examples_are_announced_as_shown(tmp_path, view, captioned, count):
    captions = {"source": {str(entry["row"]): "a text" for entry in view["neighbours"]}} if captioned else {}
    text, _ = read(write_page(tmp_path / "page.html", results=Results(views=[view], captions=captions)))
    assert text.count('<div class="example">') == count
    assert f"{count} sources drawn at random" in text
