"""Pairs by place are held against the ids of both sets; what ids cannot tell is no alarm."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import anisoalign as aa
from anisoalign.embeddings import EmbeddingSet, InputError, convert, open_embeddings, read_pairs
from anisoalign.embeddings.formats.memory import MemorySource
from anisoalign.embeddings.paired_ids import check_ids


def with_ids(*shards, name="set", values=None, bad_rows="error") -> EmbeddingSet:
    """A set in memory, a shard for each list of ids."""
    sources, first = [], 0
    for ids in shards:
        rows = np.ones((len(ids), 2)) if values is None else values[first : first + len(ids)]
        table = None if ids is None else pa.table({"id": ids})
        sources.append(MemorySource(rows, f"part of {name}", table))
        first += len(ids)
    return EmbeddingSet(sources, format="memory", name=name, bad_rows=bad_rows)


def contradict(left: list, right: list) -> bool:
    """The rule, word for word: an id that both sides hold at rows whose partners have others."""
    apart = [(a, b) for a, b in zip(left, right, strict=True) if None not in (a, b) and a != b]
    return any(a == d for a, _ in apart for _, d in apart)


def refused(left: list, right: list) -> bool:
    try:
        check_ids(with_ids(left), with_ids(right))
    except InputError:
        return True
    return False


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("abcd", "abcd"),
        ("abcd", "wxyz"),  # captions and pictures named by themselves
        ("aabb", "aabb"),  # a picture for each of its captions
        ("aaab", "axyb"),  # an id that repeats, and once has a partner of its own
        (["a", "b", None], ["a", None, "b"]),
        ([0, 1, 2, 3, 4, 5], [5, 139, 285, 632, 724, 776]),  # lines counted, and numbers of pictures
        (list(range(8)), [0, 0, 0, 0, 1, 1, 1, 1]),  # captions counted, and each picture four times
        ([None] * 6 + [1, 2, 3, 4], [None] * 6 + [2, 50, 60, 70]),  # the same where some have no number
        ([None, None], [None, None]),
        ([1, 2, 3], ["1", "2", "3"]),
        ([1, 2, 3], ["01", "02", "03"]),
    ],
)
def test_what_says_nothing_passes(left, right):
    check_ids(with_ids(list(left)), with_ids(list(right)))
    check_ids(with_ids(list(right)), with_ids(list(left)))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("abcd", "abdc"),
        ("abcd", "bcde"),  # each side left out an item of its own
        ("aabb", "abab"),
        ("abcd", "xyza"),
        ([1, 2, 3, 4], [2, 1, 3, 4]),
        ([1, 2, 3, 4], ["2", "3", "4", "5"]),
    ],
)
def test_rows_that_lost_their_partners_are_seen(left, right):
    assert refused(list(left), list(right))
    assert refused(list(right), list(left))


AS_STORED = {
    "text": [str(i) for i in range(8)],
    "int64": pa.array(range(8)),
    "float64": pa.array(map(float, range(8))),
    "float16": pa.array(np.arange(8, dtype=np.float16)),
    "bytes": [b"%d" % i for i in range(8)],
}
"""One list of ids, by the type that holds it."""


@pytest.mark.parametrize("right", AS_STORED)
@pytest.mark.parametrize("left", AS_STORED)
def test_ids_are_the_same_whatever_type_holds_them(left, right):
    left, right = pa.array(AS_STORED[left]), pa.array(AS_STORED[right])
    check_ids(with_ids(left), with_ids(right))
    with pytest.raises(InputError, match=r"row 0 has the id '0', .* has '7'"):
        check_ids(with_ids(left), with_ids(right[::-1]))
    check_ids(with_ids(left[:6]), with_ids(right.take(pa.array([5, 7, 7, 7, 7, 7]))))  # counters that meet by chance


def test_nan_is_no_id_and_bytes_need_not_be_text():
    missing = [np.nan, 1.0, 2.0, np.nan]
    check_ids(with_ids(missing), with_ids([1, np.nan, np.nan, 2]))
    odd = [b"\xff", b"\xfe", b"a"]
    check_ids(with_ids(odd), with_ids(odd))
    assert refused(odd, odd[::-1])


@given(st.data())
def test_the_rule_holds_for_any_ids(data):
    rows = data.draw(st.integers(1, 9))
    ids = st.lists(st.sampled_from(["a", "b", "c", "d", "e", None]), min_size=rows, max_size=rows)
    left, right = data.draw(ids), data.draw(ids)
    if any(left) and any(right):
        assert refused(left, right) == contradict(left, right)


def test_the_message_names_the_first_such_rows_on_both_sides_and_what_helps():
    texts = with_ids(["a", "b"], [], ["c", "d", "e"], name="texts")
    images = with_ids(["a", "b", "c"], ["e", "d"], name="images")
    with pytest.raises(InputError) as caught:
        check_ids(texts, images)
    message = str(caught.value)
    assert "texts: part of texts, shard 2, row 1 (row 3 of the set) has the id 'd'" in message
    assert "images: part of images, shard 1, row 0 (row 3 of the set) has 'e'" in message
    assert "'d' is also at images: part of images, shard 1, row 1 (row 4 of the set)" in message
    assert "one order" in message


def test_sets_without_ids_and_rows_that_were_dropped_say_nothing():
    check_ids(with_ids(list("abc")), open_embeddings(np.ones((3, 2))))
    values = np.eye(4)
    values[[1, 2]] = 0
    left = with_ids(list("abcd"), name="y", values=values, bad_rows="drop")
    right = with_ids(list("acbd"), name="x", values=np.eye(4))
    read_pairs([left, right])  # b and c are dropped, the others are beside their partners
    with pytest.raises(InputError, match="no pairs by place"):
        read_pairs([with_ids(list("abcd"), values=np.eye(4)), right])


@pytest.fixture
def files(tmp_path):
    """Writes one of two sets of 90 rows that are pairs, or an alignment, with ids, in any order."""
    rng = np.random.default_rng(0)
    meaning = rng.normal(size=(90, 6))
    rows = {"text": meaning + 1, "image": meaning + 0.1 * rng.normal(size=(90, 6)), "aligned": meaning}

    def write(name, order=None):
        order = np.arange(90) if order is None else order
        np.save(tmp_path / f"{name}.npy", rows[name][order])
        pq.write_table(pa.table({"id": [f"item {i}" for i in order]}), tmp_path / f"{name}.ids.parquet")
        return tmp_path / f"{name}.npy"

    return write


SWAPPED = np.array([*range(88), 89, 88])


@pytest.mark.parametrize("side", ["text", "image"])
@pytest.mark.parametrize("sample", [90, 70])
def test_every_figure_of_pairs_refuses_rows_in_another_order(files, side, sample):
    paths = {name: files(name, SWAPPED if name == side else None) for name in ("text", "image")}
    aligned = files("aligned", SWAPPED if side == "text" else None)
    y, x = paths["text"], paths["image"]
    for attempt in (
        lambda paired: aa.diagnose(y, x, paired=paired),
        lambda paired: aa.evaluate(y, x, aligned, paired=paired, sample=sample),
        lambda paired: aa.compare(y, x, paired=paired, methods=["mean-shift"], repeats=1, sample=sample),
    ):
        attempt(False)
        with pytest.raises(InputError, match=rf"{side}\.npy, shard 0, row 88 has .*one order"):
            attempt(True)
        ordered = {"text": files("text"), "image": files("image"), "aligned": files("aligned")}
        attempt(True)
        files(side, SWAPPED)
        files("aligned", SWAPPED if side == "text" else None)
    assert ordered["text"] == y


def test_aligned_rows_must_come_from_the_rows_of_the_source(files, tmp_path):
    y, x = files("text"), files("image")
    with pytest.raises(InputError, match=r"aligned\.npy, shard 0, row 88 has 'item 89'.*align this source again"):
        aa.evaluate(y, x, files("aligned", SWAPPED))
    rows = np.load(y)
    rows[7] = np.nan
    np.save(y, rows)
    dropping = open_embeddings(y, name="source", bad_rows="drop")
    convert(dropping, tmp_path / "short.parquet")
    aa.evaluate(dropping, x, tmp_path / "short.parquet", paired=True)  # ids of the rows that are kept
