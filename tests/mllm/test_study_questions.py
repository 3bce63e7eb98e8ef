"""Questions of the study: answers only from what is said or seen, and none to be guessed from the question."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from anisoalign.mllm.study.corpus import _RANGES, Sizes, make_corpus
from anisoalign.mllm.study.described import Description, Thing, read, seen
from anisoalign.mllm.study.questions import (
    FORMS,
    GROUP_OF,
    LOOK_ALIKE,
    Question,
    ask_all,
    balanced,
    even,
)
from anisoalign.worlds import caption, draw_scenes
from anisoalign.worlds.domains import MENTIONS


def asked(descriptions, seed=0):
    return [q for n, d in enumerate(descriptions) for q in ask_all(d, n, np.random.default_rng([seed, n]))]


@pytest.mark.parametrize("domain", ["shifted", "training"])
def test_reading_a_caption_gives_what_its_words_say_and_no_more(domain):
    for scene in draw_scenes(1500, 5, domain):
        told = scene.told_as or scene
        truth, said = seen(told), told.mentions
        main = replace(
            truth.main,
            **{name: None for name in ("colour", "shape", "size", "fill") if name not in said},
            **({} if "position" in said else {"column": None, "line": None}),
        )
        others = truth.things[1:] if "others" in said else ()
        background = truth.background if "background" in said else None
        assert read(caption(scene)) == Description((main, *others), background), caption(scene)


def test_what_a_caption_does_not_say_is_not_asked():
    forms = {q.form for q in asked([read("a crimson disc")])}
    silent = {"where", "how large", "what background", "is the background", "nearer edge", "colours alike"}
    assert "what colour" in forms
    assert not forms & silent
    assert not {q.form for q in asked([read("a shape")])} & {"what colour", "which shape", "is there a pair"}
    assert len(MENTIONS) == 7, "a caption can say more than these tests know"


def test_conversations_follow_the_caption_where_it_is_wrong():
    scene = next(
        s
        for s in draw_scenes(2000, 1, "shifted")
        if s.told_as
        and s.told_as.main.colour != s.main.colour
        and "colour" in s.mentions
        and "shape" in s.mentions
        and len(s.told_as.objects) == 1
    )
    (question,) = [q for q in asked([read(caption(scene))]) if q.form == "what colour"]
    assert question.answer == scene.told_as.main.colour


def test_answers_about_a_planted_scene_are_right():
    red_ring = Thing("red", "ring", "large", "plain", "left", "upper")
    told = Description((red_ring, Thing("blue", "star")), "navy")
    right = {
        "what colour": "red",
        "which shape": "ring",
        "where": "upper left",
        "how many": "two",
        "how large": "large",
        "what background": "navy",
        "how many warm": "one",
        "warm or cold": "warm",
        "round or straight": "round",
        "both warm and round": "yes",
        "colours alike": "no",
        "which is main": "red",
        "nearer edge": "left",
    }
    found = {q.form: q for q in asked([told])}
    assert {form: found[form].answer for form in right} == right
    for seed in range(200):
        for question in asked([told], seed):
            if GROUP_OF[question.form] != "hallucination":
                continue
            words = set(question.text.split())
            truth = {
                "is there a pair": bool({"red", "ring"} <= words or {"blue", "star"} <= words),
                "is there a shape": bool(words & {"ring", "star"}),
                "is there a colour": bool(words & {"red", "blue"}),
                "is there one beside": "blue" in words,
                "is the background": "navy" in words,
            }[question.form]
            assert question.answer == ("yes" if truth else "no"), question


def test_look_alikes_are_pairs():
    assert all(LOOK_ALIKE[LOOK_ALIKE[name]] == name != LOOK_ALIKE[name] for name in LOOK_ALIKE)


def test_every_answer_of_a_form_comes_as_often():
    kept = balanced(asked(map(seen, draw_scenes(2000, 2, "shifted"))), 90, np.random.default_rng(0))
    assert {q.form for q in kept} == set(GROUP_OF)
    for form in GROUP_OF:
        answers = Counter(q.answer for q in kept if q.form == form)
        assert len(set(answers.values())) == 1, (form, answers)


def majority_accuracy(known: Sequence[Question], tested: Sequence[Question]) -> dict[str, float]:
    """Accuracy, by form, of the answer most common in ``known`` for the very words of each question in ``tested``."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for question in known:
        counts[question.text][question.answer] += 1
    guess = {text: max(answers, key=lambda answer: answers[answer]) for text, answers in counts.items()}
    right: dict[str, list[bool]] = defaultdict(list)
    for question in tested:
        right[question.form].append(guess.get(question.text) == question.answer)
    return {form: float(np.mean(found)) for form, found in right.items()}


def test_the_words_of_a_question_do_not_give_its_answer_away():
    """The commonest answer to the very words of each question, learned on other scenes, does no better than chance."""
    known, tested = (
        balanced(asked(map(seen, draw_scenes(4000, seed, "shifted"))), 10**6, np.random.default_rng(seed))
        for seed in (3, 4)
    )
    for form, accuracy in majority_accuracy(known, tested).items():
        answers = {q.answer for q in tested if q.form == form}
        choices = 2 if form == "which is main" else len(answers)  # two are named in the question
        rows = sum(q.form == form for q in tested)
        chance = 1 / choices
        assert accuracy < chance + 0.025 + 3 * np.sqrt(chance * (1 - chance) / rows), form


def test_majority_accuracy_sees_a_giveaway():
    known = [Question(0, "f", "is it red ?", "yes")] * 3 + [Question(0, "f", "is it blue ?", "no")] * 3
    assert majority_accuracy(known, known) == {"f": 1.0}


def test_even_keeps_rare_forms_whole_and_cuts_common_ones():
    many = [Question(n, form, "", "") for form, count in (("a", 100), ("b", 10), ("c", 50)) for n in range(count)]
    counts = Counter(q.form for q in even(many, 70))
    assert counts == {"b": 10, "a": 30, "c": 30}
    assert len(even(many, 10**6)) == len(many)


def test_nothing_is_both_fitted_and_tested(tmp_path):
    sizes = Sizes(fitted=30, texts=20, tuned=10, tested=300, per_form=6)
    corpus = make_corpus(11, sizes, 2, tmp_path)
    again = make_corpus(11, sizes, 2, tmp_path)
    assert np.array_equal(corpus.text, again.text)
    assert len(corpus.text) == len(corpus.captions) == 40
    rows = [corpus.fitted_image, corpus.image, corpus.tuned_image, corpus.tested_image]
    every = np.concatenate(rows)
    assert len(np.unique(every, axis=0)) == len(every)
    starts = sorted(_RANGES.values())
    assert min(np.diff(starts)) >= 1_000_000
    once = make_corpus(11, sizes, 1, tmp_path)
    assert once.captions == corpus.captions[:20], "more texts are the same ones and others"
    assert {q.scene for q in corpus.told} <= set(range(40))


def test_every_group_of_the_paper_is_asked():
    assert set(FORMS) == {"perception", "reasoning", "hallucination"}
