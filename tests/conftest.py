"""Set-up of the whole suite: shapes checked at run time, reproducible examples, planted sets."""

import os

# Tiny problems on several BLAS threads of a busy machine are slower than on one by far; read when numpy loads.
os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")
os.environ["OPENBLAS_NUM_THREADS"] = os.environ.get("OPENBLAS_NUM_THREADS", "1")
# No test needs the hub, and a name that is nowhere would be asked for six times; read when huggingface_hub loads.
os.environ["HF_HUB_OFFLINE"] = "1"

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

# Before any test imports the library. Only the rooms whose signatures state shapes.
_ROOMS = ("statistics", "geometry", "diagnostics", "aligners", "comparison")
install_import_hook([f"anisoalign.{room}" for room in _ROOMS], "shape_checks.checked")

# With --doctest-modules these would be imported a second time, all under the one name "conftest".
collect_ignore_glob = ["conftest.py", "*/conftest.py"]

settings.register_profile("suite", deadline=None, max_examples=20, derandomize=True)
settings.load_profile("suite")


class Planted(NamedTuple):
    """Paired unit rows that share what they mean, with a gap between them."""

    source: np.ndarray
    target: np.ndarray
    labels: np.ndarray


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows divided by their norms, the plain way in float64."""
    rows = np.asarray(rows, np.float64)
    return rows / np.sqrt((rows**2).sum(axis=1, keepdims=True))


def plant(rows: int = 300, dim: int = 16, seed: int = 0, classes: int = 5, latent: int = 6) -> Planted:
    """Two noisy linear views of the same latent points, each about its own centre, in anisotropic noise.

    Latent points cluster by class; both views fall off in energy, in different directions.
    """
    rng = np.random.default_rng([seed, rows, dim])
    labels = rng.integers(classes, size=rows)
    points = rng.normal(size=(classes, latent))[labels] + 0.5 * rng.normal(size=(rows, latent))
    shared = rng.normal(size=(latent, dim))
    views = []
    for _ in range(2):
        view = (shared + 0.5 * rng.normal(size=(latent, dim))) * (0.8 ** np.arange(latent))[:, None]
        noise = rng.normal(size=(rows, dim)) * 0.9 ** np.arange(dim)
        views.append(unit(3.0 * unit(rng.normal(size=(1, dim))) + 0.3 * points @ view + 0.2 * noise))
    return Planted(views[0], views[1], labels.astype(str))


@pytest.fixture(scope="session")
def make_planted() -> Callable[..., Planted]:
    """Maker of planted sets: rows, dim, seed, classes, latent."""
    return plant


@pytest.fixture(scope="session")
def planted() -> Planted:
    """One planted set, 300 × 16."""
    return plant()


@pytest.fixture(scope="session")
def turn() -> Callable[[int, int], np.ndarray]:
    """Maker of random orthogonal matrices: dim, seed."""

    def make(dim: int, seed: int) -> np.ndarray:
        q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))
        return q * np.sign(np.diagonal(r))

    return make


@pytest.fixture(scope="session")
def write_shards() -> Callable[..., Path]:
    """Writer of a folder of .npy shards with the given numbers of rows."""

    def write(folder: Path, rows: np.ndarray, sizes: list[int]) -> Path:
        folder.mkdir()
        for number, part in enumerate(np.split(rows, np.cumsum(sizes)[:-1])):
            np.save(folder / f"part-{number:03d}.npy", part)
        return folder

    return write


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Run `anisoalign` with the given arguments, in this process: exit code and both streams."""
    from anisoalign.cli import main

    def call(*arguments: object) -> Ended:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["anisoalign", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        streams = capsys.readouterr()
        return Ended(0 if code is None else int(code), streams.out, streams.err)

    return call


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder of the real embeddings; tests that use it skip where it is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ANISOALIGN_DATA", beside))
    if not (folder / "golden.json").is_file():
        pytest.skip("the real embeddings are absent: set ANISOALIGN_DATA to the folder that holds golden.json")
    return folder
