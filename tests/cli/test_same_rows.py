"""One set given as source and as target, which may be a control, is told of, by commands and in Python alike."""

import warnings

import numpy as np
import pytest
import torch

import anisoalign as aa

SAID = "anisoalign: warning: source and target are the same rows ({}): one of the two is to be the other set"


@pytest.mark.filterwarnings("always")
def test_a_fit_of_a_set_onto_itself_says_so(run, sides, tmp_path):
    (tmp_path / "link.npy").symlink_to(sides.text)
    for name, target in (("a", sides.text), ("b", tmp_path / "link.npy")):
        ended = run("fit", "realign", "--source", sides.text, "--target", target, "--out", tmp_path / name)
        assert (ended.code, SAID.format(sides.text) in ended.err) == (0, True), ended.err


@pytest.mark.filterwarnings("always")
@pytest.mark.parametrize("rest", [("diagnose",), ("compare", "--method", "realign", "--repeats", 1)])
def test_a_measurement_of_a_set_against_itself_says_so(run, sides, rest):
    ended = run(*rest, "--source", sides.text, "--target", sides.text)
    assert (ended.code, ended.err.count(SAID.format(sides.text))) == (0, 1), ended.err
    also = run("diagnose", "--source", sides.text, "--target", sides.image, "--also", f"z={sides.image}")
    assert SAID.format(sides.image).replace("source and target", "target and z") in also.err
    assert "the same rows" not in run(*rest, "--source", sides.text, "--target", sides.image).err


def fitted(source, target):
    return aa.AnisoAlign(terms="init", rotation="none", strength=0.5).fit(source, target, force=True)


@pytest.mark.parametrize(
    "measure",
    [
        aa.diagnose,
        fitted,
        lambda y, x: aa.RandomTarget().fit(y, x),
        lambda y, x: aa.compare(y, x, methods="realign", repeats=1),
    ],
)
def test_python_says_so_too(planted, measure):
    rows = planted.source.astype(np.float32)
    for same in ((rows, rows), (torch.from_numpy(rows), rows), (rows, aa.open_embeddings(rows, name="target"))):
        with pytest.warns(UserWarning, match="source and target are the same rows: one of the two"):
            measure(*same)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measure(rows[::2], rows[1::2])


def test_columns_of_one_file_are_two_sets(planted, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: pa.array(rows.tolist()) for name, rows in (("text", planted.source), ("image", planted.target))}
    pq.write_table(pa.table(columns), tmp_path / "both.parquet")
    text, image, again = (aa.open_embeddings(tmp_path / "both.parquet", column=c) for c in ("text", "image", "text"))
    aa.diagnose(text, image)
    with pytest.warns(UserWarning, match=r"both\.parquet, column 'text'\)"):
        aa.diagnose(text, again)
