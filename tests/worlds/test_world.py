"""The embedded world as its users see it: shapes, batches, weights, progress."""

import json
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest

from anisoalign.worlds import DOMAINS, RenderedWorld
from anisoalign.worlds.domains import TRAINING
from anisoalign.worlds.towers import TowerSettings
from anisoalign.worlds.vocabulary import LABEL_NAMES
from anisoalign.worlds.weights import SHIPPED, load_towers


@pytest.fixture(scope="module")
def world() -> RenderedWorld:
    return RenderedWorld.load()


@pytest.mark.parametrize("domain", DOMAINS)
def test_pairs_have_the_promised_shapes_and_unit_rows(world: RenderedWorld, domain: str) -> None:
    pairs = world.embed(rows=50, seed=0, domain=domain)
    for rows in (pairs.image, pairs.text):
        assert rows.shape == (50, 256)
        assert rows.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert pairs.label.dtype == np.int64
    assert pairs.label.shape == (50,)
    assert pairs.label_name == list(LABEL_NAMES)
    assert len(pairs.caption) == len(pairs) == 50


def test_embedding_is_encoding_what_is_drawn(world: RenderedWorld) -> None:
    pairs = world.embed(rows=30, seed=4)
    scenes = world.scenes(30, seed=4)
    np.testing.assert_allclose(world.encode_images(world.render(scenes)), pairs.image, atol=1e-5)
    np.testing.assert_allclose(world.encode_texts(pairs.caption), pairs.text, atol=1e-5)
    np.testing.assert_array_equal(scenes.label, pairs.label)


def test_rows_do_not_depend_on_the_batch(world: RenderedWorld) -> None:
    whole = world.embed(rows=1200, seed=2)
    part = world.embed(rows=150, seed=2, start=950)  # across the border of two batches
    np.testing.assert_allclose(part.image, whole.image[950:1100], atol=1e-5)
    np.testing.assert_allclose(part.text, whole.text[950:1100], atol=1e-5)
    assert part.caption == whole.caption[950:1100]


def test_progress_is_told_after_each_batch(world: RenderedWorld) -> None:
    told: list[tuple[int, int]] = []
    world.embed(rows=1100, seed=0, progress=lambda done, total: told.append((done, total)))
    assert told == [(1000, 1100), (1100, 1100)]


def test_nothing_in_gives_nothing_out(world: RenderedWorld) -> None:
    assert world.encode_texts([]).shape == (0, 256)
    assert world.embed(rows=0).image.shape == (0, 256)


def test_pictures_of_another_kind_are_refused(world: RenderedWorld) -> None:
    with pytest.raises(ValueError, match="uint8"):
        world.encode_images(np.zeros((2, 32, 32, 3), dtype=np.float32))


def test_shipped_weights_are_small_and_say_where_they_come_from() -> None:
    files = [SHIPPED / "weights.safetensors", SHIPPED / "weights.json"]
    assert sum(file.stat().st_size for file in files) <= 3_000_000
    _, described = load_towers()
    assert described["schema_version"] == 1
    assert described["provenance"]["command"].startswith("python -m anisoalign.worlds.train")
    assert {"seed", "steps", "batch", "logit_scale", "domain"} <= set(described["provenance"])


def test_shipped_weights_were_trained_on_the_training_domain_as_it_is_now() -> None:
    law = json.loads(json.dumps(asdict(TRAINING)))  # tuples become lists, as in the file
    assert RenderedWorld.load().provenance["domain"] == law
    assert RenderedWorld.load().towers.settings == TowerSettings()


def test_weights_for_other_words_are_refused(tmp_path) -> None:
    (tmp_path / "weights.safetensors").write_bytes((SHIPPED / "weights.safetensors").read_bytes())
    described = json.loads((SHIPPED / "weights.json").read_text())
    (tmp_path / "weights.json").write_text(json.dumps({**described, "words": ["a"]}))
    with pytest.raises(ValueError, match="other words"):
        RenderedWorld.load(tmp_path)
    (tmp_path / "weights.json").write_text(json.dumps({**described, "schema_version": 99}))
    with pytest.raises(ValueError, match="schema_version 99"):
        RenderedWorld.load(tmp_path)


def test_the_world_needs_no_plotting_library() -> None:
    code = "import sys, anisoalign.worlds; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
