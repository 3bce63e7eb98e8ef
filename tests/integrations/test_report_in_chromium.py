"""The report in a real browser: it opens without complaint or request, and everything on it works."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from chromium import WATCH, Watched, contrast, keep, open_browser

pytestmark = pytest.mark.integration
METHODS = ("identity", "realign", "mean-shift", "gaussian-transport:strength=0.5", "aniso-align", "random-target")
A_PERSONS_PAUSE = 150
"""Milliseconds after a download: Chromium drops the eleventh within a second."""


@pytest.fixture(scope="module")
def browser():
    yield from open_browser()


def anisoalign(*words):
    subprocess.run([sys.executable, "-m", "anisoalign", *map(str, words)], check=True, capture_output=True)


def compared(folder: Path, source: Path, target: Path, *more) -> Path:
    chosen = [word for method in METHODS for word in ("--method", method)]
    outputs = ("--report", folder / "page.html", "--results", folder / "results.json")
    anisoalign("compare", "--source", source, "--target", target, "--paired", "--repeats", 2, *chosen, *outputs, *more)
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A page of the embedded world, with captions, pictures and labels, and the phases of the published method."""
    from PIL import Image

    from anisoalign.worlds import RenderedWorld

    folder, world = tmp_path_factory.mktemp("world"), RenderedWorld.load()
    pairs = world.embed(rows=300, seed=0)
    np.save(folder / "text.npy", pairs.text)
    np.save(folder / "image.npy", pairs.image)
    (folder / "caption.txt").write_text("".join(f"{caption}\n" for caption in pairs.caption))
    (folder / "label.txt").write_text("".join(f"{label % 8}\n" for label in pairs.label))
    (folder / "pictures").mkdir()
    for i, pixels in enumerate(world.render(world.scenes(300, 0))):
        Image.fromarray(pixels).save(folder / "pictures" / f"{i}.png")
    return compared(
        folder, folder / "text.npy", folder / "image.npy", "--labels", folder / "label.txt",
        "--source-captions", folder / "caption.txt", "--target-captions", folder / "caption.txt",
        "--thumbnails", folder / "pictures", "--method", "aniso-align:paper,prior_steps=40,refine_steps=20",
    )  # fmt: skip


@pytest.fixture(scope="module")
def coco(tmp_path_factory, data_folder) -> Path:
    sets = data_folder / "coco_clip"
    return compared(tmp_path_factory.mktemp("coco"), sets / "text.npy", sets / "image.npy")


@pytest.fixture(scope="module", params=["world", "coco"])
def made(request) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture
def tab(browser, made):
    watched = Watched(browser)
    watched.page.goto((made / "page.html").as_uri())
    yield watched
    assert watched.complaints == []
    assert [url for url in watched.requests if not url.startswith(("data:", "blob:"))] == [
        (made / "page.html").as_uri()
    ]
    watched.close()


def unfold(page):
    """Open everything that is folded away, by its summary as a reader would."""
    for folded in page.locator("details:not([open]) > summary").all()[::-1]:
        folded.click()
    assert page.locator("details:not([open])").count() == 0


def test_phases_other_methods_and_all_numbers_are_folded_and_open(tab):
    for inside in ("#figure-compasses", "#other-methods-table", "#gap-numbers"):
        assert not tab.page.locator(inside).is_visible()
    unfold(tab.page)
    for inside in ("#figure-compasses", "#other-methods-table", "#gap-numbers"):
        assert tab.page.locator(inside).is_visible()


def test_switches_show_one_state_at_a_time(tab):
    unfold(tab.page)
    switched = tab.page.locator("figure:has(.switch)")
    assert switched.count() >= 3
    for figure in switched.all():
        views = figure.locator(".view")
        assert [view.is_visible() for view in views.all()] == [True] + [False] * (views.count() - 1)
        figure.locator(".switch input").nth(1).check()
        assert [view.is_visible() for view in views.all()][:2] == [False, True]
        before, after = (views.nth(i).locator("svg").inner_html() for i in (0, 1))
        assert before != after
        titles = figure.locator("h3")
        assert [title.is_visible() for title in titles.all()][:2] == [False, True]
        assert titles.nth(0).inner_text() != titles.nth(1).inner_text()


def test_values_are_told_under_the_pointer_and_by_arrow_keys(tab):
    unfold(tab.page)
    for figure in tab.page.locator("figure").all():
        chart, told = figure.locator("svg.chart").first, figure.locator("output")
        places = chart.evaluate("c => [...c.querySelectorAll('.tip')].map(t => [+t.getAttribute('cx'), t.dataset.tip])")
        first = min(x for x, _ in places)
        chart.focus()
        tab.page.keyboard.press("ArrowRight")
        assert told.inner_text() in {text for x, text in places if x == first}
        tab.page.keyboard.press("Escape")
        assert told.inner_text() == ""
    tip = tab.page.locator("#figure-overlap .tip").nth(2)
    tip.scroll_into_view_if_needed()
    box = tip.bounding_box()
    tab.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert tab.page.locator("#figure-overlap output").inner_text() == tip.get_attribute("data-tip")


def test_columns_sort_by_their_numbers_both_ways(tab):
    table = tab.page.locator("#methods-table")
    heads = table.locator("thead button").all_inner_texts()
    column = next(i for i, text in enumerate(heads) if "geometry" in text)
    for direction in (-1, 1):
        table.locator("thead button").nth(column).click()
        cells = table.locator("tbody").first.locator(f"tr > :nth-child({column + 1})")
        values = [float(cell.get_attribute("data-value")) for cell in cells.all()]
        assert len(values) >= 4
        assert values == sorted(values, key=lambda value: direction * value)
    table.locator("thead button").first.click()
    names = table.locator("tbody").first.locator("th").evaluate_all("all => all.map(e => e.dataset.value)")
    assert names == sorted(names)
    assert table.locator("th[aria-sort]").count() == 1


def test_downloads_hold_the_numbers_of_the_results(tab, made):
    results = json.loads((made / "results.json").read_text())
    gap = results["diagnose"][0]
    unfold(tab.page)

    def download(selector):
        with tab.page.expect_download() as caught:
            tab.page.locator(selector).click()
        tab.page.wait_for_timeout(A_PERSONS_PAUSE)
        return caught.value.suggested_filename, Path(caught.value.path()).read_text(encoding="utf-8")

    name, text = download("#figure-overlap button[data-csv]")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert name == "overlap.csv"
    assert [float(row["overlap"]) for row in rows] == pytest.approx(gap["overlap_curve"])
    name, text = download("#figure-residual-energy button[data-json]")
    assert [row["share of energy"] for row in json.loads(text)] == pytest.approx(gap["residual_energy"])
    name, text = download("footer button[data-json]")
    assert name == "results.json"
    assert json.loads(text) == results
    for button in tab.page.locator("figure button[data-csv]").all():
        with tab.page.expect_download() as caught:
            button.click()
        tab.page.wait_for_timeout(A_PERSONS_PAUSE)
        content = list(csv.reader(io.StringIO(Path(caught.value.path()).read_text(encoding="utf-8"))))
        assert len(content) > 1
        assert len({len(row) for row in content}) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_looks_by_the_system_by_the_button_and_on_a_phone(browser, made, scheme, tmp_path):
    for width in (1280, 390):
        watched = Watched(browser, width=width, scheme=scheme)
        watched.page.goto((made / "page.html").as_uri())
        page_width, sticking_out = watched.page.evaluate(WATCH)
        assert (page_width, sticking_out) == (width, [])
        pixels = keep(watched.page, f"report-{made.name.rstrip('0123456789')}-{scheme}-{width}", tmp_path)
        assert (pixels[2, 2].mean() < 60) == (scheme == "dark")
        assert len(np.unique(pixels.astype(np.int32) @ [1, 256, 65536])) > 100
        for ink in ("--ink", "--muted", "--source", "--target", "--across", "--pairs", "--accent"):
            assert contrast(watched.page, ink, "--card") >= 4.5, (ink, scheme)
        watched.page.locator("#theme").click()
        turned = watched.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert turned == ("rgb(18, 22, 27)" if scheme == "light" else "rgb(255, 255, 255)")
        assert watched.complaints == []
        watched.close()


NAMES = """() => [...document.querySelectorAll("#figure-trade-off text.name")].map((e) => e.getBoundingClientRect())
  .map((box) => [box.left, box.top, box.right, box.bottom])"""


@pytest.mark.parametrize("width", [1280, 390])
def test_names_collide_on_no_screen_and_wide_tables_say_that_they_scroll(browser, made, width):
    watched = Watched(browser, width=width)
    watched.page.goto((made / "page.html").as_uri())
    boxes = watched.page.evaluate(NAMES)
    assert len(boxes) >= 4
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a[0] >= b[2] - 1 or b[0] >= a[2] - 1 or a[1] >= b[3] - 3 or b[1] >= a[3] - 3, (a, b)
    unfold(watched.page)
    for table in watched.page.locator(".wide-table").all():
        scrolls = table.evaluate("e => e.scrollWidth > e.clientWidth + 1")
        assert table.evaluate("e => !e.previousElementSibling.hidden") == scrolls
        first = table.locator("tbody th").first
        table.evaluate("e => { e.scrollLeft = e.scrollWidth; }")
        assert first.bounding_box()["x"] >= table.bounding_box()["x"] - 1
        cut = "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).length"
        assert table.locator("tbody th").evaluate_all(cut) == 0
    ends = watched.page.locator("nav a").evaluate_all("all => all.map(e => e.getBoundingClientRect().right)")
    assert max(ends) <= width
    assert watched.complaints == []
    watched.close()


def test_on_paper_every_state_is_there_and_no_button(tab):
    tab.page.emulate_media(media="print", color_scheme="dark")
    assert all(view.is_visible() for view in tab.page.locator(".view").all())
    assert tab.page.locator("details:not([open])").count() >= 3
    assert all(table.is_visible() for table in tab.page.locator("details table").all())
    hidden = "all => all.filter(e => !e.checkVisibility({contentVisibilityAuto: true})).length"
    assert tab.page.locator("details .view, details table").evaluate_all(hidden) == 0
    heights = "all => all.map(e => e.getBoundingClientRect().height)"
    assert min(tab.page.locator("details .view svg").evaluate_all(heights)) > 100
    assert not any(button.is_visible() for button in tab.page.locator("button").all())
    assert tab.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_the_page_says_which_method_to_take_and_shows_pictures(tab, made):
    advised = tab.page.locator("#choice .short").inner_text()
    assert any(method in advised for method in METHODS)
    for commands in tab.page.locator("#choice code").all():
        fit, transform = commands.inner_text().split("\n")
        assert fit.startswith("anisoalign fit ")
        assert transform.startswith("anisoalign transform ")
    pictures = tab.page.locator(".found img")
    assert (pictures.count() > 0) == (made / "pictures").is_dir()
    assert all(pictures.evaluate_all("all => all.map(image => image.complete && image.naturalWidth > 0)"))


def test_phases_are_those_of_the_published_methods_own_frame(world):
    views = {view["method"]: view for view in json.loads((world / "results.json").read_text())["views"]}
    polar = next(view["phases"] for name, view in views.items() if ":paper" in name)
    assert polar["polar_stage"]
    assert not views["realign"]["phases"]["polar_stage"]
    assert polar["potential_target"] <= polar["potential_source"]
    assert "aniso-align (paper" in (world / "page.html").read_text(encoding="utf-8")
