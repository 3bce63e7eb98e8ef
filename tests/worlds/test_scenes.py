"""Scenes, pictures and captions: reproducible for any batch split, and saying what they should."""

import numpy as np
import pytest

from anisoalign.worlds import DOMAINS, RenderedWorld, caption, draw_scenes, render
from anisoalign.worlds.captions import RARE_WORD
from anisoalign.worlds.domains import MENTIONS, domain_named
from anisoalign.worlds.tokens import tokenize
from anisoalign.worlds.vocabulary import COLOURS, LABEL_NAMES, SHAPES, UNKNOWN, WORDS


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("split", [1, 7, 40])
def test_a_scene_does_not_depend_on_its_batch(domain: str, split: int) -> None:
    whole = draw_scenes(40, seed=3, domain=domain)
    parts = [draw_scenes(min(split, 40 - start), 3, domain, start) for start in range(0, 40, split)]
    assert list(whole) == [scene for part in parts for scene in part]
    np.testing.assert_array_equal(render(whole), np.concatenate([render(part) for part in parts]))


def test_indexing_takes_the_same_rows_as_drawing_them() -> None:
    scenes = draw_scenes(30, seed=1, domain="training")
    assert list(scenes[10:13]) == [scenes[10], scenes[11], scenes[12]]
    np.testing.assert_array_equal(render(scenes[np.array([4, 2])]), render(scenes)[[4, 2]])


def test_seed_and_domain_change_the_scenes() -> None:
    drawn = [render(draw_scenes(20, seed, domain)) for seed in (0, 1) for domain in DOMAINS]
    for i in range(len(drawn)):
        for j in range(i):
            assert np.abs(drawn[i].astype(int) - drawn[j]).mean() > 10


@pytest.mark.parametrize("domain", DOMAINS)
def test_pictures_are_bytes_and_use_their_range(domain: str) -> None:
    pictures = render(draw_scenes(200, seed=0, domain=domain))
    assert pictures.shape == (200, 32, 32, 3)
    assert pictures.dtype == np.uint8
    assert pictures.min() < 30
    assert pictures.max() > 225
    assert pictures.std(axis=(1, 2, 3)).min() > 2  # no empty picture


def test_an_object_is_painted_where_its_scene_says() -> None:
    scenes = draw_scenes(3000, seed=0, domain="training")
    chosen = [i for i, s in enumerate(scenes) if s.main.fill == "plain" and s.main.shape == "square"]
    pictures = render(scenes)
    reds = []
    for row in chosen:
        main = scenes[row].main
        pixel = pictures[row, int(main.y * 32), int(main.x * 32)].astype(int)
        reds.append((main.colour == "red", pixel[0] - pixel[2]))
    assert np.mean([d for red, d in reds if red]) > np.mean([d for red, d in reds if not red]) + 40


def test_label_is_colour_and_shape_of_the_main_object() -> None:
    scenes = draw_scenes(300, seed=0, domain="shifted")
    for row, scene in enumerate(scenes):
        assert scene.label == scenes.label[row]
        assert LABEL_NAMES[scene.label] == f"{scene.main.colour} {scene.main.shape}"
        assert all(scene.main.radius > other.radius for other in scene.objects[1:])
    assert len(LABEL_NAMES) == 64
    assert len(np.unique(draw_scenes(3000, 0, "shifted").label)) == 64


@pytest.mark.parametrize("domain", DOMAINS)
def test_mention_rates_are_those_of_the_domain_and_very_uneven(domain: str) -> None:
    law = domain_named(domain)
    scenes = draw_scenes(20_000, seed=0, domain=domain)
    rates = np.average(
        [law.terse_rates, law.detailed_rates], axis=0, weights=[1 - law.detailed_share, law.detailed_share]
    )
    np.testing.assert_allclose(scenes.mentions.mean(axis=0), rates, atol=0.015)
    rate = dict(zip(MENTIONS, rates, strict=True))
    assert rate["colour"] > 0.8
    assert min(rate["position"], rate["background"], rate["fill"]) < 0.25


def test_captions_say_what_they_mention_and_nothing_else() -> None:
    words = {}
    words["colour"] = {*COLOURS, *(RARE_WORD[name] for name in COLOURS)}
    words["shape"] = {*SHAPES, *(RARE_WORD[name] for name in SHAPES)}
    for scene in draw_scenes(500, seed=0, domain="shifted"):
        if len(scene.objects) > 1 or scene.told_as is not None:
            continue
        said = set(caption(scene).split())
        for attribute in ("colour", "shape"):
            assert bool(said & words[attribute]) == (attribute in scene.mentions)
            name = getattr(scene.main, attribute)
            if attribute in scene.mentions:
                assert said & words[attribute] == {RARE_WORD[name] if scene.rare_words else name}


def test_wrong_captions_come_at_the_rate_of_the_domain() -> None:
    scenes = draw_scenes(20_000, seed=0, domain="training")
    wrong = np.mean([scene.told_as is not None for scene in scenes])
    assert wrong == pytest.approx(domain_named("training").wrong_rate, abs=0.01)


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_word_of_a_caption_is_known(domain: str) -> None:
    tokens = tokenize([caption(scene) for scene in draw_scenes(5000, seed=0, domain=domain)])
    assert not np.any(tokens == WORDS.index(UNKNOWN))
    assert tokens.shape[1] <= 32


def test_captions_of_any_case_and_punctuation_are_read() -> None:
    np.testing.assert_array_equal(tokenize(["A red circle."]), tokenize(["a red circle"]))
    assert tokenize(["zebra"])[0, 0] == WORDS.index(UNKNOWN)
    assert tokenize([""]).shape == (1, 1)


def test_an_unknown_domain_is_refused() -> None:
    with pytest.raises(ValueError, match="no domain named 'photographs'; there are shifted, training"):
        RenderedWorld.load().embed(rows=1, domain="photographs")
