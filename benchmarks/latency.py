"""What one vector costs in a server, and what smaller files lose: the model itself, ONNX, archives of torch.export.

    python benchmarks/latency.py [--calls N]

The published method is trained briefly, which changes neither what a row costs nor the size of a file. Models are
fitted on `fashion_clip` (width 512) where ANISOALIGN_DATA has it, else on the embedded world. Each way of
serving maps one row at a time, in one thread, after a few calls to warm up. Time is this process's own (CPU time), so
that a busy machine does not count; what a file loses is measured on rows that were not fitted, against the model.
Writes latency.json.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy and torch load

import numpy as np
import torch

import anisoalign as aa
from anisoalign.serving import PRECISIONS, TARGETS, export, reader
from protocol import Part, quiet, real, world, write

HERE = Path(__file__).parent
METHODS: dict[str, Callable[[], Any]] = {
    "realign": aa.ReAlign,
    "gaussian-transport": aa.GaussianTransport,
    "aniso-align": lambda: aa.AnisoAlign(strength=0.5),
    "aniso-align:strength=0.75": lambda: aa.AnisoAlign(strength=0.75),
    "aniso-align:strength=1": lambda: aa.AnisoAlign(strength=1.0),
    "memory-projection": aa.MemoryProjection,
    "aniso-align:paper": lambda: aa.AnisoAlign.paper(prior_steps=50, refine_steps=100),
}


def milliseconds(call: Callable[[], Any], calls: int) -> float:
    """CPU milliseconds of a call: the median of ten runs' means."""
    for _ in range(5):
        call()
    means = []
    for _ in range(10):
        started = time.process_time()
        for _ in range(calls // 10):
            call()
        means.append((time.process_time() - started) / (calls // 10))
    return round(float(np.median(means)) * 1e3, 4)


def measure(name: str, part: Part, calls: int, folder: Path) -> dict[str, Any]:
    """One method, served in every way."""
    source = part.test_y.astype(np.float32)
    model = METHODS[name]().fit(part.fit_y, part.fit_x)
    model.save(folder / f"{name}-model".replace(":", "-"))
    model = aa.load(folder / f"{name}-model".replace(":", "-"))  # as a server has it
    row = source[0]
    served: list[dict[str, Any]] = [
        {"way": "model.transform", "milliseconds": milliseconds(lambda: model.transform(row), calls)}
    ]
    for to in TARGETS:
        for precision in PRECISIONS:
            file = folder / f"{name}-{to}-{precision}.pt2".replace(":", "-")
            made = export(model, file, to=to, precision=precision, source=source)
            run, one = reader(file, to), row[None]
            served.append(
                {
                    "way": to,
                    "precision": precision,
                    "milliseconds": milliseconds(lambda run=run, one=one: run(one), calls),
                    "bytes": made.bytes,
                    "mean_cosine": made.mean_cosine,
                    "least_cosine": made.least_cosine,
                    "largest_difference": made.largest_difference,
                }
            )
    return {"method": name, "served": served}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=500)
    calls = parser.parse_args().calls
    torch.set_num_threads(1)
    quiet()
    found = next(real("fashion_clip", 1), None)
    part = next(world(1, 2000)) if found is None else found
    data, dim = "world" if found is None else "fashion_clip", part.test_y.shape[1]
    record: dict[str, Any] = {"data": data, "dim": dim, "rows": len(part.test_y), "methods": []}
    with tempfile.TemporaryDirectory() as folder:
        for name in METHODS:
            record["methods"].append(measure(name, part, calls, Path(folder)))
            # After each method, so that an interruption loses one.
            write("latency", record)
            for way in record["methods"][-1]["served"]:
                print(
                    f"{name:20} {way['way']:16} {way.get('precision', ''):5} {way['milliseconds']:8.3f} ms", flush=True
                )


if __name__ == "__main__":
    main()
