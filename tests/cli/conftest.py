"""Two small sets for the commands."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from anisoalign.geometry import normalize


class Sides(NamedTuple):
    """Two sets on disk whose rows are pairs, and labels."""

    text: Path
    image: Path
    labels: Path


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    """150 pairs of width 12 in four classes, apart by an offset; the text's variance is uneven."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 4, 150)
    meaning = rng.normal(size=(4, 12))[label] + 0.4 * rng.normal(size=(150, 12))
    text = normalize(meaning * np.linspace(0.3, 1.2, 12) + 1.0 + 0.3 * rng.normal(size=(150, 12)))
    image = normalize(meaning - 1.0 + 0.3 * rng.normal(size=(150, 12)))
    np.save(tmp_path / "text.npy", text.astype(np.float32))
    np.save(tmp_path / "image.npy", image.astype(np.float32))
    (tmp_path / "label.txt").write_text("".join(f"class {i}\n" for i in label))
    return Sides(tmp_path / "text.npy", tmp_path / "image.npy", tmp_path / "label.txt")
