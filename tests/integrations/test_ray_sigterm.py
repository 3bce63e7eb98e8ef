"""SIGTERM ends a command and the Ray that it started; the same command goes on."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import anisoalign as aa

pytestmark = pytest.mark.integration


def processes() -> dict[int, int]:
    """Every process that runs, and its parent."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            found[int(stat.parent.name)] = int(parent)
    return found


def descendants(process: int) -> set[int]:
    running, found = processes(), {process}
    while more := {child for child, parent in running.items() if parent in found} - found:
        found |= more
    return found - {process}


def test_sigterm_ends_ray_with_the_command_and_loses_no_shard(tmp_path, write_shards, run):
    rows = np.random.default_rng(0).normal(size=(6_000, 16)).astype(np.float32)
    source = write_shards(tmp_path / "source", rows, [20] * 300)
    aa.GaussianTransport().fit(rows, rows + 1).save(tmp_path / "model")
    command = ["transform", tmp_path / "model", "--source", source, "--out", tmp_path / "z"]
    ray = [sys.executable, "-m", "anisoalign", *map(str, command), "--engine", "ray"]
    with subprocess.Popen(ray, stderr=subprocess.PIPE, text=True) as running:
        until, notes = time.monotonic() + 60, tmp_path / "z.partial" / ".run"
        while not list(notes.glob("shard-*.json")) and time.monotonic() < until:
            time.sleep(0.02)
        started = descendants(running.pid)
        assert started
        running.send_signal(signal.SIGTERM)
        _, told = running.communicate(timeout=60)
    assert running.returncode == 143, told
    assert "anisoalign: terminated; where OUT.partial" in told
    assert "***" not in told  # the beginning of Ray's own account of its end
    until = time.monotonic() + 20
    while started & set(processes()) and time.monotonic() < until:
        time.sleep(0.1)
    assert not started & set(processes())
    kept = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "z.partial").glob("*.npy")}
    noted = len(list(notes.glob("shard-*.json")))
    assert noted
    assert run(*command).code == 0
    same = [name for name, when in kept.items() if (tmp_path / "z" / name).stat().st_mtime_ns == when]
    assert len(same) >= noted
    assert len(aa.open_embeddings(tmp_path / "z")) == 6_000
