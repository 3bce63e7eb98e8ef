"""Every kind of bad input to the embeddings room: one clear message, no output."""

import errno
import os
import pickle
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anisoalign.embeddings import EmbeddingWriter, InputError, convert, finding, open_embeddings, read_labels

GOOD = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)


def with_row(row: int, fill: float, values: np.ndarray = GOOD) -> np.ndarray:
    values = values.copy()
    values[row] = fill
    return values


def with_value(row: int, fill: float) -> np.ndarray:
    values = GOOD.copy()
    values[row, 2] = fill
    return values


def truncated(path: Path) -> None:
    np.save(path, GOOD)
    path.write_bytes(path.read_bytes()[:-5])


def lengthened(path: Path) -> None:
    np.save(path, GOOD)
    path.write_bytes(path.read_bytes() + b"12345")


def arrays(*parts: np.ndarray):
    """Shards of these arrays."""

    def make(folder: Path) -> None:
        for i, part in enumerate(parts):
            np.save(folder / f"s{i}.npy", part)

    return make


def one_file(name: str, data: bytes):
    def make(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return make


def mixed_formats(folder: Path) -> None:
    np.save(folder / "a.npy", GOOD)
    pq.write_table(pa.table({"v": GOOD.tolist()}), folder / "b.parquet")


def damaged_parquet(folder: Path) -> None:
    pq.write_table(pa.table({"v": GOOD.tolist()}), folder / "a.parquet", compression="none", use_dictionary=False)
    data = bytearray((folder / "a.parquet").read_bytes())
    data[4:40] = b"\xff" * 36
    (folder / "a.parquet").write_bytes(data)


FAULTS = {
    "truncated npy": (lambda f: truncated(f / "s0.npy"), r"s0\.npy is truncated: the header promises 8 rows.* 7 whole"),
    "npy too long": (lambda f: lengthened(f / "s0.npy"), r"s0\.npy is longer than its header says"),
    "npy cut within its header": (one_file("s0.npy", b"\x93NUMPY\x01\x00"), r"s0\.npy is not a \.npy array"),
    "empty file": (one_file("s0.npy", b""), r"s0\.npy is not a \.npy array"),
    "text called npy": (one_file("s0.npy", b"0.1 0.2 0.3\n" * 20), r"s0\.npy is not a \.npy array"),
    "text called parquet": (one_file("s.parquet", b"0.1 0.2\n" * 20), r"s\.parquet cannot be read as Parquet"),
    "text called safetensors": (one_file("s.safetensors", b"0.1 0.2\n" * 20), r"s\.safetensors cannot be read"),
    "text called arrow": (one_file("s.arrow", b"0.1 0.2\n" * 20), r"s\.arrow cannot be read as Arrow"),
    "damaged parquet": (damaged_parquet, r"a\.parquet (is damaged|cannot be read)"),
    "one dimension": (arrays(GOOD[0]), r"s0\.npy: embeddings must be an array of shape \(rows, width\).*\(4,\)"),
    "three dimensions": (arrays(GOOD[None]), r"s0\.npy: .*\(1, 8, 4\)"),
    "no width": (arrays(GOOD[:, :0]), r"s0\.npy: .*\(8, 0\)"),
    "whole numbers": (arrays(GOOD.astype(np.int8)), r"s0\.npy: .*float16, float32 or float64, these are int8"),
    "complex numbers": (arrays(GOOD.astype(complex)), r"s0\.npy: .*these are complex128"),
    "objects": (arrays(GOOD.astype(object)), r"s0\.npy: .*these are object"),
    "another width": (
        arrays(GOOD, GOOD, GOOD[:, :3]),
        r"different width: .*s0\.npy has 4, .*s2\.npy has 3",
    ),
    "another dtype": (
        arrays(GOOD, GOOD.astype(np.float16)),
        r"different type: .*s0\.npy is float32, .*s1\.npy is float16",
    ),
    "NaN value": (arrays(GOOD, with_value(5, np.nan)), r"s1\.npy, shard 1, row 5 \(row 13 of the set\) holds NaN"),
    "NaN row": (arrays(with_row(2, np.nan)), r"s0\.npy, shard 0, row 2 holds NaN.*--bad-rows drop"),
    "infinite value": (arrays(GOOD, with_value(7, -np.inf)), r"s1\.npy.*row 7 .*holds an infinite value"),
    "zero row": (arrays(GOOD, with_row(0, 0)), r"s1\.npy.*row 0 .*is zero"),
    "half-precision infinity": (
        arrays(with_value(1, np.inf).astype(np.float16)),
        r"s0\.npy, shard 0, row 1 holds an infinite value",
    ),
    "empty folder": (lambda f: None, r"holds no embeddings"),
    "only empty shards": (arrays(GOOD[:0], GOOD[:0]), r"no rows in .*s0\.npy"),
    "mixed formats": (mixed_formats, r"mixes formats: \.npy \(a\.npy\), \.parquet \(b\.parquet\)"),
    "unknown format": (one_file("a.csv", b"1,2\n"), r"holds no embeddings"),
    "pickle": (one_file("a.pkl", pickle.dumps([{"id": 1, "embed": GOOD[0]}])), r"a\.pkl is a pickle.*--allow-pickle"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_input_gives_one_clear_message_and_no_output(tmp_path, fault):
    make, message = FAULTS[fault]
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    make(folder)
    with pytest.raises(InputError, match=message) as caught:
        convert(folder, out)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
    with pytest.raises(InputError, match=message):
        open_embeddings(folder).read()


@pytest.mark.parametrize("suffix", ["npy", "parquet"])
def test_broken_shards_are_all_named(tmp_path, suffix):
    for number in range(30):
        file = tmp_path / f"{number:02}.{suffix}"
        np.save(file, GOOD) if suffix == "npy" else pq.write_table(pa.table({"v": GOOD.tolist()}), file)
        if number in (3, 17):
            file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match="2 of 30 shards in ") as caught:
        open_embeddings(tmp_path)
    assert [line.split()[0] for line in str(caught.value).splitlines()[1:]] == [
        str(tmp_path / f"{number:02}.{suffix}") for number in (3, 17)
    ]
    for number in range(29):
        (tmp_path / f"{number:02}.{suffix}").write_bytes(b"")
    with pytest.raises(InputError, match=r"and 9 more$"):
        open_embeddings(tmp_path)


def test_what_is_wrong_with_every_shard_is_said_once(tmp_path):
    for number in range(3):
        pq.write_table(pa.table({"v": GOOD.tolist()}), tmp_path / f"{number}.parquet")
    with pytest.raises(InputError, match=r"0\.parquet.*'w'") as caught:
        open_embeddings(tmp_path, column="w")
    assert "\n" not in str(caught.value)


def test_a_lost_connection_is_no_fault_of_a_shard(tmp_path, monkeypatch):
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", GOOD)

    def lost(file, column):
        raise InputError("gone") from OSError(errno.ECONNRESET, "reset")

    monkeypatch.setitem(finding.READERS, ".npy", lost)
    with pytest.raises(InputError, match=r"^gone$"):
        open_embeddings(tmp_path)


def test_how_many_shards_are_of_another_width(tmp_path):
    arrays(GOOD, GOOD[:, :3], GOOD[:, :2], GOOD)(tmp_path)
    with pytest.raises(InputError, match=r"s1\.npy has 3; 2 of 4 differ from the first"):
        open_embeddings(tmp_path)


def test_a_path_that_does_not_exist():
    with pytest.raises(InputError, match="no/such/place does not exist"):
        open_embeddings("no/such/place")


@pytest.mark.parametrize("inside", ["", "text_emb", "text_emb/a.npy"])
def test_a_result_that_is_not_finished_yet_is_told_of(tmp_path, inside):
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "outs").mkdir()
    with pytest.raises(InputError) as caught:
        open_embeddings(tmp_path / "out" / inside)
    message = str(caught.value)
    assert message.endswith(f"; {tmp_path}/out.partial is an unfinished run; repeat the command that began it")
    (tmp_path / "out").mkdir()  # the earlier result, which that run is to replace
    with pytest.raises(InputError, match=r"out is empty$"):
        open_embeddings(tmp_path / "out" / "nothing.npy")


def test_a_file_of_unknown_format(tmp_path):
    (tmp_path / "a.csv").write_text("1,2\n")
    with pytest.raises(InputError, match=r"a\.csv is of no known format; known are \.npy"):
        open_embeddings(tmp_path / "a.csv")
    with pytest.raises(InputError, match="source: a path, an array or a tensor is needed, not list"):
        open_embeddings([[1.0, 2.0]])  # type: ignore[arg-type]


def test_settings_that_do_not_exist():
    with pytest.raises(InputError, match="bad_rows must be one of error, drop, not 'skip'"):
        open_embeddings(GOOD, bad_rows="skip")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="norms must be one of auto, normalize"):
        open_embeddings(GOOD, norms="unit")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="not float16"):
        open_embeddings(GOOD).read(np.float16)


@pytest.mark.parametrize("fault", ["NaN value", "NaN row", "infinite value", "zero row", "half-precision infinity"])
def test_dropping_counts_and_lists_bad_rows(tmp_path, fault):
    FAULTS[fault][0](tmp_path)
    es = open_embeddings(tmp_path, bad_rows="drop")
    values = es.read()
    (dropped,) = es.dropped
    assert len(values) == es.rows - 1
    assert np.isfinite(values).all()
    assert dropped.reason in ("holds NaN", "holds an infinite value", "is zero")
    assert es.shards[0].rows * int(dropped.file.endswith("s1.npy")) + dropped.row == dropped.global_row
    assert dropped.global_row not in es.kept()
    assert len(es.kept()) == es.rows - 1
    es.read()
    assert len(es.dropped) == 1
    assert es.describe()["dropped"] == 1


def test_dropping_everything_is_an_error(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    np.save(folder / "x.npy", np.zeros((5, 3), np.float32))
    with pytest.raises(InputError, match="every row is bad"):
        open_embeddings(folder, bad_rows="drop").read()
    with pytest.raises(InputError, match="every row is bad"):
        convert(folder, tmp_path / "out", bad_rows="drop")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in", "x.npy"]


def test_a_bad_row_in_a_late_shard_leaves_no_partial_output(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    arrays(GOOD, GOOD, with_row(3, np.nan))(folder)
    with pytest.raises(InputError, match=r"s2\.npy"):
        convert(folder, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


@pytest.fixture
def read_only():
    """A folder that cannot be written; as root, by another user's rights."""
    folder = Path(tempfile.mkdtemp())
    np.save(folder / "in.npy", GOOD)
    folder.chmod(0o555)
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


@pytest.mark.skipif(os.name == "nt", reason="rights of folders")
@pytest.mark.parametrize("name", ["out", "out.npy", "deeper/out"])
def test_a_read_only_output_folder_is_found_before_any_work(read_only, name):
    work = []
    with pytest.raises(InputError, match=r"out(\.npy)? cannot be written: Permission denied"):
        convert(read_only / "in.npy", read_only / name, progress=work.append)
    assert work == []
    assert sorted(path.name for path in read_only.iterdir()) == ["in.npy"]


def test_an_output_below_a_file_cannot_be_written(tmp_path):
    np.save(tmp_path / "in.npy", GOOD)
    with pytest.raises(InputError, match=r"cannot be written: (Not a directory|File exists)"):
        convert(GOOD, tmp_path / "in.npy" / "out")


def test_a_full_disk_is_no_fault_of_the_input_and_leaves_no_result(tmp_path, monkeypatch):
    from anisoalign.embeddings.shard_files import Sink

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Sink, "write", full)
    with pytest.raises(OSError, match="No space left"):
        convert(GOOD, tmp_path / "out")
    assert not list(tmp_path.iterdir())


class Runs:
    """Pickles as a call that runs code, in one of several ways."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def attacks(mark: Path) -> dict[str, bytes]:
    touch = f"open({str(mark)!r}, 'w').close()"
    path = str(mark).encode()
    array = np.ones(3)
    attack = {
        "os.system": Runs(os.system, f"touch {mark}"),
        "eval": Runs(eval, touch),
        "exec": Runs(exec, touch),
        "open": Runs(open, str(mark), "w"),
        "numpy.save": Runs(np.save, str(mark), array),
        "numpy.load": Runs(np.load, str(mark)),
        "numpy.fromfile": Runs(np.ndarray.tofile, array, str(mark)),
        "inside a record": {"id": 1, "embed": Runs(os.system, f"touch {mark}")},
        "inside an array": np.array([Runs(os.system, f"touch {mark}"), None], dtype=object),
    }
    found = {name: pickle.dumps([{"id": 1, "embed": array}, value]) for name, value in attack.items()}
    # By hand: instructions that Python's own pickling does not write.
    found["instruction i"] = b"(S'touch " + path + b"'\nios\nsystem\n."
    found["instruction o"] = b"(cos\nsystem\nS'touch " + path + b"'\no."
    found["dotted name"] = b"\x80\x04\x8c\x05numpy\x8c\x0bos.getcwdb2\x93."
    found["numpy's own eval"] = b"cnumpy.testing._private.utils\nrunstring\n(S'" + touch.encode() + b"'\n}tR."
    found["attribute of a stand-in"] = b"cnumpy\nndarray\n(N}S'__call__'\ncos\nsystem\nstb."
    found["codec by name"] = b"c_codecs\nencode\n(Vx\nVzlib\ntR."
    return found


@pytest.mark.parametrize("name", sorted(attacks(Path("mark"))))
def test_a_pickle_that_would_run_code_does_not(tmp_path, name):
    (tmp_path / "in").mkdir()
    mark = tmp_path / "mark"
    (tmp_path / "in" / "x.pkl").write_bytes(attacks(mark)[name])
    with pytest.raises(InputError, match=r"x\.pkl"):
        convert(tmp_path / "in", tmp_path / "out", allow_pickle=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_the_attacks_would_work_on_an_unpickler_that_trusts(tmp_path):
    mark = tmp_path / "mark"
    for name in ("os.system", "eval", "exec", "open", "inside a record", "inside an array", "instruction i"):
        loaded = pickle.loads(attacks(mark)[name])  # what must never happen to a user's file
        assert mark.exists(), name
        if name == "open":
            loaded[1].close()
        mark.unlink()


def test_labels_of_the_wrong_length(tmp_path):
    (tmp_path / "labels.txt").write_text("cat\ndog\ncat\n")
    np.save(tmp_path / "labels.npy", np.array([3, 1, 3]))
    pq.write_table(pa.table({"label": ["cat", "dog", "cat"]}), tmp_path / "labels.parquet")
    for name, truth in (("txt", ["cat", "dog", "cat"]), ("npy", ["3", "1", "3"]), ("parquet", ["cat", "dog", "cat"])):
        path = tmp_path / f"labels.{name}"
        assert read_labels(path) == truth
        assert read_labels(path, expect_rows=3) == truth
        with pytest.raises(InputError, match=rf"labels\.{name} holds 3 labels for 4 rows"):
            read_labels(path, expect_rows=4)


def test_labels_that_are_none(tmp_path):
    np.save(tmp_path / "words.npy", np.array(["ein", "zwei"]))
    assert read_labels(tmp_path / "words.npy") == ["ein", "zwei"]
    np.save(tmp_path / "objects.npy", np.array([Runs(os.system, f"touch {tmp_path / 'mark'}")], dtype=object))
    np.save(tmp_path / "table.npy", np.ones((2, 2)))
    (tmp_path / "gap.txt").write_text("cat\n\ndog\n")
    (tmp_path / "bytes.txt").write_bytes(b"\xfa\xff\xfe")
    (tmp_path / "wide.txt").write_text("cat\n", encoding="utf-16")
    (tmp_path / "text.npy").write_text("cat\n")
    pq.write_table(pa.table({"class": ["cat"], "id": [1]}), tmp_path / "other.parquet")
    pq.write_table(pa.table({"label": ["cat", None]}), tmp_path / "null.parquet")
    for name, message in (
        ("objects.npy", "cannot be read as labels"),
        ("table.npy", r"these are float64 of shape \(2, 2\)"),
        ("gap.txt", r"gap\.txt, row 1: the label is empty"),
        ("bytes.txt", "cannot be read as labels"),
        ("wide.txt", r"wide\.txt is UTF-16, as Windows writes it; save it as UTF-8"),
        ("text.npy", "cannot be read as labels"),
        (
            "other.parquet",
            r"no column 'label'; its columns: class, id; say which holds the labels: .*other\.parquet:COLUMN",
        ),
        ("null.parquet", "row 1: the label is empty"),
        ("absent.txt", "does not exist"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            read_labels(tmp_path / name)
        assert name in str(caught.value)
    assert not (tmp_path / "mark").exists()


def test_an_empty_result_is_not_written(tmp_path):
    for out in (tmp_path / "out", tmp_path / "out.npy"):
        with pytest.raises(InputError, match="no rows to write"), EmbeddingWriter(out, 3):
            pass
    assert not list(tmp_path.iterdir())
