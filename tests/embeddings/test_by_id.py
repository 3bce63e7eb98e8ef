"""One set in the order of another, by ids: repeated, reordered, lacking; written in bounded memory and resumed."""

import json
import os
import re
import threading
import time
import tracemalloc
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_sets import write_shard

import anisoalign as aa
from anisoalign.embeddings import EmbeddingSet, InputError, convert, fingerprint, open_embeddings, rows_like, verify
from anisoalign.embeddings.formats.memory import MemorySource
from anisoalign.embeddings.gathered import GatheredSource


def held(*shards, name="source", bad_rows="drop", id_column=None) -> EmbeddingSet:
    """A set in memory, a shard for each list of ids; the first value of a row is its number in the set."""
    sources, first = [], 1
    for ids in shards:
        rows = np.stack([np.arange(first, first + len(ids)), np.ones(len(ids))], 1)
        sources.append(MemorySource(rows, f"part of {name}", pa.table({id_column or "id": ids})))
        first += len(ids)
    return EmbeddingSet(sources, format="memory", name=name, bad_rows=bad_rows, id_column=id_column)


def numbers(es: EmbeddingSet) -> list[int]:
    """First values of the rows that are kept."""
    return [int(value) for tile in es.tiles(np.float64, raw=True) for value in tile.values[:, 0]]


def files(folder, name, ids, format="npy", cuts=(), **columns):
    """A folder of shards on disk, cut before some rows, with ids; row i is (i + 1, 1)."""
    (folder / name).mkdir()
    rows = np.stack([np.arange(len(ids)) + 1, np.ones(len(ids))], 1).astype(np.float32)
    ends = [0, *cuts, len(ids)]
    for index, (start, stop) in enumerate(pairwise(ends)):
        beside = {"id": list(ids[start:stop]), **{key: value[start:stop] for key, value in columns.items()}}
        path = folder / name / f"part-{index}"
        if format == "npy":
            np.save(path.with_suffix(".npy"), rows[start:stop])
            pq.write_table(pa.table(beside), path.with_name(f"{path.name}.npy.ids.parquet"))
        else:
            write_shard(path, rows[start:stop], format, **beside)
    return folder / name


def test_a_picture_is_repeated_for_each_of_its_captions():
    found = rows_like(held(["cat", "dog"], ["cow"]), held(["dog", "cat", "dog"], ["cow", "cat"], name="like"))
    assert numbers(found) == [2, 1, 2, 3, 1]
    assert found.ids().to_pylist() == ["dog", "cat", "dog", "cow", "cat"]
    assert not found.dropped


def test_of_an_id_that_both_have_equally_often_the_first_goes_with_the_first():
    assert numbers(rows_like(held(list("abab")), held(list("bbaa")))) == [2, 4, 1, 3]


def test_ids_meet_whatever_type_holds_them():
    assert numbers(rows_like(held([1, 2, 3]), held(["3", "1"]))) == [3, 1]
    named = held([7, 8], id_column="picture")
    found = rows_like(named, held([8, 7]))
    assert (numbers(found), found.ids().to_pylist()) == ([2, 1], [8, 7])


def test_rows_without_an_id_have_no_partner():
    found = rows_like(held(["a", None, "b"]), held([None, "b", "a"]))
    assert numbers(found) == [3, 1]
    assert [(row.global_row, row.reason) for row in found.dropped] == [(0, "has no vector of its id")]


@given(st.data())
def test_every_row_has_its_id_and_those_that_lack_one_are_told(data):
    source = data.draw(st.permutations("abcdefgh"))[: data.draw(st.integers(1, 8))]
    like = data.draw(st.lists(st.sampled_from("abcdefghxyz"), min_size=1, max_size=20).filter(set(source).intersection))
    found = rows_like(held(source), held(like))
    assert numbers(found) == [source.index(item) + 1 for item in like if item in source]
    assert [row.global_row for row in found.dropped] == [row for row, item in enumerate(like) if item not in source]
    assert found.rows == len(like)
    assert found.ids().to_pylist() == [item if item in source else None for item in like]


@pytest.mark.parametrize(
    ("source", "like", "message"),
    [
        ("ab", "axyb", r"2 of 4 rows of like have no row of their id in source, the first of them like: part of like, "
                       r"shard 0, row 1, 'x'; leave such rows out with `--bad-rows drop`"),
        ("aab", "aaab", r"row 0 has the id 'a', which like has 3 times and source 2 times: which .* is not said"),
        ("aab", "ba", r"row 1 has the id 'a', which like has 1 times and source 2 times.*the set with more rows"),
        ("ab", "xy", r"no row of like has an id that is in source: .*row 0 has 'x', .*row 0 has 'a'; name the columns"),
    ],
)  # fmt: skip
def test_ids_that_do_not_tell_are_refused_with_their_place(source, like, message):
    with pytest.raises(InputError, match=message):
        rows_like(held(list(source), bad_rows="error"), held(list(like), name="like"))


def test_sets_without_ids_are_refused_with_what_names_them():
    bare = open_embeddings(np.eye(2), name="like")
    with pytest.raises(InputError, match=r"like has no ids by which .*`--like-id-column`"):
        rows_like(held(["a", "b"]), bare)
    with pytest.raises(InputError, match=r"source has no ids by which .*`--id-column`"):
        rows_like(open_embeddings(np.eye(2)), held(["a", "b"]))


FORMATS = ("npy", "parquet fixed", "arrow file")
CAPTIONS = [f"{n % 11}" for n in np.random.default_rng(0).permutation(55)]
IMAGES = [f"{n}" for n in np.random.default_rng(1).permutation(13) if n != 4]
WANTED = [IMAGES.index(item) + 1 for item in CAPTIONS if item != "4"]


@pytest.fixture
def stretches(monkeypatch):
    """Shards of a few rows of width 2, so that a small result has several."""
    monkeypatch.setattr("anisoalign.embeddings.by_id.STRETCH", 10 * 2 * 4)


@pytest.mark.parametrize("out", ["out", "out.npy", "out.parquet"])
@pytest.mark.parametrize("format", FORMATS)
def test_shards_in_any_order_and_format_are_written_in_that_of_the_others(tmp_path, stretches, format, out):
    note = [f"note of {item}" for item in IMAGES]
    image = files(tmp_path, "image", IMAGES, format, (3, 4, 9), note=note)
    text = files(tmp_path, "text", CAPTIONS, cuts=(20, 21))
    rows = rows_like(open_embeddings(image, bad_rows="drop"), text)
    assert len(rows.shards) == 6
    found = convert(rows, tmp_path / out)
    assert numbers(found) == WANTED
    ids = [item for item in CAPTIONS if item != "4"]
    assert found.ids().to_pylist() == ids
    notes = [note for shard in found.shards for note in found.metadata(shard.index)["note"].to_pylist()]
    assert notes == [f"note of {item}" for item in ids]
    lacking = [row for row, item in enumerate(CAPTIONS) if item == "4"]
    if out == "out":
        assert verify(tmp_path / out) == 6
        shards = json.loads((tmp_path / out / "manifest.json").read_text())["shards"]
        listed = [10 * i + item["row"] for i, shard in enumerate(shards) for item in shard.get("dropped", [])]
    else:
        said = json.loads((tmp_path / f"{out}.dropped.json").read_text())["dropped"]
        listed = [item["row"] for item in said]
        assert {item["reason"] for item in said} == {"has no vector of its id"}
    assert listed == lacking


def test_what_is_left_on_both_sides_are_pairs(tmp_path):
    image, text = files(tmp_path, "image", IMAGES), files(tmp_path, "text", CAPTIONS)
    pictures = convert(rows_like(open_embeddings(image, bad_rows="drop"), text), tmp_path / "pictures")
    captions = convert(rows_like(text, pictures), tmp_path / "captions")  # without those that have no picture
    assert captions.ids().to_pylist() == pictures.ids().to_pylist()
    assert numbers(captions) == [row + 1 for row, item in enumerate(CAPTIONS) if item != "4"]
    assert aa.diagnose(tmp_path / "captions", tmp_path / "pictures", paired=True).paired_cosine is not None
    direct = aa.diagnose(text, rows_like(open_embeddings(image, bad_rows="drop"), text), paired=True)
    assert direct.paired_cosine == aa.diagnose(captions, pictures, paired=True).paired_cosine
    with pytest.raises(InputError, match=r"as many rows on both sides.*`convert --like` brings one"):
        aa.diagnose(text, image, paired=True)


def test_pictures_as_bytes_stay_behind_and_are_named(tmp_path):
    table = {"image": [b"\xff\xd8"] * 2, "note": ["one", "two"]}
    image, text = files(tmp_path, "image", "ab", **table), files(tmp_path, "text", "ba")
    found = rows_like(image, text)
    assert found.left_out == ["image"]
    assert found.metadata(0).to_pydict() == {"id": ["b", "a"], "note": ["two", "one"]}


def test_an_interrupted_run_goes_on_while_the_ids_are_the_same(tmp_path, stretches):
    image, text = files(tmp_path, "image", IMAGES), files(tmp_path, "text", CAPTIONS)
    ids = text / "part-0.npy.ids.parquet"
    kept, times = ids.read_bytes(), (ids.stat().st_atime_ns, ids.stat().st_mtime_ns)
    left = [20]

    def stop(done):
        left[0] -= done
        if left[0] < 0:
            raise KeyboardInterrupt

    def run(out, progress=None):
        return convert(rows_like(open_embeddings(image, bad_rows="drop"), text), out, progress=progress)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", stop)
    done = {path.name: path.stat().st_ino for path in (tmp_path / "out.partial").glob("*.npy")}
    assert 0 < len(done) < 6
    pq.write_table(pa.table({"id": [*CAPTIONS[1:], CAPTIONS[0]]}), ids)
    os.utime(ids, ns=times)
    with pytest.raises(InputError, match=r"other settings \(source: "):
        run(tmp_path / "out")
    ids.write_bytes(kept)
    with pytest.raises(InputError, match=r"other settings.*the input has changed since"):
        run(tmp_path / "out")  # by its date
    os.utime(ids, ns=times)
    run(tmp_path / "out")
    run(tmp_path / "once")
    assert done.items() <= {path.name: path.stat().st_ino for path in (tmp_path / "out").glob("*.npy")}.items()
    for path in (tmp_path / "once").rglob("*"):
        assert (
            path.is_dir() or path.read_bytes() == (tmp_path / "out" / path.relative_to(tmp_path / "once")).read_bytes()
        )


def test_a_result_takes_the_place_of_neither_set(tmp_path):
    image, text = files(tmp_path, "image", "ab"), files(tmp_path, "text", "ba")
    for place in (image, text, text / "more"):
        with pytest.raises(InputError, match=r"where the rows come from|lies within"):
            convert(rows_like(image, text), place, overwrite=True)


@pytest.mark.parametrize("memory", [None, "26 MB"])
def test_memory_does_not_grow_with_the_rows(tmp_path, monkeypatch, memory):
    if memory is None:  # which is what bounds it then
        monkeypatch.setattr("anisoalign.embeddings.by_id.STRETCH", 1 << 22)
    rng = np.random.default_rng(0)
    image, ids = rng.normal(size=(20_000, 128)).astype(np.float32), rng.permutation(np.repeat(np.arange(20_000), 5))
    for name, rows, column in (("image", image, np.arange(20_000)), ("text", np.ones((100_000, 1), np.float32), ids)):
        np.save(tmp_path / f"{name}.npy", rows)
        pq.write_table(pa.table({"id": column}), tmp_path / f"{name}.npy.ids.parquet")
    found = rows_like(open_embeddings(tmp_path / "image.npy", memory=memory), tmp_path / "text.npy")
    if memory is not None:
        with pytest.raises(InputError, match="memory budget"):
            found.read()
    tracemalloc.start()
    try:
        written = convert(found, tmp_path / "out.npy")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 35e6  # 51 MB are written
    assert (np.load(written.path) == image[ids]).all()


def test_long_texts_that_repeat_are_put_in_order_a_few_at_a_time():
    texts = [f"{item}" * 50_000 for item in "abcdefgh"]
    values = MemorySource(np.ones((8, 2), np.float32), "part", pa.table({"id": list("abcdefgh"), "text": texts}))
    like = np.random.default_rng(0).choice(list("abcdefghx"), 2_000)
    found = rows_like(EmbeddingSet([values], format="memory", bad_rows="drop"), held(like.tolist()))
    pieces, first = found.columns(0).stream(["text", "id"]), 0
    for piece in pieces:
        assert piece.nbytes < 2 << 20  # of 100 MB
        ids = [None if item == "x" else item for item in like[first : first + piece.num_rows]]
        assert piece["id"].to_pylist() == ids
        assert [text and text[0] for text in piece["text"].to_pylist()] == ids
        first += piece.num_rows
    assert first == 2_000


def test_columns_bound_a_stretch_where_vectors_are_short(monkeypatch):
    monkeypatch.setattr("anisoalign.embeddings.by_id.ROWS", 30)
    found = rows_like(held(range(100)), held(range(100)))
    assert [shard.rows for shard in found.shards] == [30, 30, 30, 10]
    assert numbers(found) == list(range(1, 101))


@pytest.mark.parametrize(("memory", "vectors"), [(None, 4 * 40 * 16), (2_000, 4 * 31 * 16)])
def test_what_a_stretch_holds_is_told_with_its_columns(memory, vectors):
    part = MemorySource(np.ones((40, 2)), "part", pa.table({"id": np.arange(40), "text": ["x" * 992] * 40}))
    source = EmbeddingSet([part], format="memory")
    source.memory = memory  # less than a set is opened with
    stretch = GatheredSource(source, source.columns(0), np.arange(40), "stretch")
    assert vectors + 40 * 1_000 <= stretch.held() <= vectors + 40 * 1_010


def test_what_is_said_of_a_set_is_said_of_its_rows_in_another_order(tmp_path, stretches):
    values = np.repeat([1.0, 5.0], 20)[:, None] * np.array([[0.6, 0.8]])  # unit rows and others
    tables = [pa.table({"id": ids}) for ids in np.split(np.arange(40), 2)]
    parts = [MemorySource(part, "part", ids) for part, ids in zip(np.split(values, 2), tables, strict=True)]
    source = EmbeddingSet(parts, format="memory", norms="normalize", provenance={"encoder": "hf:a"})
    rows = rows_like(source, held(range(40)))
    np.testing.assert_allclose(rows.read(), np.tile([[0.6, 0.8]], (40, 1)))
    assert convert(rows, tmp_path / "out").provenance == {"encoder": "hf:a"}


def test_the_fingerprint_tells_other_rows_and_another_order_anywhere():
    def mark(source, like):
        return fingerprint(rows_like(source, held(like)))

    ids = list(range(40))
    swapped = [*ids[:30], 31, 30, *ids[32:]]
    same = mark(held(ids), ids)
    assert same == mark(held(ids), ids)
    assert same != mark(held(ids), swapped)
    other = EmbeddingSet([MemorySource(np.ones((40, 2)), "other", pa.table({"id": ids}))], format="memory")
    assert same != mark(other, ids)


def test_stretches_are_gathered_one_at_a_time(tmp_path, stretches, monkeypatch):
    gather, busy = GatheredSource._gather, threading.Lock()

    def alone(self, wanted):
        assert busy.acquire(blocking=False)
        time.sleep(0.01)
        busy.release()
        return gather(self, wanted)

    monkeypatch.setattr(GatheredSource, "_gather", alone)
    assert convert(rows_like(held(range(90)), held(range(90))), tmp_path / "out").rows == 90


def test_a_bad_row_is_named_by_the_file_that_it_comes_from(tmp_path, stretches):
    ids = list("abcdefghijklmnopqrstuvwxyz")
    image, text = files(tmp_path, "image", ids, cuts=(9,)), held(ids[::-1])
    broken = np.load(image / "part-1.npy")
    broken[3] = np.nan
    np.save(image / "part-1.npy", broken)
    place = f"source: {image / 'part-1.npy'}, shard 1, row 3 (row 12 of the set)"
    with pytest.raises(InputError, match=rf"^{re.escape(place)}, row 13 in the new order holds NaN; correct it"):
        convert(rows_like(image, text), tmp_path / "out")
    found = rows_like(open_embeddings(image, bad_rows="drop"), text)
    assert len(numbers(found)) == 25
    assert [(row.global_row, row.reason) for row in found.dropped] == [(13, f"holds NaN ({place})")]


def test_a_row_without_a_vector_is_not_said_to_lack_its_id(tmp_path):
    table = pa.table({"id": ["a", "b", "c"], "vector": pa.array([[1.0, 2.0], None, [3.0, 4.0]])})
    pq.write_table(table, tmp_path / "image.parquet")
    found = rows_like(open_embeddings(tmp_path / "image.parquet", bad_rows="drop"), held(list("cbda")))
    assert numbers(found) == [3, 1]
    place = f"source: {tmp_path / 'image.parquet'}, shard 0, row 1"
    reasons = {1: f"is null or empty ({place})", 2: "has no vector of its id"}
    assert {row.global_row: row.reason for row in found.dropped} == reasons
