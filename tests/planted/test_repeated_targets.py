"""Targets that stand in several rows: how many, what that does to recall, and that it is told."""

import warnings

import numpy as np
import pytest

import anisoalign as aa
from anisoalign.diagnostics import measure_controls
from anisoalign.diagnostics.repeats import count_repeats
from anisoalign.geometry import normalize


@pytest.fixture
def captioned():
    """100 captions of 20 images, five each, that find their image without fail; the images, a row for each caption."""
    rng = np.random.default_rng(0)
    image = normalize(rng.normal(size=(20, 8))).repeat(5, axis=0)
    return normalize(image + 0.02 * rng.normal(size=(100, 8))), image


METHODS = ["mean-shift", "realign"]
NEIGHBOURLY = ("recall", "penetration", "coverage", "neighbour", "balance")


def said_by(call) -> list[str]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        call()
    return [str(each.message) for each in said]


def test_copies_are_counted_whatever_their_order_and_their_last_digits():
    rng = np.random.default_rng(1)
    rows = normalize(rng.normal(size=(3_000, 16)))
    assert count_repeats(rows) == 0
    copies = rng.permutation(np.concatenate([rows, rows[:40], rows[:40]]))
    assert count_repeats(copies) == 80
    assert count_repeats(copies.astype(np.float32)) == 80


@pytest.mark.parametrize("spectrum", [0.0, 1.0])
@pytest.mark.parametrize("noise", [1e-8, 5e-6])
@pytest.mark.parametrize("dim", [16, 512])
def test_copies_are_counted_where_they_were_encoded_in_other_batches(dim, noise, spectrum):
    """None is missed and none invented, also where all rows lie about one direction and vary in few others."""
    rng = np.random.default_rng(2)
    rows = normalize(1 + rng.normal(size=(3_000, dim)) * np.arange(1, dim + 1) ** -spectrum)
    assert count_repeats(rows) == 0
    again = rows[rng.integers(1_000, size=1_500)]
    mixed = rng.permutation(np.concatenate([rows, again]))
    noisy = normalize(mixed + noise * rng.normal(size=mixed.shape))
    assert count_repeats(noisy) == 1_500
    assert count_repeats(noisy.astype(np.float32)) == 1_500


def test_rows_that_lie_ten_times_as_far_apart_as_noise_sets_them_are_no_copies():
    rng = np.random.default_rng(3)
    rows = normalize(rng.normal(size=(100, 512)))
    near = normalize(rows + 2.5e-4 * rng.normal(size=rows.shape))
    assert count_repeats(np.concatenate([rows, near])) == 0


def test_evaluation_of_pairs_tells_the_bound_and_the_bound_holds(captioned):
    text, image = captioned
    with pytest.warns(UserWarning, match=r"80 of 100 target rows repeat another.*exceed 0\.20") as said:
        report = aa.evaluate(text, image, text, paired=True)
    assert len(said) == 1
    assert report.recall_at_1 == pytest.approx(0.2)  # perfect search, and no more than that
    assert (report.reverse_recall_at_1 or 0) <= 0.2
    alone = aa.evaluate(text[::5], image[::5], text[::5], paired=True)  # a row a target: nothing to tell
    assert alone.recall_at_1 == 1
    aa.evaluate(text, image, text)


def test_comparison_of_pairs_tells_what_copies_do_to_recall(captioned):
    text, image = captioned
    options = {"methods": ["mean-shift"], "repeats": 1}
    (message,) = said_by(lambda: aa.compare(text, image, paired=True, **options))
    assert "80 of 100 target rows repeat another: of equal rows the first is taken for the nearest" in message
    assert said_by(lambda: aa.compare(text, image, **options)) == []


def test_the_command_line_tells_it_on_stderr(captioned, tmp_path):
    import subprocess
    import sys

    for name, rows in zip(("text", "image"), captioned, strict=True):
        np.save(tmp_path / f"{name}.npy", rows)
    places = [part for side, name in (("--source", "text"), ("--target", "image")) for part in (side, f"{name}.npy")]
    command = [sys.executable, "-m", "anisoalign", "evaluate", *places, "--aligned", "text.npy", "--paired", "--json"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ended.stderr.count("anisoalign: warning: 80 of 100 target rows repeat another") == 1
    assert "repeat" not in ended.stdout


def prompts():
    """Ten prompts of classes, twenty rows each, and as many images."""
    rng = np.random.default_rng(2)
    text = normalize(rng.normal(size=(10, 8))).repeat(20, axis=0)
    return text, normalize(text + 0.3 * rng.normal(size=text.shape))


def test_known_moves_of_sources_that_mostly_repeat_are_said_to_be_no_scale():
    text, image = prompts()
    for paired in (False, True):
        (message,) = said_by(lambda paired=paired: measure_controls(text, image, paired=paired))
        assert message.startswith("190 of 200 source rows repeat another")
        assert "are no scale to read others against; give each source one row" in message
    assert said_by(lambda: measure_controls(text[::10], image[::10])) == []


def test_no_method_is_marked_by_what_goes_by_neighbours_where_most_sources_repeat():
    text, image = prompts()
    label = np.arange(200) // 20
    options = {"paired": True, "source_labels": label, "target_labels": label, "methods": METHODS, "repeats": 3}
    with pytest.warns(UserWarning, match="190 of 200 source rows repeat another"):
        records = aa.compare(text, image, **options).to_dicts()
    assert all(record["repeated_sources"] == 190 for record in records)
    marked = {key for record in records for key in record if key.endswith("_mark")}
    assert "label_transfer_mark" in marked
    assert "geometry_consistency_mark" in marked
    assert not [key for key in marked if any(word in key for word in NEIGHBOURLY)]
    alone = aa.compare(image, image[::-1].copy(), methods=METHODS, repeats=3).to_dicts()
    assert not any("repeated_sources" in record for record in alone)
    assert {"target_penetration_mark", "balance_mark"} <= {key for record in alone for key in record}


def test_sources_that_mostly_repeat_are_told_of():
    text, image = prompts()
    for call in (
        lambda: aa.evaluate(text, image, text),
        lambda: aa.evaluate(text, image, text, paired=True),
        lambda: aa.compare(text, image, paired=True, methods=["mean-shift"], repeats=1),
    ):
        (message,) = said_by(call)
        assert message.startswith("190 of 200 source rows repeat another: the nearest rows of each are its own copies")
    assert said_by(lambda: aa.evaluate(text[::10], image[::10], text[::10])) == []  # half of twenty: not most


def test_a_diagnosis_says_nothing_of_the_nearest_of_rows_that_mostly_repeat():
    text, image = prompts()
    gap = aa.diagnose(text, image)
    assert gap.mixed_target_share_at_10 is None
    assert "mixed_source_share_at_10" not in gap.to_dict()
    assert aa.diagnose(image[:100], image[100:]).mixed_target_share_at_10 is not None


def test_no_method_is_marked_by_what_goes_by_neighbours_where_most_targets_repeat():
    text, image = prompts()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        records = aa.compare(image, text, paired=True, methods=METHODS, repeats=3).to_dicts()
    assert all(record["repeated_targets"] == 190 for record in records)
    marked = {key for record in records for key in record if key.endswith("_mark")}
    assert "geometry_consistency_mark" in marked
    assert not [key for key in marked if any(word in key for word in NEIGHBOURLY)]
