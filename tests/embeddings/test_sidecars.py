"""Ids and provenance beside single files: what belongs to one file is neither removed nor changed by another."""

import json
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import anisoalign as aa
from anisoalign.embeddings import EmbeddingWriter, InputError, convert, open_embeddings

ROWS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
IDS = ["a", "b", "c", "d", "e"]
MADE_BY = {"encoder": "hf:a", "fingerprint": "0a"}


@pytest.fixture
def text(tmp_path):
    """A file with its ids beside it."""
    np.save(tmp_path / "text.npy", ROWS)
    pq.write_table(pa.table({"id": IDS}), tmp_path / "text.ids.parquet")
    return tmp_path / "text.npy"


def tree(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def write(out, rows=ROWS, ids=None, **settings):
    with EmbeddingWriter(out, rows.shape[1], **settings) as writer, writer.shard(0, len(rows), ids=ids) as shard:
        shard.write(rows)
    return out


def put(out):
    """A file that came from elsewhere."""
    out.parent.joinpath("elsewhere").mkdir(exist_ok=True)
    return shutil.copyfile(write(out.parent / "elsewhere" / out.name), out)


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_a_table_beside_its_source_leaves_the_ids_of_the_source_alone(text, ending):
    before = tree(text.parent)
    assert convert(text, text.with_suffix(f".{ending}")).ids().to_pylist() == IDS
    assert open_embeddings(text).ids().to_pylist() == IDS
    assert tree(text.parent).items() >= before.items()


def test_each_of_two_files_of_one_stem_has_ids_of_its_own(text):
    before = tree(text.parent)
    out = write(text.with_suffix(".safetensors"), ids=IDS[::-1])
    assert (out.parent / "text.safetensors.ids.parquet").is_file()
    assert tree(text.parent).items() >= before.items()
    assert open_embeddings(text).ids().to_pylist() == IDS
    assert open_embeddings(out).ids().to_pylist() == IDS[::-1]
    write(text, ids=IDS, overwrite=True)
    assert sorted(tree(text.parent)) == [
        "text.npy",
        "text.npy.ids.parquet",
        "text.safetensors",
        "text.safetensors.ids.parquet",
    ]


def test_ids_that_may_be_of_two_files_are_of_neither_and_that_is_said(text):
    other = put(text.with_suffix(".safetensors"))
    for one, two in ((text, other), (other, text)):
        with pytest.warns(UserWarning, match=rf"text\.ids\.parquet may be about {one.name} or {two.name} .*rename it"):
            assert open_embeddings(one).ids() is None
    (text.parent / "text.ids.parquet").rename(text.parent / "text.npy.ids.parquet")
    assert open_embeddings(text).ids().to_pylist() == IDS
    assert open_embeddings(other).ids() is None


def by_stem(folder):
    """A neighbour whose ids and provenance are named by its stem, as they once were."""
    other = write(folder / "text.safetensors")
    pq.write_table(pa.table({"id": IDS}), folder / "text.ids.parquet")
    (folder / "text.provenance.json").write_text(json.dumps(MADE_BY))
    return other


@pytest.mark.parametrize("earlier", [False, True])
def test_a_file_that_is_written_leaves_its_neighbour_the_sidecars_named_by_their_stem(tmp_path, earlier):
    if earlier:  # with sidecars of its own, which go
        write(tmp_path / "text.npy", ids=IDS, provenance=MADE_BY)
    other = by_stem(tmp_path)
    with pytest.warns(UserWarning, match=r"text\.\w+\.\w+ is called text\.safetensors\.") as told:
        out = write(tmp_path / "text.npy", overwrite=True)
    assert len(told) == 2
    assert sorted(tree(tmp_path)) == [
        "text.npy",
        "text.safetensors",
        "text.safetensors.ids.parquet",
        "text.safetensors.provenance.json",
    ]
    assert (open_embeddings(out).ids(), open_embeddings(out).provenance) == (None, None)
    assert (open_embeddings(other).ids().to_pylist(), open_embeddings(other).provenance) == (IDS, MADE_BY)


def test_pairs_in_another_order_are_refused_whatever_was_written_beside_them(tmp_path):
    text = by_stem(tmp_path)
    image = write(tmp_path / "image.npy", ids=IDS[::-1])
    with pytest.warns(UserWarning, match="is called text.safetensors"):
        aa.MeanShift().fit(ROWS, ROWS + 1).transform(ROWS, tmp_path / "text.npy")
    with pytest.raises(InputError, match="no pairs by place"):
        aa.diagnose(source=text, target=image, paired=True)


@pytest.mark.parametrize("name", ["text.lance", "text"])
def test_a_lance_dataset_leaves_its_neighbour_what_is_said_of_it(tmp_path, name):
    pytest.importorskip("lance", reason="the library that writes Lance is optional")
    other = by_stem(tmp_path)
    said = None if name == "text.lance" else {"encoder": "hf:b"}
    source = write(tmp_path / "other.npy", provenance=said)
    with pytest.warns(UserWarning, match="is called text.safetensors.provenance.json"):
        out = convert(source, tmp_path / name, "lance")
    assert out.provenance == said
    assert (open_embeddings(other).ids().to_pylist(), open_embeddings(other).provenance) == (IDS, MADE_BY)


def test_a_file_whose_name_is_the_stem_of_another_leaves_it_its_sidecars(tmp_path):
    other = write(tmp_path / "text.npy.safetensors")
    pq.write_table(pa.table({"id": IDS}), tmp_path / "text.npy.ids.parquet")
    (tmp_path / "text.npy.provenance.json").write_text(json.dumps(MADE_BY))
    said = {"encoder": "hf:b"}
    with pytest.warns(UserWarning, match=r"is called text\.npy\.safetensors\.\w+\.\w+ now") as told:
        out = write(tmp_path / "text.npy", ids=IDS[::-1], provenance=said, overwrite=True)
    assert len(told) == 2
    assert (open_embeddings(out).ids().to_pylist(), open_embeddings(out).provenance) == (IDS[::-1], said)
    assert (open_embeddings(other).ids().to_pylist(), open_embeddings(other).provenance) == (IDS, MADE_BY)


@pytest.mark.parametrize("name", ["text.ids.parquet", "text.npy.ids.parquet"])
def test_ids_without_their_vectors_are_not_taken_nor_lost(text, name):
    text.unlink()
    (text.parent / "text.ids.parquet").rename(text.parent / name)
    before = tree(text.parent)
    for ids in (None, IDS[::-1]):
        with pytest.raises(InputError, match=rf"{name} is there already"):
            write(text, ids=ids)
    assert tree(text.parent) == before
    assert open_embeddings(write(text, ids=IDS[::-1], overwrite=True)).ids().to_pylist() == IDS[::-1]
    assert open_embeddings(write(text, overwrite=True)).ids() is None


def test_the_ids_read_are_never_written_over(text):
    before = tree(text.parent)
    for out in ("text.ids.parquet", "other.ids.parquet"):
        with pytest.raises(InputError, match=r"where the rows come from|named as the ids"):
            convert(text, text.with_name(out), overwrite=True)
    assert tree(text.parent) == before


def test_what_is_said_of_one_file_is_not_said_of_another(tmp_path):
    text = write(tmp_path / "text.npy", provenance=MADE_BY)
    before = tree(tmp_path)
    said = {"text.safetensors": None, "text.arrow": {"encoder": "hf:b"}}
    for name, provenance in said.items():
        write(tmp_path / name, provenance=provenance)
    convert(text, tmp_path / "text.parquet")
    assert tree(tmp_path).items() >= before.items()
    for name, provenance in {**said, "text.npy": MADE_BY, "text.parquet": MADE_BY}.items():
        assert open_embeddings(tmp_path / name).provenance == provenance


def test_what_a_file_of_its_stem_says_is_read_where_it_means_no_other(tmp_path):
    older = tmp_path / "text.provenance.json"
    np.save(tmp_path / "text.npy", ROWS)
    older.write_text(json.dumps(MADE_BY))
    assert open_embeddings(tmp_path / "text.npy").provenance == MADE_BY
    convert(tmp_path / "text.npy", tmp_path / "text.parquet")
    assert open_embeddings(tmp_path / "text.npy").provenance == MADE_BY  # the table has one of its own
    np.save(tmp_path / "text.npy.npy", ROWS)
    (tmp_path / "text.npy.provenance.json").write_text(json.dumps({"encoder": "hf:b"}))
    assert open_embeddings(tmp_path / "text.npy.npy").provenance is None  # the whole name of another
    assert open_embeddings(tmp_path / "text.npy").provenance == {"encoder": "hf:b"}
    (tmp_path / "text.npy.provenance.json").unlink()
    put(tmp_path / "text.safetensors")
    with pytest.warns(UserWarning, match=r"text\.provenance\.json may be about text\.npy or text\.safetensors"):
        assert open_embeddings(tmp_path / "text.npy").provenance is None
    (tmp_path / "text.safetensors").unlink()
    write(tmp_path / "text.npy", provenance={"encoder": "hf:c"}, overwrite=True)
    assert not older.exists()
    assert open_embeddings(tmp_path / "text.npy").provenance == {"encoder": "hf:c"}


@pytest.mark.parametrize("ending", ["npy", "parquet"])
def test_what_is_said_of_a_file_goes_with_its_copies_and_not_with_what_is_put_in_its_place(tmp_path, ending):
    long = np.random.default_rng(1).normal(size=(30_000, 3)).astype(np.float32)  # longer than what is compared
    for rows in (ROWS, long):
        path = write(tmp_path / f"text.{ending}", rows, provenance=MADE_BY, overwrite=True)
        (tmp_path / "b").mkdir(exist_ok=True)
        for file in (path, tmp_path / f"{path.name}.provenance.json"):
            shutil.copyfile(file, tmp_path / "b" / file.name)
        os.utime(tmp_path / "b" / path.name, (0, 0))
        assert open_embeddings(tmp_path / "b" / path.name).provenance == MADE_BY
        for other in (np.concatenate([-rows[:1], rows[1:]]), np.concatenate([rows[:-1], -rows[-1:]]), rows[1:]):
            write(tmp_path / "other" / path.name, other, overwrite=True)
            shutil.copyfile(tmp_path / "other" / path.name, path)
            with pytest.warns(UserWarning, match=r"provenance\.json was written about another file than text") as told:
                assert open_embeddings(path).provenance is None
            assert len(told) == 1


def test_rows_that_a_user_saves_over_aligned_ones_are_not_said_to_be_aligned(tmp_path):
    out = tmp_path / "aligned.npy"
    aa.MeanShift().fit(ROWS, ROWS + 1).transform(ROWS, out)
    assert "aligned_by" in open_embeddings(out).provenance
    convert(out, tmp_path / "set")
    assert set(open_embeddings(tmp_path / "set").provenance) == {"aligned_by"}  # nothing of the file goes along
    np.save(out, ROWS)
    with pytest.warns(UserWarning, match="where these rows come from is not known"):
        assert open_embeddings(out).provenance is None
    convert(ROWS, out, overwrite=True)
    assert open_embeddings(out).provenance is None


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_a_table_of_captions_is_no_file_of_vectors(tmp_path, ending):
    np.save(tmp_path / "text.npy", ROWS)
    (tmp_path / "text.provenance.json").write_text(json.dumps(MADE_BY))
    captions, other = pa.table({"id": IDS, "caption": IDS}), tmp_path / f"text.{ending}"
    if ending == "parquet":
        pq.write_table(captions, other)
    else:
        with pa.ipc.new_file(other, captions.schema) as file:
            file.write(captions)
    assert open_embeddings(tmp_path / "text.npy").provenance == MADE_BY
    for what in (b"no table", put(other).read_bytes()):
        other.write_bytes(what)
        with pytest.warns(UserWarning, match=rf"may be about text\.npy or text\.{ending}"):
            assert open_embeddings(tmp_path / "text.npy").provenance is None


def test_a_lance_dataset_says_nothing_of_a_file_of_its_name(tmp_path):
    pytest.importorskip("lance", reason="the library that writes Lance is optional")
    write(tmp_path / "text.npy", provenance=MADE_BY)
    convert(ROWS, tmp_path / "text.lance")
    assert open_embeddings(tmp_path / "text.lance").provenance is None
    convert(tmp_path / "text.npy", tmp_path / "text.lance", overwrite=True)
    write(tmp_path / "text.npy", provenance={"encoder": "hf:b"}, overwrite=True)
    assert open_embeddings(tmp_path / "text.lance").provenance == MADE_BY


def test_what_is_said_of_a_file_is_not_said_of_the_folder_of_its_name(tmp_path):
    (tmp_path / "text").mkdir()
    np.save(tmp_path / "text" / "part_0.npy", ROWS)
    write(tmp_path / "text.npy", provenance=MADE_BY)
    assert open_embeddings(tmp_path / "text").provenance is None
    write(tmp_path / "set", provenance={"encoder": "hf:b"})
    (tmp_path / "set.provenance.json").write_text(json.dumps(MADE_BY))
    assert open_embeddings(tmp_path / "set").provenance == {"encoder": "hf:b"}
