import html
import json
import re
import sys
from html.parser import HTMLParser

import pytest

import anisoalign as aa
from anisoalign.embeddings import InputError
from anisoalign.report import write_page

VOID = {"meta", "br", "wbr", "link", "img"}
LOADS = {"script", "link", "img", "iframe", "object", "embed", "base", "form", "video", "audio"}


class Elements(HTMLParser):
    """Names of all elements, and whether they close in order."""

    def __init__(self):
        super().__init__()
        self.names, self.open, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs


def read(path):
    text = path.read_text(encoding="utf-8")
    page = Elements()
    page.feed(text)
    assert page.open == []
    return text, page


def test_page_holds_verdict_tables_figures_and_json(tmp_path, paired_gap, alignment, labelled, sets):
    path = write_page(tmp_path / "page.html", gap=paired_gap, alignment=alignment, comparison=labelled)
    text, page = read(path)
    y, x, _ = sets
    for sentence in aa.diagnose(y, x, paired=True).verdict():
        assert html.escape(sentence) in text
    assert page.names.count("svg") == 5
    assert page.names.count("table") == 3
    order = [text.index(mark) for mark in ('class="verdict"', "<table", "<svg", "<details")]
    assert order == sorted(order)
    raw = html.unescape(re.search(r"<pre>(.*)</pre>", text, re.DOTALL).group(1))
    assert json.loads(raw) == {"gap": paired_gap, "alignment": alignment, "comparison": labelled}


def test_same_records_same_bytes(tmp_path, paired_gap, labelled):
    pages = [write_page(tmp_path / f"{i}.html", gap=paired_gap, comparison=labelled).read_bytes() for i in range(2)]
    assert pages[0] == pages[1]


def test_page_loads_nothing(tmp_path, paired_gap, alignment, labelled):
    text, page = read(write_page(tmp_path / "page.html", gap=paired_gap, alignment=alignment, comparison=labelled))
    assert not LOADS & set(page.names)
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text
    links = [value for name, value in page.attributes if name in ("href", "xlink:href", "src")]
    assert all(value.startswith("#") for value in links)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))


def test_everything_from_outside_is_escaped(tmp_path, hostile, paired_gap):
    evil = "</pre><script>1</script>"
    gap = {**paired_gap, "source": evil, "target": "<b>&"}
    text, page = read(
        write_page(tmp_path / "page.html", gap=gap, comparison=hostile, title="<script>alert(2)</script>")
    )
    assert "script" not in page.names
    assert "b" not in page.names[: page.names.index("table")]
    assert "<title>&lt;script&gt;alert(2)&lt;/script&gt;</title>" in text
    assert page.names.count("pre") == 1


def test_absent_numbers_leave_figures_and_columns_out(tmp_path, unpaired_gap, plain):
    text, page = read(write_page(tmp_path / "page.html", gap=unpaired_gap, comparison=plain))
    assert page.names.count("svg") == 3  # trade-off, cosines, overlap
    for word in ("label transfer", "recall", "residual", "paired distance"):
        assert word not in text.split("<details>")[0], word


def test_page_of_one_part(tmp_path, alignment):
    _, page = read(write_page(tmp_path / "page.html", alignment=alignment))
    assert page.names.count("svg") == 0
    assert page.names.count("table") == 1


def test_controls_have_a_table(tmp_path, unpaired_gap):
    gap = {**unpaired_gap, "control_random_target_geometry_consistency": 0.0625}
    text, page = read(write_page(tmp_path / "page.html", gap=gap))
    assert page.names.count("table") == 2
    assert '<th scope="row">random target</th>' in text
    assert "<td>0.062</td>" in text


def test_best_and_noise_are_marked(tmp_path, labelled):
    text, _ = read(write_page(tmp_path / "page.html", comparison=labelled))
    best = next(record for record in labelled if record.get("geometry_consistency_mark") == "best")
    value, spread = best["geometry_consistency"], best["geometry_consistency_se"]
    assert f'<td class="best">{value:.3f} <small>± {spread:.3f}</small></td>' in text
    assert text.count("≈ ") >= sum(r.get("label_transfer_mark") == "within_noise" for r in labelled)


def test_a_set_without_a_defined_overlap_still_has_a_page(tmp_path, sets):
    y, x, _ = sets
    gap = aa.diagnose(y[:3].repeat(10, axis=0), x, q=8).to_dict()
    assert "subspace_overlap" not in gap
    text, _ = read(write_page(tmp_path / "page.html", gap=gap))
    assert "too few distinct rows" in text


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


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_missing_libraries(tmp_path, paired_gap, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=r'pip install "anisoalign\[report\]"'):
        write_page(tmp_path / "page.html", gap=paired_gap)
    assert list(tmp_path.iterdir()) == []
