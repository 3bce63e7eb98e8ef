"""The explorer: its endpoints, and its page in a real browser."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from chromium import WATCH, Watched, keep, open_browser

import anisoalign as aa
from anisoalign.embeddings import open_embeddings

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def browser():
    yield from open_browser()


@pytest.fixture(scope="module")
def pairs():
    from anisoalign.worlds import RenderedWorld

    return RenderedWorld.load().embed(rows=400, seed=0)


def session_of(model, y, x, captions=None, **options):
    from anisoalign.explore.session import Session, Shown

    shown = Shown({"source": "text", "target": "image"}, captions or {})
    y, x = open_embeddings(y, name="source"), open_embeddings(x, name="target")
    return Session(model, y, x, shown, paired=True, **options)


class Served:
    """A session answered for in a thread, until closed."""

    def __init__(self, session):
        import uvicorn

        from anisoalign.explore.server import application, bind

        self.session, self.socket = session, bind(0)
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.server = uvicorn.Server(uvicorn.Config(application(session), log_level="error", lifespan="off"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive(), "the server ended before it began to answer"
            time.sleep(0.02)

    def get(self, path, host=None):
        request = urllib.request.Request(self.address + path, headers={} if host is None else {"Host": host})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def close(self):
        self.server.should_exit = True
        self.thread.join(timeout=20)
        self.socket.close()


@pytest.fixture(scope="module")
def served(pairs):
    model = aa.AnisoAlign(strength=0.5).fit(pairs.text, pairs.image)
    captions = {"source": pairs.caption, "target": pairs.caption}
    made = Served(session_of(model, pairs.text, pairs.image, captions))
    yield made
    made.close()


def test_the_state_is_what_the_library_says(served, pairs):
    status, text = served.get("/api/state?strength=0.8&index=7&pool=target")
    state = json.loads(text)
    assert status == 200
    model = served.session.model.at_strength(0.8).calibrate(served.session.y)
    aligned = model.transform(served.session.y, out_dtype="float64")
    best = np.argsort(-(served.session.x @ aligned[7]), kind="stable")[:8]
    assert [n["caption"] for n in state["now"]] == [pairs.caption[int(served.session.rows_x[i])] for i in best]
    scores = aa.evaluate(served.session.y, served.session.x, aligned, paired=True, k=10)
    assert state["kept"] == pytest.approx(scores.geometry_consistency, abs=1e-6)
    assert state["reached"] == pytest.approx(min(scores.target_penetration, scores.target_coverage), abs=1e-6)
    assert {n["side"] for n in json.loads(served.get("/api/state?pool=mixed")[1])["before"]} == {"source"}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("strength=2", "strength is a number from 0 to 1"),
        ("strength=nan", "strength is a number from 0 to 1"),
        ("index=400", "index is a whole number from 0 to 399"),
        ("index=-1", "index is a whole number"),
        ("index=1e3", "index is a whole number"),
        ("pool=all", "pool is one of mixed, target"),
        ("sttrength=0.5", "unknown parameter 'sttrength'; known are index, pool, strength"),
    ],
)
def test_what_is_not_understood_is_refused_in_words(served, query, said):
    status, text = served.get(f"/api/state?{query}")
    assert status == 422
    assert said in json.loads(text)["error"]


def test_nobody_else_is_answered(served):
    assert served.get("/", host="evil.example")[0] == 400
    assert served.get("/api/nothing")[0] == 404
    assert served.socket.getsockname()[0] == "127.0.0.1"
    assert json.loads(served.get("/api/texts?search=" + "x" * 201)[1])["error"].startswith("search is longer")


def test_dragging_moves_neighbours_numbers_and_histograms(served, browser, tmp_path):
    for scheme, width in (("light", 1280), ("dark", 390)):
        watched = Watched(browser, width=width, scheme=scheme)
        page = watched.page
        page.goto(served.address)
        page.wait_for_selector("body[data-at='0.5/0']")
        page.locator("#search").fill("red circle")
        page.wait_for_selector("#count:has-text('found')")
        choice = page.locator("#texts button").first
        caption = choice.inner_text()
        choice.click()
        page.wait_for_selector("body:not([data-at='0.5/0'])")
        assert page.locator("#chosen").inner_text() == f"“{caption}”"
        page.locator("input[name=pool][value=target]").check()
        seen = {}
        for strength in (0.0, 0.4, 1.0):
            page.locator("#strength").fill(str(strength))
            page.wait_for_selector(f"body[data-at^='{strength:g}/']")
            kept, reached = served.session.measured(strength)
            assert page.locator("#kept").inner_text() == f"{kept:.2f}"
            assert page.locator("#reached").inner_text() == f"{reached:.2f}"
            seen[strength] = [page.locator(at).inner_html() for at in ("#now", "#cosines", "#trade-off", "#before")]
        for moved in range(3):
            assert len({shown[moved] for shown in seen.values()}) == 3
        assert len({shown[3] for shown in seen.values()}) == 1
        assert page.evaluate(WATCH) == [width, []]
        keep(page, f"explorer-world-{scheme}-{width}", tmp_path)
        assert watched.complaints == []
        assert all(url.startswith((served.address, "data:")) for url in watched.requests)
        watched.close()


def test_on_real_embeddings(browser, data_folder, tmp_path):
    sets = [np.load(data_folder / "coco_clip" / f"{side}.npy") for side in ("text", "image")]
    made = Served(session_of(aa.GaussianTransport(shrinkage=0.3).fit(*sets), *sets, sample=300))
    watched = Watched(browser)
    watched.page.goto(made.address)
    watched.page.wait_for_selector("body[data-at]")
    assert "300 of 500 texts" in watched.page.locator(".about").inner_text()
    watched.page.locator("#strength").fill("0.25")
    watched.page.wait_for_selector("body[data-at^='0.25/']")
    assert keep(watched.page, "explorer-coco-light-1280", tmp_path).std() > 5
    assert watched.complaints == []
    watched.close()
    made.close()


def test_at_another_strength_a_transport_is_what_a_fit_at_it_gives(pairs):
    session = session_of(aa.GaussianTransport(strength=1.0).fit(pairs.text, pairs.image), pairs.text, pairs.image)
    fitted = aa.GaussianTransport(strength=0.3).fit(pairs.text, pairs.image)
    expected = fitted.transform(session.y, out_dtype="float64")
    np.testing.assert_allclose(session.aligned(0.3), expected, atol=1e-6)


def test_pairs_that_ids_contradict_are_refused(pairs, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name, order in (("text", np.arange(400)), ("image", np.arange(400)[::-1])):
        np.save(tmp_path / f"{name}.npy", getattr(pairs, name)[order])
        pq.write_table(pa.table({"id": [f"scene {row}" for row in order]}), tmp_path / f"{name}.ids.parquet")
    model = aa.MeanShift().fit(pairs.text, pairs.image)
    with pytest.raises(aa.InputError, match=r"image\.npy, shard 0, row 0 has 'scene 399'"):
        session_of(model, tmp_path / "text.npy", tmp_path / "image.npy")


def test_the_page_opens_at_the_strength_that_was_fitted(pairs, browser):
    fitted = aa.GaussianTransport(strength=0.62).fit(pairs.text, pairs.image)
    made = Served(session_of(fitted, pairs.text, pairs.image))
    watched = Watched(browser)
    watched.page.goto(made.address)
    watched.page.wait_for_selector("body[data-at]")
    assert watched.page.locator("body").get_attribute("data-at") == "0.62/0"
    watched.close()
    made.close()


def test_a_list_that_comes_late_is_not_shown(served, browser):
    from playwright.sync_api import Error

    watched, held = Watched(browser), []
    page = watched.page
    page.goto(served.address)
    page.wait_for_selector("body[data-at]")
    page.route("**/api/texts?search=red", lambda route: held.append(route))
    page.locator("#search").fill("red")
    page.wait_for_function("document.getElementById('search').value === 'red'")
    page.locator("#search").fill("no such words")
    page.wait_for_selector("#count:has-text('0 found')")
    assert len(held) == 1
    with contextlib.suppress(Error):  # the page has turned away from it
        held[0].fulfill(json={"found": 1, "offset": 0, "texts": [{"index": 0, "caption": "late"}]})
    page.wait_for_timeout(300)
    assert page.locator("#texts").inner_text() == ""
    assert watched.complaints == []
    watched.close()


def test_a_list_that_does_not_come_is_told(served, browser):
    watched = Watched(browser)
    page = watched.page
    page.goto(served.address)
    page.wait_for_selector("body[data-at]")
    page.route("**/api/texts?*", lambda route: route.fulfill(status=422, json={"error": "it sleeps"}))
    page.locator("#search").fill("red")
    page.wait_for_selector("#problem:has-text('does not answer: it sleeps')")
    page.unroute("**/api/texts?*")
    page.locator("#search").fill("blue")
    page.wait_for_selector("#count:has-text('found')")
    page.wait_for_function("document.getElementById('problem').textContent === ''")
    watched.close()


def test_one_port_has_one_explorer():
    from anisoalign.explore.server import bind

    with bind(0) as first, pytest.raises(aa.InputError, match="cannot be used"):
        bind(first.getsockname()[1])


def test_who_comes_before_the_server_answers_waits():
    from anisoalign.explore.server import bind

    with bind(0) as opened, socket.create_connection(opened.getsockname(), timeout=5) as browser:
        assert browser.getpeername() == opened.getsockname()


def test_a_method_without_a_dial_has_one_point_and_a_slider_at_rest(pairs, browser):
    made = Served(session_of(aa.MeanShift().fit(pairs.text, pairs.image), pairs.text, pairs.image))
    watched = Watched(browser)
    watched.page.goto(made.address)
    watched.page.wait_for_selector("body[data-at]")
    assert watched.page.locator("#strength").is_disabled()
    assert "has no strength: there is one point" in watched.page.locator(".about").inner_text()
    assert len(made.session.curve) == 1
    watched.close()
    made.close()


def test_the_command_serves_until_interrupted(pairs, tmp_path):
    for name, rows in (("text", pairs.text), ("image", pairs.image)):
        np.save(tmp_path / f"{name}.npy", rows)
    aa.ReAlign().fit(pairs.text, pairs.image).save(tmp_path / "model")
    words = ["explore", "model", "--source", "text.npy", "--target", "image.npy", "--paired", "--port", "0"]
    command = [sys.executable, "-m", "anisoalign", *words]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as running:
        address = None
        for line in running.stderr:
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            if found:
                address = found.group()
                break
        assert address is not None
        for _ in range(100):
            try:
                with urllib.request.urlopen(address, timeout=5) as answer:
                    assert answer.status == 200
                break
            except urllib.error.URLError:
                time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=30) == 0
