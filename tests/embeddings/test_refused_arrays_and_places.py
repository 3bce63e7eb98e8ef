"""Arrays that hold other than they seem to, and places that a result would spoil or that would belie it."""

import numpy as np
import pytest

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
