"""Captions and answers scored: hand-worked values and what must hold whatever is said. No language model."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anisoalign.embeddings import InputError
from anisoalign.mllm.cider import cider_d
from anisoalign.mllm.questions import read_questions
from anisoalign.mllm.scoring import summarise

CAPTIONS = st.lists(st.sampled_from(["red", "blue", "ring", "star", "a", "on"]), min_size=4, max_size=9).map(" ".join)


def test_cider_of_a_hand_worked_pair():
    # Two pictures; of the candidate's words only "red" is shared with its reference, and is rare (df 1 of 2).
    scores = cider_d(["red ball here now", "x y z w"], [["red star far away"], ["p q r s"]])
    # Unigrams: vectors of 4 words, all of weight log 2, one in common: cosine 1/4. No longer n-gram in common.
    assert scores[0] == pytest.approx(10 * (1 / 4) / 4)
    assert scores[1] == 0


def test_cider_clips_repetition_and_damps_length():
    references = [["red star"], ["blue ring"]]
    # Counts: red 4 against 1: min(4, 1)·1 / (4 · √2) weights; lengths 4 and 2, Δ = 2.
    expected = 10 * math.exp(-4 / 72) * (1 / (4 * math.sqrt(2))) / 4
    assert cider_d(["red red red red", "q"], references)[0] == pytest.approx(expected)


def test_a_word_of_every_picture_weighs_nothing():
    assert cider_d(["red"] * 2, [["red"], ["red"]]) == [0, 0]


@given(st.lists(CAPTIONS, min_size=3, max_size=6, unique=True))
def test_the_own_reference_scores_highest_and_order_does_not_matter(captions):
    references = [[caption] for caption in captions]
    own = cider_d(captions, references)
    assert all(0 <= score <= 10 + 1e-9 for score in own)
    turned = cider_d([*captions[1:], captions[0]], references)
    assert all(a >= b - 1e-9 for a, b in zip(own, turned, strict=True))
    assert cider_d(captions[::-1], references[::-1]) == pytest.approx(own[::-1])
    # More references of the same words leave the score as it is, as do case and punctuation.
    assert cider_d([f"{c.upper()}!" for c in captions], [r * 2 for r in references]) == pytest.approx(own)


def test_an_exact_caption_of_rare_words_scores_ten():
    assert cider_d(["a red ring here", "b c d e"], [["a red ring here"], ["f g h i"]])[0] == pytest.approx(10)


def ask(*records):
    return read_questions([{"id": 1, "question": "q", **record} for record in records])


def test_yes_and_no_are_counted():
    asked = ask(*[{"answer": answer, "group": "g"} for answer in ("yes", "yes", "no", "no", "no")])
    kinds = summarise(asked, ["Yes.", "no", "yes, it is", "No", "maybe"]).kinds["yes/no"]
    assert kinds == {
        "rows": 5,
        "accuracy": 2 / 5,
        "precision": 1 / 2,
        "recall": 1 / 2,
        "f1": 1 / 2,
        "yes_rate": 2 / 5,
        "unanswered": 1 / 5,
    }


def test_exact_match_looks_past_case_articles_and_punctuation_only():
    asked = ask({"answer": "red ring"}, {"answers": ["two", "2"]}, {"answer": "red ring"}, {"answer": "?"})
    found = summarise(asked, ["The red, ring.", "2", "ring red", "!"])
    assert found.kinds["exact"]["accuracy"] == 0.5


@pytest.mark.parametrize(
    ("answers", "said", "expected"),
    [
        # Of ten sets of nine, nine hold the one dog: 9 · 1/3 / 10.
        (["cat"] * 9 + ["dog"], "dog", 0.3),
        (["cat"] * 9 + ["dog"], "A cat.", 1.0),
        # Two of ten: eight sets hold both, two hold one: (8 · 2/3 + 2 · 1/3) / 10.
        (["cat"] * 8 + ["dog"] * 2, "dog", 0.6),
        # Three of ten: seven sets hold all, three hold two: (7 · 1 + 3 · 2/3) / 10.
        (["cat"] * 7 + ["dog"] * 3, "dog", 0.9),
        (["cat"] * 6 + ["dog"] * 4, "dog", 1.0),
        (["cat"] * 10, "dog", 0.0),
        (["2"] * 10, "two", 1.0),
        (["two"] * 5 + ["2"] * 5, "2", 1.0),
        (["don't know"] * 10, "Dont know!", 1.0),
        (["1000"] * 10, "1,000", 1.0),
        (["black and white"] * 10, "black-and-white", 1.0),
        (["3.5"] * 10, "35", 0.0),
        # Fewer than ten people: of two sets of one, each holds the word once; of three of two, twice.
        (["cat"] * 2, "cat", 1 / 3),
        (["cat"] * 3, "cat", 2 / 3),
        (["cat"] * 4, "cat", 1.0),
        # Of five sets of four, two hold one dog and three hold two: (2 · 1/3 + 3 · 2/3) / 5.
        (["cat"] * 3 + ["dog"] * 2, "dog", 8 / 15),
    ],
)
def test_vqa_accuracy_of_hand_worked_answers(answers, said, expected):
    asked = ask({"answers": answers, "kind": "vqa"})
    assert summarise(asked, [said]).kinds == {"vqa": {"rows": 1, "accuracy": pytest.approx(expected)}}


def test_answers_without_that_kind_are_right_where_any_is_said():
    asked = ask({"answers": ["cat"] * 9 + ["dog"]})
    assert summarise(asked, ["dog"]).kinds == {"exact": {"rows": 1, "accuracy": 1.0}}


@pytest.mark.parametrize(
    ("answer", "right", "wrong"),
    [
        ("-5", ["-5.", "the -5", "(-5)", "\u22125"], ["5", "- 5", "3-5"]),
        ("5", ["5.", "the 5"], ["-5", ".5", "0.5"]),
        ("3.5", ["3.5.", "3.5 "], ["35", "3 5", "-3.5"]),
        ("in-between", ["in between", "In-between."], ["inbetween"]),
        ("1-2", ["1-2", "1 2"], ["1 -2"]),
    ],
)
def test_a_number_keeps_its_sign_and_point(answer, right, wrong):
    for said, share in ((right, 1.0), (wrong, 0.0)):
        asked = ask(*[{"answer": answer}] * len(said))
        assert summarise(asked, said).kinds["exact"]["accuracy"] == share


@pytest.mark.parametrize(
    ("answer", "right", "wrong"),
    [
        ("A", ["A.", "a", "(A)", "A)", "**A**"], ["B", "the", "."]),
        ("B", ["B.", "b", "(B)", "a B"], ["A"]),
        ("the", ["The."], ["a"]),
        ("don't", ["don\u2019t", "Don't."], ["dont"]),
        ("caf\u00e9", ["cafe\u0301", "Cafe\u0301!"], ["cafe"]),
        ("1000", ["1,000", "1,000."], ["1.000", "1 000"]),
        ("1,234,567", ["1234567"], ["1,234567"]),
        ("1, 2", ["1,2", "1 2"], ["12"]),
    ],
)
def test_an_answer_may_be_written_in_several_ways(answer, right, wrong):
    for said, share in ((right, 1.0), (wrong, 0.0)):
        asked = ask(*[{"answer": answer}] * len(said))
        assert summarise(asked, said).kinds["exact"]["accuracy"] == share


def test_true_and_false_are_yes_and_no():
    asked = ask({"answer": True}, {"answers": [False]}, {"answer": False, "choices": [True, False]})
    assert [(one.kind, one.answers) for one in asked] == [
        ("yes/no", ("yes",)),
        ("yes/no", ("no",)),
        ("choice", ("no",)),
    ]


@pytest.mark.parametrize(("answer", "truth"), [("true", True), ("True.", True), ("Yes.", True), ("FALSE", False)])
def test_true_and_false_may_be_written_and_said(answer, truth):
    asked = ask(*[{"answer": answer}] * 4)
    assert {one.kind for one in asked} == {"yes/no"}
    right, wrong = (["True", "yes."], ["False.", "no"]) if truth else (["False.", "no"], ["True", "yes."])
    found = summarise(asked, [*right, *wrong]).kinds["yes/no"]
    assert (found["accuracy"], found["unanswered"]) == (0.5, 0)
    assert summarise(asked[:2], right).kinds["yes/no"]["accuracy"] == 1


def test_what_is_said_with_more_words_than_yes_or_no_is_matched_exactly():
    assert {one.kind for one in ask({"answer": "no one"}, {"answer": "true north"}, {"answers": ["yes", "no"]})} == {
        "exact"
    }


def test_a_number_is_a_choice_or_the_number_of_one():
    asked = ask(
        {"choices": [1999, 2001], "answer": 2001},
        {"choices": ["1999", "2001"], "answer": 1},
        {"choices": ["red", "blue"], "answer": 1},
        {"choices": [1, 2, 3], "answer": "2"},
        {"choices": [0, 1, 2], "answer": 2},
        {"choices": [0.5, 1.5], "answer": 1.5},
        {"choices": [4.0, 2.0], "answer": 4},
    )
    assert [one.answers for one in asked] == [("2001",), ("2001",), ("blue",), ("2",), ("2",), ("1.5",), ("4.0",)]


def test_spaces_around_a_choice_are_not_said():
    (one,) = ask({"choices": ["red ", "\tdark blue\n"], "answer": " red"})
    assert (one.choices, one.answers, one.kind) == (("red", "dark blue"), ("red",), "choice")


def test_a_choice_that_cannot_be_scored_is_refused_with_its_line(tmp_path):
    good = {"id": 0, "question": "q", "choices": ["red", "blue"], "answer": "red"}
    path = tmp_path / "bench.jsonl"
    for choices, message in (
        (["red", " "], "choice 1, counted from 0, is empty"),
        (["red", "blue", "red "], "choices 0 and 2, counted from 0, are both 'red'"),
        ("red", "'choices' is a list, not 'red'"),
    ):
        path.write_text(json.dumps(good) + "\n" + json.dumps({**good, "choices": choices}) + "\n")
        with pytest.raises(InputError, match=f"bench.jsonl, line 2: {message}"):
            read_questions(path)


def test_numbers_of_numpy_are_numbers():
    assert ask({"choices": [np.int64(1), np.float32(2.5)], "answer": "2.5"})[0].choices == ("1", "2.5")


def test_answers_that_are_null_are_not_there():
    assert ask({"answers": None, "answer": "yes"}, {"answers": ["yes"], "answer": None})[0].answers == ("yes",)


def test_groups_are_scored_apart():
    asked = ask({"answer": "a b", "group": "x"}, {"answer": "c", "group": "y"}, {"answer": "c", "group": "y"})
    found = summarise(asked, ["a b", "c", "d"])
    assert found.groups["x"]["exact"] == {"rows": 1, "accuracy": 1.0 * (found.predictions[0] == "a b")}
    assert found.groups["y"]["exact"]["accuracy"] == 0.5
    assert found.kinds["exact"]["accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"question": "q"}, "needs 'id' and 'question'"),
        ({"id": None, "question": "q", "answer": "a"}, "needs 'id' and 'question'"),
        ({"id": 1, "question": "q"}, "no 'answer'"),
        ({"id": 1, "question": "q", "answer": math.nan}, "a text or a number, not nan"),
        ({"id": 1, "question": "q", "answers": ["a", math.inf]}, "a text or a number, not inf"),
        ({"id": 1, "question": "q", "choices": ["a", None], "answer": "a"}, "a text or a number, not None"),
        ({"id": 1, "question": "q", "answer": " "}, "no 'answer', or an empty one"),
        ({"id": 1, "question": " ", "answer": "a"}, "the question is empty"),
        ({"id": 1, "question": "q \ud83d", "answer": "a"}, "the question is not Unicode text"),
        ({"id": 1, "question": "q", "choices": ["a", "\udc00"], "answer": "a"}, "an answer or choice is not Unicode"),
        ({"id": 1, "question": "q", "answers": None}, "no 'answer'"),
        ({"id": 1, "question": "q", "choices": ["a", "b"], "answer": "c"}, "'answer' among them"),
        ({"id": 1, "question": "q", "choices": ["a", "b"], "answer": 2}, "answer 2 is none of the 2 choices"),
        ({"id": 1, "question": "q", "choices": ["a", "b"], "answer": -1}, "answer -1 is none of the 2 choices"),
        ({"id": 1, "question": "q", "choices": [1, 2, 3, 4], "answer": 2}, "answer 2 may mean '2' or '3', the choice"),
        ({"id": 1, "question": "q", "choices": ["1.0", "2.0"], "answer": 1}, "answer 1 may mean '1.0' or '2.0'"),
        ({"id": 1, "question": "q", "kind": "yes/no", "answer": "red"}, "must be yes or no"),
        ({"id": 1, "question": "q", "kind": "vqa", "answer": "red"}, "two 'answers' or more"),
        ({"id": 1, "question": "q", "kind": "essay", "answer": "red"}, "kind is one of"),
    ],
)
def test_questions_that_cannot_be_scored_are_refused(record, message):
    with pytest.raises(InputError, match=f"record 1: .*{message}"):
        read_questions([{"id": 0, "question": "q", "answer": "a"}, record])
