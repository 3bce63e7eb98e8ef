"""Small models, pictures and sounds for the tests of encoders."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tiny_encoders import caption, picture


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Callable[..., Path]:
    """Folder of a small model by the name of its maker in `tiny_encoders`, made once."""
    import tiny_encoders

    made: dict[str, Path] = {}

    def make(kind: str, **options) -> Path:
        name = "-".join([kind, *(f"{key}{value}" for key, value in options.items())])
        if name not in made:
            made[name] = getattr(tiny_encoders, kind)(tmp_path_factory.mktemp("models") / name, **options)
        return made[name]

    return make


@pytest.fixture
def encoder(model_folder):
    """A small CLIP."""
    from anisoalign.encoders import open_encoder

    return open_encoder(str(model_folder("clip")))


@pytest.fixture
def photos(tmp_path) -> Path:
    """23 pictures in two folders with captions beside them."""
    folder = tmp_path / "photos"
    for seed in range(23):
        place = folder / ("cats" if seed % 2 else "dogs")
        place.mkdir(parents=True, exist_ok=True)
        picture(seed).save(place / f"{seed}.png")
        (place / f"{seed}.txt").write_text(caption(seed) + "\n", encoding="utf-8")
    return folder
