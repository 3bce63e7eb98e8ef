import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from made_sets import FORMATS, unit, vector_column, write_shard
from safetensors.torch import save_file

from anisoalign.embeddings import InputError, open_embeddings, verify
from anisoalign.embeddings.formats.npy import read_header


@pytest.fixture
def values():
    return np.random.default_rng(3).normal(size=(10, 4)).astype(np.float32)


@pytest.mark.parametrize("format", [f for f in FORMATS if f.startswith(("parquet", "arrow"))])
@pytest.mark.parametrize("ids", [list("abcdefghij"), list(range(100, 110))], ids=["text", "numbers"])
def test_ids_travel_with_rows(make_set, values, format, ids):
    folder = make_set([values[:3], values[3:4], values[4:]], format, ids=ids)
    es = open_embeddings(folder)
    assert es.ids().to_pylist() == ids
    assert es.shard_ids(2).to_pylist() == ids[4:]
    assert open_embeddings(make_set([values], format, name="no-ids")).ids() is None


def test_id_column_may_be_named_and_must_exist(make_set, tmp_path, values):
    write_shard(tmp_path / "x", values, "parquet fixed", key=list(range(10)), url=list("qrstuvwxyz"))
    file = tmp_path / "x.parquet"
    assert open_embeddings(file).ids().to_pylist() == list(range(10))
    assert open_embeddings(file, id_column="url").ids().to_pylist() == list("qrstuvwxyz")
    with pytest.raises(InputError, match=r"no column 'uid'; its columns: key, url"):
        open_embeddings(file, id_column="uid")


@pytest.mark.parametrize("format", [f for f in FORMATS if f.startswith(("parquet", "arrow"))])
def test_null_rows_are_bad_rows(tmp_path, values, format):
    kind, _, variant = format.partition(" ")
    width = {"file": "fixed", "stream": "list"}.get(variant, variant)
    column = vector_column(values, width)
    rows = column.to_pylist()
    rows[4] = None
    rows[8][2] = None
    table = pa.table({"id": range(10), "vector": pa.array(rows, column.type)})
    path = tmp_path / f"x.{kind}"
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=3)
    else:
        with (pa.ipc.new_file if variant == "file" else pa.ipc.new_stream)(str(path), table.schema) as out:
            out.write_table(table, max_chunksize=3)
    with pytest.raises(InputError, match=r"x\.(parquet|arrow), shard 0, row 4 is null"):
        open_embeddings(path).read()
    es = open_embeddings(path, bad_rows="drop")
    np.testing.assert_allclose(es.read(), unit(np.delete(values, [4, 8], axis=0)), rtol=1e-14)
    assert [(row.row, row.reason) for row in es.dropped] == [(4, "is null or empty"), (8, "is null or empty")]
    assert es.kept().tolist() == [0, 1, 2, 3, 5, 6, 7, 9]


def test_sliced_arrow_columns_keep_their_offsets(tmp_path, values):
    from anisoalign.embeddings.formats.columns import column_blocks

    for kind in ("list", "large", "fixed"):
        for with_null in (False, True):
            column = vector_column(values, kind)
            if with_null:
                column = pa.array([*column.to_pylist()[:5], None, *column.to_pylist()[6:]], column.type)
            ((block, nulls),) = column_blocks([column.slice(3, 5)], 4, np.dtype("float32"), "x")
            good = [0, 1, 3, 4] if with_null else [0, 1, 2, 3, 4]
            np.testing.assert_array_equal(block[good], values[3:8][good])
            assert (nulls is not None) == with_null
            assert not with_null or nulls.tolist() == [False, False, True, False, False]


def write_lists(path, rows):
    table = pa.table({"id": range(len(rows)), "vector": pa.array(rows, pa.list_(pa.float32()))})
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=2)
    elif path.suffix == ".arrow":
        with pa.ipc.new_stream(str(path), table.schema) as out:
            out.write_table(table, max_chunksize=2)
    else:
        lance = pytest.importorskip("lance", reason="the library that writes Lance is optional")
        lance.write_dataset(table, str(path), mode="append" if path.exists() else "create")


@pytest.mark.parametrize("ending", ["parquet", "arrow", "lance"])
def test_empty_lists_are_bad_rows_wherever_they_stand(tmp_path, ending):
    path = tmp_path / f"x.{ending}"
    write_lists(path, [[], None, [3.0, 4.0], [], [0.0, 2.0]])
    with pytest.raises(InputError, match=r"row 0 is null or empty.*--bad-rows drop"):
        open_embeddings(path).read()
    es = open_embeddings(path, bad_rows="drop")
    np.testing.assert_allclose(es.read(), [[0.6, 0.8], [0.0, 1.0]])
    assert [row.row for row in es.dropped] == [0, 1, 3]
    write_lists(tmp_path / f"other.{ending}", [[1.0, 2.0], [], [1.0]])
    with pytest.raises(InputError, match=rf"other\.{ending}.*, row 2: a vector of width 1 among others of width 2"):
        open_embeddings(tmp_path / f"other.{ending}", bad_rows="drop").read()


@pytest.mark.parametrize("ending", ["parquet", "arrow", "lance"])
def test_a_shard_without_any_vector_has_the_width_of_the_others(tmp_path, ending):
    shards = [[None, []], [[3.0, 4.0], [0.0, 2.0]], [None]]
    for number, rows in enumerate(shards):
        write_lists(tmp_path / ("x.lance" if ending == "lance" else f"x_{number}.{ending}"), rows)
    path = tmp_path / "x.lance" if ending == "lance" else tmp_path
    with pytest.raises(InputError, match=r"shard 0, row 0 .*is null or empty"):
        open_embeddings(path).read()
    es = open_embeddings(path, bad_rows="drop")
    np.testing.assert_allclose(es.read(), [[0.6, 0.8], [0.0, 1.0]])
    assert [row.global_row for row in es.dropped] == [0, 1, 4]
    write_lists(tmp_path / f"none.{ending}", shards[0])
    with pytest.raises(InputError, match="holds no vector of any width"):
        open_embeddings(tmp_path / f"none.{ending}", bad_rows="drop")


def test_columns_are_guessed_only_when_there_is_one(tmp_path, values):
    two = pa.table({"image": vector_column(values, "fixed"), "text": vector_column(-values, "list")})
    pq.write_table(two, tmp_path / "two.parquet")
    with pytest.raises(InputError, match="image, text"):
        open_embeddings(tmp_path / "two.parquet")
    found = open_embeddings(tmp_path / "two.parquet", column="text")
    np.testing.assert_allclose(found.read(), unit(-values), rtol=1e-14)
    with pytest.raises(InputError, match=r"no column 'audio'; columns of vectors: image, text"):
        open_embeddings(tmp_path / "two.parquet", column="audio")
    pq.write_table(pa.table({"a": [1, 2], "b": [[1], [2]]}), tmp_path / "none.parquet")
    with pytest.raises(InputError, match=r"no column of float vectors; its columns: a \(int64\), b"):
        open_embeddings(tmp_path / "none.parquet")
    with pytest.raises(InputError, match="'a' is int64, not vectors"):
        open_embeddings(tmp_path / "none.parquet", column="a")

    tensors = {"image": torch.from_numpy(values), "text": torch.from_numpy(-values), "ids": torch.arange(10)}
    save_file(tensors, tmp_path / "two.safetensors")
    with pytest.raises(InputError, match="image, text"):
        open_embeddings(tmp_path / "two.safetensors")
    found = open_embeddings(tmp_path / "two.safetensors", column="text")
    np.testing.assert_allclose(found.read(), unit(-values), rtol=1e-14)
    assert found.ids().to_pylist() == list(range(10))
    with pytest.raises(InputError, match="'ids'; tables of vectors: image, text"):
        open_embeddings(tmp_path / "two.safetensors", column="ids")


def test_bfloat16_safetensors_are_widened_exactly(tmp_path, values):
    narrow = torch.from_numpy(values).to(torch.bfloat16)
    save_file({"e": narrow}, tmp_path / "x.safetensors")
    es = open_embeddings(tmp_path / "x.safetensors")
    assert es.dtype == np.float32
    raw = np.concatenate([tile.values for tile in es.tiles(raw=True, tile_rows=3)])
    np.testing.assert_array_equal(raw, narrow.float().numpy())
    np.testing.assert_array_equal(es.take(np.array([2, 7])).values, es.read(np.float32)[[2, 7]])


def test_fixed_shape_tensor_columns_are_vectors(tmp_path, values):
    kind = pa.fixed_shape_tensor(pa.float32(), [4])
    column = pa.ExtensionArray.from_storage(kind, vector_column(values, "fixed"))
    pq.write_table(pa.table({"v": column}), tmp_path / "x.parquet")
    np.testing.assert_allclose(open_embeddings(tmp_path / "x.parquet").read(), unit(values), rtol=1e-14)


@pytest.fixture
def clip_folder(tmp_path, values):
    """Two shards of images and of texts with their metadata, as clip-retrieval writes them."""
    for kind, sign in (("img_emb", 1), ("text_emb", -1)):
        (tmp_path / "clip" / kind).mkdir(parents=True)
        for i, part in enumerate((values[:6], values[6:])):
            np.save(tmp_path / "clip" / kind / f"{kind}_{i}.npy", sign * part.astype(np.float16))
    (tmp_path / "clip" / "metadata").mkdir()
    for i, part in enumerate((range(6), range(6, 10))):
        table = pa.table({"image_path": [f"{row}.jpg" for row in part], "caption": ["..."] * len(part)})
        pq.write_table(table, tmp_path / "clip" / "metadata" / f"metadata_{i}.parquet")
    return tmp_path / "clip"


def test_clip_retrieval_layout(clip_folder, values):
    with pytest.raises(InputError, match=r"image \(.*img_emb\), text \(.*text_emb\)"):
        open_embeddings(clip_folder)
    for column, sign in (("image", 1), ("text", -1), ("text_emb", -1)):
        es = open_embeddings(clip_folder, column=column)
        np.testing.assert_allclose(es.read(), unit(sign * values.astype(np.float16)), rtol=1e-13)
        assert es.ids().to_pylist() == [f"{row}.jpg" for row in range(10)]
        assert es.metadata(1).column_names == ["image_path", "caption"]
    assert open_embeddings(clip_folder / "img_emb").ids().to_pylist()[6] == "6.jpg"
    assert open_embeddings(clip_folder / "img_emb" / "img_emb_1.npy").ids().to_pylist()[0] == "6.jpg"
    with pytest.raises(InputError, match="no 'audio' embeddings, only: image, text"):
        open_embeddings(clip_folder, column="audio")


def test_metadata_that_does_not_fit_is_refused(clip_folder):
    first = clip_folder / "metadata" / "metadata_0.parquet"
    pq.write_table(pq.read_table(first).slice(1), first)
    with pytest.raises(InputError, match=r"metadata_0\.parquet has 5 rows, but .*img_emb_0\.npy has 6"):
        open_embeddings(clip_folder, column="image").ids()
    first.unlink()
    with pytest.raises(InputError, match=r"does not fit its vectors: 2 shards .* 1 metadata files"):
        open_embeddings(clip_folder, column="image")


@pytest.mark.parametrize("kind", ["image", "text"])
def test_vectors_that_are_missing_among_their_metadata_are_named(clip_folder, kind):
    folder = clip_folder / ("img_emb" if kind == "image" else "text_emb")
    (folder / f"{folder.name}_1.npy").rename(folder / f"{folder.name}_2.npy")
    first = clip_folder / "metadata" / "metadata_1.parquet"
    first.rename(clip_folder / "metadata" / "metadata_2.parquet")
    shutil.copy(clip_folder / "metadata" / "metadata_2.parquet", clip_folder / "metadata" / "metadata_3.parquet")
    assert open_embeddings(clip_folder, column=kind).rows == 10  # beyond the last are those of shards not fetched
    shutil.copy(clip_folder / "metadata" / "metadata_2.parquet", first)
    with pytest.raises(InputError, match=rf"{folder.name}_1\.npy is missing: .*metadata_1\.parquet belongs to"):
        open_embeddings(clip_folder, column=kind)
    assert open_embeddings(folder / f"{folder.name}_2.npy").ids().to_pylist()[0] == "6.jpg"


def test_metadata_go_by_number_only_where_numbers_differ(tmp_path, values):
    (tmp_path / "metadata").mkdir()
    for name, part in (("train_0", values[:4]), ("train_1", values[4:7]), ("val_0", values[:4])):
        np.save(tmp_path / f"{name}.npy", part)
    for number, ids in ((0, list("abcd")), (1, list("efg"))):
        pq.write_table(pa.table({"id": ids}), tmp_path / "metadata" / f"metadata_{number}.parquet")
    for path in (tmp_path, tmp_path / "val_0.npy"):
        with pytest.raises(InputError, match=r"train_0\.npy and val_0\.npy have the same number"):
            open_embeddings(path)
    (tmp_path / "val_0.npy").unlink()
    assert open_embeddings(tmp_path).ids().to_pylist() == list("abcdefg")


def hf_folder(path, values, **state):
    path.mkdir()
    # Listed in an order that is not that of the names: the list decides.
    files = ["b.arrow", "a.arrow"]
    for name, part in zip(files, (values[:7], values[7:]), strict=True):
        write_shard(path / name.removesuffix(".arrow"), part, "arrow stream", id=list(range(len(part))))
    state = {"_data_files": [{"filename": name} for name in files], **state}
    (path / "state.json").write_text(json.dumps(state))
    (path / "dataset_info.json").write_text("{}")
    return path


def test_hf_folders_are_read_without_datasets(tmp_path, values):
    es = open_embeddings(hf_folder(tmp_path / "set", values))
    assert es.format == "hf"
    np.testing.assert_allclose(es.read(), unit(values), rtol=1e-14)
    assert [shard.rows for shard in es.shards] == [7, 3]
    indexed = hf_folder(tmp_path / "indexed", values, _indices_files=[{"filename": "indices.arrow"}])
    with pytest.raises(InputError, match="flatten_indices"):
        open_embeddings(indexed)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["set", "indexed"]}')
    with pytest.raises(InputError, match=r"several splits, open one of them: .*/set, .*/indexed"):
        open_embeddings(tmp_path)


@pytest.mark.filterwarnings("default")
def test_hf_folders_that_datasets_itself_saved(tmp_path, values):
    datasets = pytest.importorskip("datasets", reason="the library that makes these folders is optional")
    data = datasets.Dataset.from_dict({"id": list(range(10)), "vector": values.tolist()})
    data = data.cast_column("vector", datasets.Sequence(datasets.Value("float32"), length=4))
    data.select([9, 0, 5]).save_to_disk(tmp_path / "chosen")
    es = open_embeddings(tmp_path / "chosen")
    np.testing.assert_allclose(es.read(), unit(values[[9, 0, 5]]), rtol=1e-14)
    assert es.ids().to_pylist() == [9, 0, 5]


@pytest.mark.filterwarnings("default")
def test_lance_fragments_are_shards(tmp_path, values):
    lance = pytest.importorskip("lance", reason="the library that reads Lance is optional")
    table = pa.table({"id": range(10), "vector": vector_column(values, "fixed")})
    lance.write_dataset(table, tmp_path / "x.lance", max_rows_per_file=4)
    es = open_embeddings(tmp_path / "x.lance")
    assert (es.format, es.rows, len(es.shards)) == ("lance", 10, 3)
    np.testing.assert_allclose(es.read(), unit(values), rtol=1e-14)
    np.testing.assert_array_equal(es.take(np.array([3, 9])).values, es.read(np.float32)[[3, 9]])
    assert es.ids().to_pylist() == list(range(10))


def test_lance_without_its_library_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "x.lance" / "_versions").mkdir(parents=True)
    monkeypatch.setitem(__import__("sys").modules, "lance", None)
    with pytest.raises(InputError, match=r"anisoalign\[lance\]"):
        open_embeddings(tmp_path / "x.lance")


def test_hidden_temporary_and_unfinished_things_are_never_shards(make_set, values):
    folder = make_set([values])
    for name in (".hidden.npy", "_private.npy", ".tmp-part-1.npy", "part-1.npy.tmp", "notes.txt"):
        (folder / name).write_bytes(b"not an array")
    (folder / "more").mkdir()
    (folder / "part-2.npy").mkdir()
    assert open_embeddings(folder).rows == 10
    folder.rename(folder.with_name("set.partial"))
    with pytest.raises(InputError, match="unfinished run"):
        open_embeddings(folder.with_name("set.partial"))


def test_folders_name_their_sub_folders(tmp_path, values):
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "x.npy", values)
    with pytest.raises(InputError, match=r"holds no embeddings .*open one of its folders: .*test, .*train"):
        open_embeddings(tmp_path)


def test_manifests_are_held_against_the_folder(make_set, values, tmp_path):
    from anisoalign.embeddings import convert

    folder = tmp_path / "out"
    convert(make_set([values[:6], values[6:]]), folder)
    assert verify(folder) == 2
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["schema_version"] == 1
    assert [(item["file"], item["rows"]) for item in manifest["shards"]] == [("part-000.npy", 6), ("part-001.npy", 4)]

    second = folder / "part-001.npy"
    whole = second.read_bytes()
    second.write_bytes(whole[:-1] + b"x")
    with pytest.raises(InputError, match=r"part-001\.npy has changed"):
        verify(folder)
    np.save(second, values[:5])
    with pytest.raises(InputError, match=r"part-001\.npy has 5 rows, manifest.json says 4"):
        open_embeddings(folder)
    second.unlink()
    with pytest.raises(InputError, match=r"part-001\.npy is listed in manifest.json but missing"):
        open_embeddings(folder)
    second.write_bytes(whole)
    np.save(folder / "part-002.npy", values)
    with pytest.raises(InputError, match=r"part-002\.npy is not listed"):
        open_embeddings(folder)
    (folder / "part-002.npy").unlink()
    assert open_embeddings(folder).rows == 10
    (folder / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 99}))
    with pytest.raises(InputError, match=r"schema version 99.*update anisoalign"):
        open_embeddings(folder)
    (folder / "manifest.json").write_text('{"made": "by something else"}')
    assert open_embeddings(folder).rows == 10


def test_headers_are_parsed_one_at_a_time(tmp_path, monkeypatch):
    """Python 3.11 fails now and then where threads parse side by side; shards of a store are opened so."""
    parse, inside, most = np.lib.format.read_array_header_1_0, [], []

    def slowly(file):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.02)
        inside.pop()
        return parse(file)

    monkeypatch.setattr(np.lib.format, "read_array_header_1_0", slowly)
    np.save(tmp_path / "a.npy", np.ones((3, 2), np.float16))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(read_header, [tmp_path / "a.npy"] * 8))
    assert found == [((3, 2), False, np.dtype(np.float16), 128)] * 8
    assert max(most) == 1


def test_a_link_to_a_shard_that_is_gone_is_named(make_set, values):
    folder = make_set([values, values], "npy")
    (folder / "z.npy").symlink_to(folder / "gone.npy")
    with pytest.raises(InputError, match=r"z\.npy is a link to a file that is not there"):
        open_embeddings(folder)


def test_arrow_shards_without_a_batch_keep_their_columns(tmp_path, values):
    """As our own writer leaves them where all rows of a shard were dropped."""
    schema = pa.schema([("id", pa.string()), ("embedding", pa.list_(pa.float32(), 4))])
    for name, rows in (("a", values), ("b", values[:0])):
        with pa.ipc.new_file(str(tmp_path / f"{name}.arrow"), schema) as out:
            if len(rows):
                ids = pa.array([str(i) for i in range(len(rows))])
                out.write_batch(pa.record_batch([ids, vector_column(rows, "fixed")], schema))
    es = open_embeddings(tmp_path)
    assert es.metadata(1).schema == pa.schema([("id", pa.string())])
    assert es.metadata(1).num_rows == 0


@pytest.mark.parametrize("header", ["{'descr': '<f4', 'shape': (3,", "{[]: 1}"])
def test_a_damaged_npy_header_is_told_in_one_line(tmp_path, header):
    text = header.encode().ljust(118) + b"\n"
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    with pytest.raises(InputError, match=r"x\.npy is not a \.npy array"):
        open_embeddings(tmp_path / "x.npy")


def test_damaged_lance_data_are_told_in_one_line(tmp_path):
    lance = pytest.importorskip("lance", reason="the library that reads Lance is optional")
    table = pa.table({"embedding": pa.FixedSizeListArray.from_arrays(pa.array(np.arange(1.0, 9.0)), 2)})
    lance.write_dataset(table, tmp_path / "x.lance")
    for file in (tmp_path / "x.lance" / "data").iterdir():
        file.write_bytes(b"nothing of the kind" * 20)
    with pytest.raises(InputError, match=r"x\.lance"):
        open_embeddings(tmp_path / "x.lance").read()


def test_two_columns_of_one_name_are_refused(tmp_path):
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(1.0, 5.0)), 2)
    pq.write_table(pa.table([vectors, [1, 2], [3, 4]], names=["embedding", "id", "id"]), tmp_path / "x.parquet")
    with pytest.raises(InputError, match="several columns of one name: id"):
        open_embeddings(tmp_path / "x.parquet")


def test_a_tensor_of_a_type_without_numpy_is_refused():
    with pytest.raises(InputError, match="float8"):
        open_embeddings(torch.zeros(2, 3, dtype=torch.float8_e4m3fn))


def test_a_float_called_id_in_safetensors_is_no_id(tmp_path):
    save_file({"embedding": torch.eye(3), "id": torch.ones(3, dtype=torch.bfloat16)}, tmp_path / "x.safetensors")
    assert open_embeddings(tmp_path / "x.safetensors").ids() is None


def test_no_rows_are_a_sample_too():
    assert open_embeddings(np.eye(3)).sample_rows(0, seed=0).tolist() == []
