"""The same fit and transform by one and two threads, processes, and Ray workers: seconds, and whether bytes agree.

    python benchmarks/workers.py                  # 1,000,000 x 512 float16 rows a side
    python benchmarks/workers.py --rows 100000    # a quick look

Each way runs in turn with one thread, several times; ratios are taken within a turn. The first fit, in which workers
start, is not counted but given beside. Processes that torchrun starts share a fit; a transform is one process's.
Writes workers.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from speed import make_data

HERE = Path(__file__).parent
METHOD = "gaussian-transport"
WAYS = ("1 thread", "2 threads", "2 processes", "1 Ray worker", "2 Ray workers")
ALONE = WAYS[0]


def child(way: str, data: Path, out: Path) -> None:
    """Fit and transform one way, print what it took."""
    from contextlib import nullcontext

    from anisoalign.aligners import make
    from anisoalign.scale import on_ray, processes

    number = int(way.split()[0])
    if "thread" in way and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:number])
    begun = time.perf_counter()
    block = on_ray(number) if "Ray" in way else processes() if "process" in way else nullcontext()
    with block as rank:
        make(METHOD, {}).fit(data / "text", data / "image")  # workers start, loops are loaded
        started = time.perf_counter()
        model = make(METHOD, {}).fit(data / "text", data / "image")
        fitted = time.perf_counter()
        took = {"first_fit": started - begun, "fit": fitted - started}
        digests = {"model": hashlib.sha256(model.weight_.tobytes()).hexdigest()}
        if "process" not in way:
            model.transform(data / "text", out, out_dtype="float16")
            took["transform"] = time.perf_counter() - fitted
            digests["rows"] = hashlib.sha256(b"".join(f.read_bytes() for f in sorted(out.glob("*.npy")))).hexdigest()
    if rank != 1:
        print(json.dumps({**took, "digests": digests}), flush=True)


def run(way: str, data: Path, scratch: Path) -> dict[str, Any]:
    """One way in fresh processes."""
    out = scratch / "out"
    shutil.rmtree(out, ignore_errors=True)
    start = ["-m", "torch.distributed.run", "--nproc-per-node", way.split()[0]] if "process" in way else []
    command = [sys.executable, *start, __file__, "--child", way, str(data), str(out)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    shutil.rmtree(out, ignore_errors=True)
    return json.loads(next(line for line in said.splitlines() if line.startswith("{")))


def main() -> None:
    """Measure in turns, write JSON, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path("bench-data"))
    parser.add_argument("--out", type=Path, default=HERE / "workers.json")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], *map(Path, options.child[1:]))
        return
    from protocol import write  # not above, since a child measures the memory of its imports too

    data = options.data / f"{options.rows}x{options.dim}"
    make_data(data, options.rows, options.dim)
    turns = [{way: run(way, data, options.data) for way in WAYS} for _ in range(options.repeats)]
    record = {
        "method": METHOD,
        "rows": options.rows,
        "dim": options.dim,
        "cores": os.cpu_count(),
        "repeats": options.repeats,
        "ways": [_summary(way, turns) for way in WAYS],
    }
    write(options.out, record)
    print(json.dumps(record, indent=1))


def _summary(way: str, turns: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Median seconds of each step, and how many times as fast as one thread in the same turn: median, least, most."""
    alone = turns[0][ALONE]["digests"]
    same = all(alone[name] == digest for turn in turns for name, digest in turn[way]["digests"].items())
    found: dict[str, Any] = {"way": way, "same_bytes": same}
    for step in ("first_fit", "fit", "transform"):
        if step not in turns[0][way]:
            continue
        found[f"{step}_seconds"] = round(statistics.median(turn[way][step] for turn in turns), 2)
        faster = [turn[ALONE][step] / turn[way][step] for turn in turns]
        if step != "first_fit":
            spread = statistics.median(faster), min(faster), max(faster)
            found[f"{step}_times_as_fast"] = [round(value, 2) for value in spread]
    return found


if __name__ == "__main__":
    main()
