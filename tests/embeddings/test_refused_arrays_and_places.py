"""Arrays that hold other than they seem to, and places that a result would spoil or that would belie it."""

import subprocess
import sys

import numpy as np
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import anisoalign as aa
from anisoalign.embeddings import InputError, open_embeddings, read_labels
from anisoalign.report.results import Results, write_results

ROWS = np.random.default_rng(0).normal(size=(20, 4))


@pytest.fixture
def model():
    return aa.GaussianTransport().fit(ROWS, ROWS + 1)


def test_masked_values_are_refused_and_an_empty_mask_is_none(model):
    masked = np.ma.masked_array(ROWS, mask=np.zeros(ROWS.shape, bool))
    np.testing.assert_array_equal(model.transform(masked), model.transform(ROWS))
    np.testing.assert_array_equal(model.transform(masked[0]), model.transform(ROWS[0]))
    masked[3, 2] = np.ma.masked
    for rows, row in ((masked, 3), (masked[3], 0)):
        with pytest.raises(InputError, match=f"source, row {row}: holds masked values"):
            model.transform(rows)


@pytest.mark.parametrize("shape", [(5,), (5, 2)])
def test_records_are_called_so(shape, tmp_path):
    records = np.zeros(shape, [("x", "f4"), ("y", "f4")])
    np.save(tmp_path / "r.npy", records)
    for source in (records, tmp_path / "r.npy"):
        with pytest.raises(InputError, match=r"these are records of \[\('x', '<f4'\), \('y', '<f4'\)\]"):
            open_embeddings(source)


@pytest.mark.parametrize("rows", [ROWS, ROWS[0]])
def test_a_precision_that_is_none_is_told_from_that_of_the_result(model, rows, tmp_path):
    for out in (None, tmp_path / "z"):
        with pytest.raises(InputError, match=r"dtype is the precision .* not 'float16'; that of"):
            model.transform(rows, *([] if out is None else [out]), dtype="float16")
    assert not list(tmp_path.iterdir())


def test_a_result_within_its_source_is_refused(model, write_shards, tmp_path):
    source = write_shards(tmp_path / "in", ROWS, [10, 10])
    for out in (source / "z", source / "deep" / "z"):
        with pytest.raises(InputError, match=r"lies within .*in, where the rows come from"):
            model.transform(source, out)
        with pytest.raises(InputError, match="lies within"):
            aa.embeddings.convert(source, out)
    assert len(list(source.iterdir())) == 2


@pytest.mark.parametrize("name", ["x.foo", "x.txt", "x.lance", "x.h5"])
def test_a_folder_is_called_like_a_file_only_where_its_format_is_said(model, tmp_path, name):
    said = "convert writes Lance" if name == "x.lance" else "written are .npy, .parquet, .safetensors, .arrow;"
    with pytest.raises(InputError, match=f"{name} is named like a file, and would be a folder: {said}"):
        model.transform(ROWS, tmp_path / name)
    assert not list(tmp_path.iterdir())
    model.transform(ROWS, tmp_path / name, format="npy")
    assert (tmp_path / name / "manifest.json").is_file()


@pytest.mark.parametrize("name", ["v1.5", "text.aligned", "2024.01.v2"])
def test_dots_in_the_name_of_a_folder_are_no_ending(model, tmp_path, name):
    model.transform(ROWS, tmp_path / name)
    assert (tmp_path / name / "manifest.json").is_file()


def test_the_oracles_are_a_module():
    from anisoalign.oracle import Procrustes

    assert aa.oracle.Procrustes is Procrustes


def test_a_tilde_is_the_home_of_the_user(model, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    model.save("~/m")
    assert aa.load("~/m").get_params() == model.get_params()
    assert model.transform(ROWS, "~/out") == tmp_path / "home" / "out"
    assert open_embeddings("~/out").rows == 20
    (tmp_path / "home" / "labels.txt").write_text("a cat\n")
    assert read_labels("~/labels.txt") == ["a cat"]
    write_results("~/r.json", Results(diagnose=[{"rows": 1}]))
    assert (tmp_path / "home" / "r.json").is_file()
    assert not list((tmp_path / "work").iterdir())


WRONG_KINDS = {
    "compare(rows, rows, methods=[aa.ReAlign()])": "methods are named, as 'realign' or 'c3:noise=0.05', not given as "
    "ReAlign()",
    "compare(rows, rows, k='10')": "k must be a whole number, not '10'",
    "compare(rows, rows, source_labels='a.txt')": "source labels are one a row, not a path: read_labels('a.txt') reads "
    "it",
    "evaluate(rows, rows, rows, target_labels=Path('a.txt'))": "target labels are one a row, not a path: "
    "read_labels('a.txt') reads it",
    "evaluate(rows, rows, rows, k=3.5)": "k must be a whole number, not 3.5",
    "evaluate(rows, rows, rows, seed=None)": "seed must be a whole number of at least 0, not None",
    "diagnose(rows, rows, q=2.0)": "q must be a whole number, not 2.0",
    "diagnose(rows, rows, seed=None)": "seed must be a whole number of at least 0, not None",
}


def test_arguments_of_the_wrong_kind_are_refused_by_name():
    """In a process of its own, where the types that the tests check are not checked."""
    lines = ["from pathlib import Path", "import numpy as np", "import anisoalign as aa"]
    lines.append("rows = np.random.default_rng(0).normal(size=(20, 4))")
    for call in WRONG_KINDS:
        lines += ["try:", f"    aa.{call}", "except aa.InputError as error:", "    print(error)"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == list(WRONG_KINDS.values()), done.stderr


def test_a_string_alone_is_one_method():
    rows = np.random.default_rng(0).normal(size=(100, 4))
    found = aa.compare(rows, rows + 1, methods="realign", repeats=2).to_dicts()
    assert [record["method"] for record in found] == ["realign"]


@pytest.mark.parametrize("kind", [np.float16, np.dtype("float16"), torch.float16, "float16"])
def test_the_type_of_the_result_is_said_as_numpy_and_torch_say_it(model, tmp_path, kind):
    assert model.transform(ROWS, out_dtype=kind).dtype == np.float16
    model.transform(ROWS, tmp_path / "z.npy", out_dtype=kind)
    assert np.load(tmp_path / "z.npy").dtype == np.float16
    with pytest.raises(InputError, match="aligned rows are float16, float32 or float64, not"):
        model.transform(ROWS, out_dtype=np.int8)


def test_the_way_out_of_bad_rows_is_said_in_both_spellings():
    with pytest.raises(
        InputError, match=r"`--bad-rows drop`, in Python with `aa.open_embeddings\(x, bad_rows='drop'\)`"
    ):
        open_embeddings(np.zeros((2, 4))).read()


def test_what_says_how_rows_are_read_is_said_where_they_are_opened(model, tmp_path):
    rows = ROWS.copy()
    rows[3] = 0
    for out in ((), (tmp_path / "z.npy",)):
        with pytest.raises(TypeError, match=r"give it `aa.open_embeddings\(x, bad_rows='drop'\)`"):
            model.transform(rows, *out, bad_rows="drop")
        with pytest.raises(TypeError, match=r"give it `aa.open_embeddings\(x, column=...\)`"):
            model.transform("two.parquet", *out, column="text")
    assert len(model.transform(aa.open_embeddings(rows, bad_rows="drop"))) == 19


def test_of_several_columns_the_call_that_names_one_is_told(tmp_path):
    column = pa.FixedSizeListArray.from_arrays(pa.array(ROWS.ravel()), 4)
    pq.write_table(pa.table({"text": column, "image": column}), tmp_path / "two.parquet")
    with pytest.raises(InputError, match=r"as in `aa.open_embeddings\(x, column=...\)`: text, image"):
        aa.ReAlign().fit(tmp_path / "two.parquet", ROWS)


@pytest.mark.parametrize(
    ("given", "instead"),
    [
        (ROWS.tolist(), r"not list; `np.asarray\(rows, np.float32\)` makes an array"),
        (["a.parquet", "b.parquet"], "not list; name the folder"),
        ({"a": 1}, "not dict$"),
    ],
)
def test_what_to_give_instead_of_a_list_is_told(model, given, instead):
    with pytest.raises(InputError, match=instead):
        model.transform(given)


def tables_of(kind):
    """A table of numbers, one with a column of vectors, and that column."""
    if kind == "pandas":
        frame = pandas.DataFrame({"embedding": list(ROWS)})
        return pandas.DataFrame(ROWS), frame, frame["embedding"]
    frame = polars.DataFrame({"embedding": ROWS.tolist()})
    return polars.DataFrame(ROWS), frame, frame["embedding"]


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_tables_and_columns_are_told_how_to_become_arrays(kind, model):
    table, frame, column = tables_of(kind)
    said = (
        r"not {}; `table\.to_numpy\(\)` makes an array of its numbers, `np\.stack\(table\['embedding'\]\)` of a column"
    )
    for take in (open_embeddings, model.transform, lambda rows: aa.diagnose(rows, ROWS)):
        for rows in (table, frame):
            with pytest.raises(InputError, match=said.format("DataFrame")):
                take(rows)
        with pytest.raises(InputError, match=r"not Series; `np\.stack\(column\)` makes an array"):
            take(column)
        with pytest.raises(InputError, match=r"not list; `np\.asarray\(rows, np\.float32\)` makes an array"):
            take(ROWS.tolist())
    for made in (table.to_numpy(), np.stack(frame["embedding"]), np.stack(column)):
        np.testing.assert_array_equal(open_embeddings(made).read(np.float64), open_embeddings(ROWS).read(np.float64))


def test_an_array_of_vectors_that_is_none_of_numbers_is_told_to_be_stacked():
    rows = np.empty(len(ROWS), object)
    rows[:] = list(ROWS)
    with pytest.raises(InputError, match=r"this one is \(20,\); `np\.stack\(rows\)` makes one of vectors"):
        open_embeddings(rows)
