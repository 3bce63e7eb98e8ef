"""What goes wrong in a run of `encode` is told as it is: by its row, by its setting, by how a process ended."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_running import run

from anisoalign.cli import main
from anisoalign.embeddings import InputError, open_embeddings
from anisoalign.encoders import open_encoder
from anisoalign.encoders.batches import Workers
from anisoalign.encoders.columns import ColumnNames
from anisoalign.encoders.items import Item
from anisoalign.encoders.opening import require
from anisoalign.encoders.pictures import decode_picture
from anisoalign.encoders.running import REPORT, find_jobs
from anisoalign.encoders.sounds import decode_sound
from anisoalign.encoders.unreadable import UnreadableError

pytestmark = pytest.mark.integration


def test_a_number_is_no_image_and_no_sound(encoder, photos, tmp_path):
    with pytest.raises(UnreadableError, match=r"^int is no image$"):
        decode_picture(3)
    with pytest.raises(UnreadableError, match=r"^float is no sound$"):
        decode_sound(2.5, 8000)
    records = [{"image": 3}, {"image": str(photos / "cats" / "1.png")}]
    (tmp_path / "list.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    outcome = run(encoder, tmp_path / "out", {"images": tmp_path / "list.jsonl"})
    assert outcome.unreadable[0]["reason"] == "image: int is no image"


def test_the_report_says_row_and_shard(encoder, photos, tmp_path):
    (photos / "dogs" / "8.png").write_bytes(b"no picture")
    run(encoder, tmp_path / "out", {"images": photos}, shard_rows=5)
    (line,) = (tmp_path / "out" / REPORT).read_text().splitlines()
    found = json.loads(line)
    assert (found["row"], found["shard"], found["id"]) == (15, 3, "dogs/8")  # after 11 cats and dogs 0, 2, 4, 6


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_row_without_an_id_gets_none_that_may_be_another_s(encoder, tmp_path, ending):
    rows = [{"id": own, "text": text} for own, text in (("2", "a cat"), (None, "a dog"), ("", "rain"), ("0", None))]
    if ending == "jsonl":
        (tmp_path / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"text": "a dog"}]))
    else:
        pq.write_table(pa.Table.from_pylist([*rows, {"id": None, "text": "a dog"}]), tmp_path / "list.parquet")
    outcome = run(encoder, tmp_path / "out", {"texts": tmp_path / f"list.{ending}"})
    assert open_embeddings(tmp_path / "out").ids().to_pylist() == ["2"]
    assert [(item["row"], item["id"], item["reason"]) for item in outcome.unreadable] == [
        (1, "", "it has no id"),
        (2, "", "it has no id"),
        (3, "0", "there is no text"),
        (4, "", "it has no id"),
    ]
    place = "line 2" if ending == "jsonl" else "row 1"
    assert outcome.unreadable[0]["where"] == f"{tmp_path / f'list.{ending}'}, {place}"


def test_columns_of_what_has_none_are_refused(encoder, photos, tmp_path):
    (tmp_path / "texts.txt").write_text("a cat\n")
    (tmp_path / "list.jsonl").write_text('{"caption": "a cat", "n": 1}\n')
    columns = ColumnNames({"image": "file"})
    with pytest.raises(InputError, match=r"--image-column names a column of a .* list; .*photos has no columns"):
        find_jobs(encoder, images=photos, columns=columns)
    with pytest.raises(InputError, match=r"--text-column .*texts\.txt has no columns"):
        find_jobs(encoder, texts=tmp_path / "texts.txt", columns=ColumnNames({"text": "a"}))
    with pytest.raises(InputError, match="--image-column is given, but no image is to be encoded"):
        find_jobs(encoder, texts=tmp_path / "list.jsonl", columns=columns)
    with pytest.raises(InputError, match=r"--id-column .*photos has no columns"):
        find_jobs(encoder, images=photos, columns=ColumnNames({}, "n"))
    both = find_jobs(
        encoder, images=photos, texts=tmp_path / "list.jsonl", columns=ColumnNames({"text": "caption"}, "n")
    )
    assert [job.items.rows for job in both] == [23, 1]


class Deadly:
    """A preparation that ends its process as it is told."""

    portable = True

    def __init__(self, how):
        self.how = how

    def one(self, content):
        if self.how < 0:
            os.kill(os.getpid(), -self.how)
            time.sleep(60)
        os._exit(self.how)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (-signal.SIGKILL, "was ended by SIGKILL, as the system does where memory is short;"),
        (-signal.SIGSEGV, "was ended by SIGSEGV;"),
        (3, "ended with exit code 3;"),
    ],
)
def test_a_dead_decoder_is_told_by_how_it_ended(how, told):
    with Workers({"image": Deadly(int(how))}, 2) as workers, pytest.raises(ChildProcessError) as error:
        list(workers.batches([Item(0, "0", "0", {"image": b""})], 1))
    assert str(error.value).startswith(f"a process that decodes {told}")


def test_how_a_decoder_ended_is_not_asked_beside_the_pool(monkeypatch):
    """The exit code comes through a pipe once; of two threads that ask at a time one would read its end."""
    from multiprocessing import forkserver

    read = forkserver.read_signed

    def later_here(pipe):
        time.sleep(0.5 * (threading.current_thread() is threading.main_thread()))
        return read(pipe)

    monkeypatch.setattr(forkserver, "read_signed", later_here)
    with Workers({"image": Deadly(3)}, 1) as workers, pytest.raises(ChildProcessError, match="ended with exit code 3;"):
        list(workers.batches([Item(0, "0", "0", {"image": b""})], 1))


def test_a_dead_decoder_ends_the_command_in_one_line(model_folder, photos, tmp_path, monkeypatch, capsys):
    from anisoalign.encoders.preparing import PicturePreparation

    monkeypatch.setattr(PicturePreparation, "__reduce__", lambda self: (Deadly, (3,)))
    words = ["encode", model_folder("clip"), "--images", photos, "--workers", "1", "--out", tmp_path / "out"]
    monkeypatch.setattr("sys.argv", ["anisoalign", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("anisoalign: a process that decodes ended with exit code 3;")
    assert "memory" not in last


ORPHAN = """
import os, signal, sys, time
from anisoalign.encoders.batches import Workers
from anisoalign.encoders.items import Item
from tiny_encoders import Slow
if __name__ == "__main__":
    with Workers({"image": Slow(sys.argv[1])}, 1) as workers:
        list(workers.batches([Item(0, "0", "0", {"image": b""})], 1))
"""


def test_decoders_end_with_a_process_that_is_killed(tmp_path):
    (tmp_path / "orphan.py").write_text(ORPHAN)
    here = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, *sys.path])}
    started = subprocess.Popen([sys.executable, tmp_path / "orphan.py", tmp_path / "pid"], env=environment)
    while not (tmp_path / "pid").exists() and started.poll() is None:
        time.sleep(0.05)
    decoder = int((tmp_path / "pid").read_text())
    started.kill()
    started.wait()
    for _ in range(300):
        try:
            os.kill(decoder, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.kill(decoder, signal.SIGKILL)
    pytest.fail("the process that decodes is still there")


def test_a_library_that_does_not_import_names_what_it_needs(tmp_path, monkeypatch, model_folder):
    (tmp_path / "open_clip.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "open_clip", raising=False)
    with pytest.raises(InputError, match=r"open_clip_torch and a torchvision .* operator torchvision::nms"):
        open_encoder("open_clip:ViT-B-32/openai")
    (tmp_path / "open_clip.py").write_text("import torchvision_that_is_not_there\n")
    with pytest.raises(InputError, match="torchvision"):
        open_encoder("open_clip:ViT-B-32/openai")
    with pytest.raises(InputError, match="needs a_library"):
        require("a_library_that_is_not_there", "a_library")
