import pickle
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from made_sets import FORMATS as INPUTS

from anisoalign.embeddings import InputError, convert, open_embeddings, open_to_convert

OUTPUTS = ("npy", "parquet", "safetensors", "arrow", "hf")


def raw(es) -> np.ndarray:
    return np.concatenate([tile.values for tile in es.tiles(es.dtype, raw=True)])


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("source", INPUTS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_every_format_becomes_every_other_verbatim(make_set, tmp_path, source, output, dtype):
    rng = np.random.default_rng(1)
    parts = [rng.normal(size=(n, 3)).astype(dtype) for n in (4, 9, 2)]
    ids = [f"row {i}" for i in range(15)] if source.startswith(("parquet", "arrow")) else None
    out = convert(make_set(parts, source, ids=ids), tmp_path / "out", output)
    assert out.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(raw(out), np.concatenate(parts))
    assert (out.ids() and out.ids().to_pylist()) == ids


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_lance_there_and_back(make_set, tmp_path, ragged, dtype):
    pytest.importorskip("lance", reason="the library that writes Lance is optional")
    parts = [part.astype(dtype) for part in ragged]
    source = make_set(parts, "parquet fixed", ids=list(range(17)))
    lance = convert(source, tmp_path / "x.lance")
    assert [shard.rows for shard in lance.shards] == [5, 11, 1]
    back = convert(tmp_path / "x.lance", tmp_path / "back", "parquet")
    np.testing.assert_array_equal(raw(back), np.concatenate(parts))
    assert back.ids().to_pylist() == list(range(17))
    with pytest.raises(InputError, match="already exists"):
        convert(source, tmp_path / "x.lance")
    assert convert(source, tmp_path / "x.lance", overwrite=True).rows == 17
    bad = np.ones((3, 2), np.float32)
    bad[1] = 0
    with pytest.raises(Exception, match=r"row 1 is zero"):
        convert(bad, tmp_path / "bad.lance")
    assert not list(tmp_path.glob("bad*"))


def test_the_type_changes_only_when_asked(make_set, tmp_path, ragged):
    out = convert(make_set(ragged), tmp_path / "out", "parquet", "float16")
    np.testing.assert_array_equal(raw(out), np.concatenate(ragged).astype(np.float16))
    huge = np.array([[1.0, 2.0], [1e6, 0.0]], np.float32)
    with pytest.raises(InputError, match=r"row 1 holds values beyond the range of float16"):
        convert(huge, tmp_path / "huge", dtype="float16")
    assert not list(tmp_path.glob("huge*"))


@pytest.mark.parametrize("ending", ["npy", "parquet"])
def test_floats_of_mixed_types_become_one_where_it_is_named(tmp_path, ending):
    folder, rows = tmp_path / "mixed", np.random.default_rng(0).normal(size=(30, 4))
    folder.mkdir()
    parts = [rows[:10].astype(np.float16), rows[10:20].astype(np.float32), rows[20:]]
    for i, part in enumerate(parts):
        convert(part, folder / f"a{i}.{ending}")
    for refused in (lambda: open_embeddings(folder), lambda: convert(folder, tmp_path / "out")):
        with pytest.raises(InputError, match=rf"is float32; `anisoalign convert {folder} OUT --dtype float32` makes"):
            refused()
    made = convert(folder, tmp_path / "one.npy", dtype="float32")
    assert made.dtype == np.float32
    expected = np.concatenate([part.astype(np.float32) for part in parts])
    np.testing.assert_array_equal(np.load(tmp_path / "one.npy"), expected)


def test_mixed_norms_are_no_matter_where_nothing_is_normalised(make_set, tmp_path, ragged):
    parts = [ragged[0], np.eye(6, dtype=np.float32)]
    np.testing.assert_array_equal(raw(convert(make_set(parts), tmp_path / "out")), np.concatenate(parts))


def test_columns_beside_the_vectors_come_along(tmp_path):
    from made_sets import vector_column

    table = pa.table({"id": [1, 2], "caption": ["a", "b"], "v": vector_column(np.eye(2, dtype=np.float32), "list")})
    pq.write_table(table, tmp_path / "x.parquet")
    for out in ("npy", "parquet", "safetensors"):
        found = convert(tmp_path / "x.parquet", tmp_path / out, out).metadata(0)
        assert found.select(["id", "caption"]).to_pydict() == {"id": [1, 2], "caption": ["a", "b"]}


@pytest.mark.parametrize("output", [*OUTPUTS, "lance"])
def test_a_column_that_is_called_as_the_vectors_are_goes_along_under_another_name(tmp_path, output):
    if output == "lance":
        pytest.importorskip("lance", reason="the library that writes Lance is optional")
    vectors = pa.array([[1.0, 0.0], [0.0, 1.0]], pa.list_(pa.float32()))
    pq.write_table(pa.table({"vec": vectors, "embedding": [b"a", b"b"], "n": [1, 2]}), tmp_path / "x.parquet")
    out = convert(tmp_path / "x.parquet", tmp_path / "out", output, id_column="embedding")
    np.testing.assert_array_equal(raw(out), [[1, 0], [0, 1]])
    name = "embedding" if output in ("npy", "safetensors") else "embedding_given"
    assert out.metadata(0).to_pydict() == {name: [b"a", b"b"], "n": [1, 2]}
    assert out.ids().to_pylist() == [b"a", b"b"]


def test_a_column_of_ids_that_is_none_is_refused_before_any_work(tmp_path):
    vectors = pa.array([[1.0, 0.0], [0.0, 1.0]], pa.list_(pa.float32()))
    pq.write_table(pa.table({"vec": vectors, "n": [1, 2]}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"x\.parquet has no column 'uid'; its columns: n"):
        convert(tmp_path / "x.parquet", tmp_path / "out", id_column="uid")
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


def records(kind: str, dtype=np.float32, captions: bool = True) -> tuple[list[dict], np.ndarray]:
    values = np.random.default_rng(2).normal(size=(7, 5)).astype(dtype)
    found = []
    for i, row in enumerate(values):
        embed = {"array": row, "list": row.tolist(), "row of a table": row[None], "scalars": list(row)}[kind]
        found.append({"id": f"im{i}", "embed": embed, **({"caption": f"c{i}"} if captions else {})})
    return found, values


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", ["array", "list", "row of a table", "scalars"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_pickles_of_the_predecessors_are_read(tmp_path, protocol, kind, dtype):
    found, values = records(kind, dtype)
    (tmp_path / "pkl").mkdir()
    for i, part in enumerate((found[:4], found[4:])):
        (tmp_path / "pkl" / f"part_{i}.pkl").write_bytes(pickle.dumps(part, protocol))
    out = convert(tmp_path / "pkl", tmp_path / "out", allow_pickle=True)
    np.testing.assert_array_equal(raw(out), values)
    assert out.ids().to_pylist() == [f"im{i}" for i in range(7)]
    assert out.metadata(1).column("caption").to_pylist() == ["c4", "c5", "c6"]
    assert [shard.path.name for shard in out.shards] == ["part_000.npy", "part_001.npy"]


def test_arrays_in_fortran_order_and_numpy_ids_survive(tmp_path):
    values = np.asfortranarray(np.random.default_rng(0).normal(size=(3, 4)))
    found = [{"id": np.str_(f"n{i}"), "embed": values[i : i + 1].T.reshape(1, 4, order="F")} for i in range(3)]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(found))
    out = convert(tmp_path / "x.pkl", tmp_path / "x.npy", allow_pickle=True)
    np.testing.assert_array_equal(raw(out), values)
    assert out.ids().to_pylist() == ["n0", "n1", "n2"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_values_in_arrays_without_axes_are_values(tmp_path, protocol):
    found = [
        {"id": kind(i), "embed": np.ones(3), "name": np.array(f"n{i}"), "box": np.zeros(4)}
        for i, kind in enumerate((np.array, np.int64, int))
    ]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(found, protocol))
    assert open_to_convert(tmp_path / "x.pkl", allow_pickle=True).left_out == ["box"]
    out = convert(tmp_path / "x.pkl", tmp_path / "x.npy", allow_pickle=True)
    assert out.ids().to_pylist() == [0, 1, 2]
    assert out.metadata(0).to_pydict() == {"id": [0, 1, 2], "name": ["n0", "n1", "n2"]}


def test_pickles_are_opened_only_where_the_user_says_so(tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(records("array")[0]))
    for attempt in (
        lambda: open_embeddings(tmp_path / "x.pkl"),
        lambda: open_embeddings(tmp_path),
        lambda: convert(tmp_path / "x.pkl", tmp_path / "out"),
    ):
        with pytest.raises(InputError, match=r"x\.pkl is a pickle.*run code.*--allow-pickle"):
            attempt()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"id": 1, "embed": torch.ones(3)}], r"torch\._utils\._rebuild_tensor_v2.*save torch tensors as numpy"),
        ({"embed": np.ones(3)}, "a list of records"),
        ([np.ones(3)], "a list of records"),
        ([], "empty"),
        ([{"id": 1, "embed": np.ones(3)}, {"id": 2}], "row 1: the record has no `embed`"),
        ([{"id": 1, "embed": np.ones(3)}, {"embed": np.ones(3)}], "row 1: the record has no `id`"),
        ([{"id": 1, "embed": np.ones(3)}, {"id": 2, "embed": np.ones(4)}], "row 1: a vector of float64 and width 4"),
        ([{"id": 1, "embed": np.ones(3)}, {"id": 2, "embed": np.ones(3, "f4")}], "row 1: a vector of float32"),
        ([{"id": 1, "embed": np.ones((2, 3))}], "row 0: `embed` must be a vector of floats"),
        ([{"id": 1, "embed": np.ones(3, int)}], "row 0: `embed` must be a vector of floats"),
        ([{"id": 1, "embed": np.array([1.0, None])}], "neither numbers nor text"),
        ([{"id": 1, "embed": "text"}], "row 0: `embed` must be a vector of floats"),
        ([{"id": 1, "embed": np.ones(3)}, {"id": "b", "embed": np.ones(3)}], "`id` is not of one kind"),
        ([{"id": 1, "embed": np.ones(3)}, {"id": np.ones(1), "embed": np.ones(3)}], "row 1: `id` is an array"),
        ([{"id": 1 << 70, "embed": np.ones(3)}], "`id` is not of one kind"),
    ],
)
def test_pickles_of_another_shape_are_refused(tmp_path, content, message):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=message):
        convert(tmp_path / "x.pkl", tmp_path / "out", allow_pickle=True)
    assert not list(tmp_path.glob("out*"))


def test_a_pickle_that_was_corrected_is_read_anew(tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps([{"id": "old", "embed": np.array([1, 0], "f4")}]))
    (tmp_path / "there.npy").write_text("something else")
    with pytest.raises(InputError, match="already exists"):
        convert(tmp_path / "x.pkl", tmp_path / "there.npy", allow_pickle=True)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps([{"id": "new", "embed": np.array([0, 1], "f4")}]))
    out = convert(tmp_path / "x.pkl", tmp_path / "out.npy", allow_pickle=True)
    assert (out.ids().to_pylist(), raw(out).tolist()) == (["new"], [[0, 1]])
    for vector in ([2, 0], [0, 2, 0]):
        (tmp_path / "x.pkl").write_bytes(pickle.dumps([{"id": "new", "embed": np.array(vector, "f4")}]))
        assert raw(open_to_convert(tmp_path / "x.pkl", allow_pickle=True)).tolist() == [vector]


def test_a_set_is_not_written_over_by_one_of_its_shards(make_set, tmp_path, ragged):
    pytest.importorskip("lance", reason="the library that writes Lance is optional")
    convert(make_set(ragged), tmp_path / "d")
    with pytest.raises(InputError, match="where the rows come from"):
        convert(tmp_path / "d" / "part-000.npy", tmp_path / "d", format="lance", overwrite=True)
    assert open_embeddings(tmp_path / "d").rows == 17


def test_no_shard_is_added_to_a_folder_of_clip_retrieval_that_is_read(tmp_path):
    (tmp_path / "root" / "text_emb").mkdir(parents=True)
    np.save(tmp_path / "root" / "text_emb" / "a_0.npy", np.eye(3))
    with pytest.raises(InputError, match="would be one more shard"):
        convert(tmp_path / "root", tmp_path / "root" / "text_emb" / "a_1.npy")


@pytest.mark.parametrize(("value", "dtype"), [(1e-9, "float16"), (1e-60, "float32"), (1e9, "float16")])
def test_a_row_that_another_type_cannot_hold_is_refused_and_named(tmp_path, value, dtype):
    rows = np.ones((4, 3))
    rows[2] = value
    np.save(tmp_path / "x.npy", rows)
    with pytest.raises(InputError, match=rf"x\.npy.* row 2 holds values beyond the range of {dtype}"):
        convert(tmp_path / "x.npy", tmp_path / "y.npy", dtype=dtype)
    rows[2] = [0.0, value, 0.25]  # one value of a row may be rounded away
    if value < 1:
        np.save(tmp_path / "x.npy", rows)
        assert convert(tmp_path / "x.npy", tmp_path / "y.npy", dtype=dtype).rows == 4


@pytest.mark.parametrize("ids", [[1.0, 2.0], [b"a", b"b"]])
def test_ids_that_would_be_others_in_one_file_are_refused(tmp_path, ids):
    whole = [7, 8] if isinstance(ids[0], float) else ["7", "8"]
    tables(tmp_path / "in", {"id": whole}, {"id": ids})
    with pytest.raises(InputError, match="write a folder of shards"):
        convert(tmp_path / "in", tmp_path / "out.parquet")
    assert convert(tmp_path / "in", tmp_path / "out").rows == 4


def test_numbers_of_two_types_that_cannot_meet_are_told_in_one_line(tmp_path):
    tables(tmp_path / "in", {"width": [(1 << 53) + 1, 2]}, {"width": [1.5, 2.5]})
    with pytest.raises(InputError, match="differ in type from shard to shard"):
        convert(tmp_path / "in", tmp_path / "out.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_column_that_parquet_cannot_hold_is_told_in_one_line(tmp_path):
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(1.0, 5.0)), 2)
    table = pa.table({"embedding": vectors, "odd": pa.array([{}, {}], pa.struct([]))})
    with pa.ipc.new_file(tmp_path / "x.arrow", table.schema) as file:
        file.write_table(table)
    with pytest.raises(InputError, match="cannot be kept in Parquet"):
        convert(tmp_path / "x.arrow", tmp_path / "y.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["x.arrow"]


def test_pickles_and_other_formats_are_not_mixed(tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(records("array")[0]))
    np.save(tmp_path / "y.npy", np.eye(5))
    with pytest.raises(InputError, match="mixes"):
        convert(tmp_path, tmp_path / "out", allow_pickle=True)
    with pytest.raises(InputError, match=r"mixes formats: \.npy \(y\.npy\), \.pkl"):
        open_embeddings(tmp_path)


def test_reading_a_pickle_imports_nothing_it_names(tmp_path):
    # A module that is on the path but not loaded must stay so: naming it is enough for pickle to import it.
    (tmp_path / "trap.py").write_text("open(__file__ + '.sprung', 'w')\nclass Trap: pass\n")
    (tmp_path / "x.pkl").write_bytes(b"ctrap\nTrap\n.")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from anisoalign.embeddings import convert, InputError\n"
        "try: convert(sys.argv[1] + '/x.pkl', sys.argv[1] + '/out', allow_pickle=True)\n"
        "except InputError as error: sys.exit('trap.Trap' not in str(error))\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0
    assert not (tmp_path / "trap.py.sprung").exists()


def tables(folder, *columns):
    """A parquet shard for each set of columns, beside two vectors."""
    folder.mkdir()
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(1.0, 5.0)), 2)
    for number, more in enumerate(columns):
        pq.write_table(pa.table({"embedding": vectors, **more}), folder / f"s_{number}.parquet")
    return folder


def test_columns_of_nulls_join_those_of_values_in_one_file(tmp_path):
    folder = tables(tmp_path / "in", {"id": ["a", "b"]}, {"id": pa.nulls(2)})
    convert(folder, tmp_path / "one.parquet")
    assert pq.read_table(tmp_path / "one.parquet")["id"].to_pylist() == ["a", "b", None, None]


def test_columns_that_do_not_fit_into_one_file_are_told_and_kept_in_a_folder(tmp_path):
    differ = tables(tmp_path / "differ", {"id": ["a", "b"]}, {"id": [1, 2]})
    with pytest.raises(InputError, match="differ in type from shard to shard"):
        convert(differ, tmp_path / "one.parquet")
    some = tables(tmp_path / "some", {"id": ["a", "b"]}, {})
    with pytest.raises(InputError, match="some shards have ids or other columns and some have none"):
        convert(some, tmp_path / "one.parquet")
    convert(some, tmp_path / "folder")
    assert not (tmp_path / "one.parquet").exists()
