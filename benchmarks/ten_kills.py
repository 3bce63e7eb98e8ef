"""A transform of many rows, killed ten times at random moments: does it go on, and end with the same bytes?

    python benchmarks/ten_kills.py [--rows 10000000]

ReAlign is fitted and applied once undisturbed, then once more by the command line in a process that is killed
(SIGKILL) at a random moment of the undisturbed time, ten times over, and left alone the eleventh. Where it is done
before it can be killed, what it made is compared too, and it begins anew, so that no stretch of a run is spared.
Compared are the checksums of all shards, of which every one is read again from the disk. Writes ten_kills.json.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from anisoalign.embeddings import verify
from anisoalign.embeddings.manifest import MANIFEST
from protocol import write
from speed import make_data

HERE = Path(__file__).parent
DIM = 512


def call(*words: object) -> subprocess.Popen[bytes]:
    """Start the command line."""
    command = [sys.executable, "-m", "anisoalign", *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def finished(*words: object) -> float:
    """Seconds of a command that must succeed."""
    started = time.perf_counter()
    process = call(*words)
    if process.wait():
        raise RuntimeError(f"anisoalign {words[0]} ended with {process.returncode}")
    return time.perf_counter() - started


def sums(folder: Path) -> list[tuple[str, int, str]]:
    """File, rows and checksum of every shard, after all files were read again."""
    verify(folder)
    shards = json.loads((folder / MANIFEST).read_text())["shards"]
    return [(shard["file"], shard["rows"], shard["crc32"]) for shard in shards]


def main() -> None:
    """Run, compare, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10**7)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=Path("bench-data"))
    parser.add_argument("--out", type=Path, default=HERE / "ten_kills.json")
    options = parser.parse_args()
    data, draw = options.data / f"{options.rows}x{DIM}", random.Random(options.seed)
    make_data(data, options.rows, DIM)
    model, whole, cut = (options.data / name for name in ("kills-model", "kills-whole", "kills-cut"))
    for folder in (model, whole, cut, cut.with_name(cut.name + ".partial")):
        shutil.rmtree(folder, ignore_errors=True)
    fit = finished("fit", "realign", "--source", data / "text", "--target", data / "image", "--out", model)
    words = ("transform", model, "--source", data / "text", "--out-dtype", "float16", "--out")
    undisturbed = finished(*words, whole)
    expected = sums(whole)
    shutil.rmtree(whole)
    kills, same = [], []
    while len(kills) < options.kills:
        process = call(*words, cut)
        after = draw.uniform(0.0, 1.0) * undisturbed
        time.sleep(after)
        if process.poll() is not None:
            same.append(sums(cut) == expected)
            shutil.rmtree(cut)
            continue
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = len(list(cut.with_name(cut.name + ".partial").glob("*.npy")))
        kills.append({"after_seconds": after, "ended": process.returncode, "whole_shards": done})
        print(f"killed after {after:6.1f} s, {done} shards lie there", flush=True)
    last = finished(*words, cut)
    same.append(sums(cut) == expected)
    shutil.rmtree(cut)
    record = {
        "rows": options.rows,
        "dim": DIM,
        "shards": len(expected),
        "fit_seconds": fit,
        "transform_seconds": undisturbed,
        "kills": kills,
        "last_seconds": last,
        "runs_to_the_end": len(same),
        "same_bytes": all(same),
    }
    print(f"{options.rows:,} rows: {len(kills)} kills, the same bytes: {all(same)}")
    write(options.out, record)


if __name__ == "__main__":
    main()
