"""What the tests of pages in a real browser share."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome")
WATCH = """() => {
  const wide = [...document.querySelectorAll("body *")].filter((e) => {
    if (e.closest(".wide-table, nav, svg, [hidden], .switch legend")) return false;
    return e.getBoundingClientRect().right > innerWidth + 1;
  });
  return [document.documentElement.scrollWidth, wide.map((e) => e.tagName + "." + e.className)];
}"""
"""Width of the page, and elements that stick out of it."""


def open_browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright, which otherwise downloads a browser of its own."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watched:
    """A tab and all that it complained of or asked for."""

    def __init__(self, browser: Any, width: int = 1280, height: int = 900, scheme: str = "light"):
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, accept_downloads=True
        )
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def close(self) -> None:
        self.context.close()


def keep(page: Any, name: str, folder: Path, full: bool = True) -> np.ndarray:
    """Take a screenshot and return its pixels; kept where ANISOALIGN_SCREENSHOTS names a folder."""
    path = Path(os.environ.get("ANISOALIGN_SCREENSHOTS", folder)) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path, full_page=full)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def contrast(page: Any, ink: str, paper: str) -> float:
    """WCAG contrast of two of the page's colours, by the names of their variables."""
    pick = "([a, b]) => [a, b].map((n) => getComputedStyle(document.documentElement).getPropertyValue(n).trim())"
    lights = []
    for colour in page.evaluate(pick, [ink, paper]):
        part = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
        lights.append(float(linear @ [0.2126, 0.7152, 0.0722]))
    return (max(lights) + 0.05) / (min(lights) + 0.05)
