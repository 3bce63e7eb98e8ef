"""Fit and transform on a million rows a side, against the bound of what the mathematics must read, multiply, write.

    python benchmarks/speed.py                  # 1,000,000 x 512 float16 rows a side
    python benchmarks/speed.py --rows 100000    # a quick look

Every method runs in a fresh process, in turn with its own bound, several times; the bound does nothing but
* read each input as often as the method's mathematics needs (ReAlign: the source for its mean, for the calibration
  and for the transform, the target for its mean; transport the same, with second moments),
* the products it has, in float32 (transport: two second moments, and the map applied twice; AnisoAlign the same
  with four products a row, and nothing counted for what it does with a sample of 20,000 rows a side),
* write the output once, shard by shard, synced.
Each process does its work twice and the second time counts: pages that a virtual machine has not touched for seconds
cost several times the write itself, and whoever starts quicker would meet fewer of them.
Ratios are bound time / method time, pair by pair: they hold on a noisy machine where seconds do not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

HERE = Path(__file__).parent
METHODS = {"realign": {}, "gaussian-transport": {"strength": 0.5}, "aniso-align": {"strength": 0.75}}
PRODUCTS = {"realign": 0, "gaussian-transport": 1, "aniso-align": 4}
"""Products with a d × d matrix that the map of a row takes; AnisoAlign's between strengths 0.5 and 1 are that of the
transported row, and transport, guide and restore of the one it is blended with."""
CLOSED_FORMS = ("realign", "gaussian-transport")
"""Measured here; `scaling.py` measures all."""
SHARD_ROWS = 100_000
TILE_ROWS = 8192


def make_data(folder: Path, rows: int, dim: int) -> None:
    """Write unit float16 rows around two centres, with falling spectra, in shards."""
    scale = np.arange(1, dim + 1, dtype=np.float32) ** -0.5
    for seed, side in enumerate(("text", "image")):
        (folder / side).mkdir(parents=True, exist_ok=True)
        for first in range(0, rows, SHARD_ROWS):
            file = folder / side / f"{side}_{first // SHARD_ROWS:03d}.npy"
            count = min(SHARD_ROWS, rows - first)
            if file.exists() and np.load(file, mmap_mode="r").shape == (count, dim):
                continue
            generator = np.random.default_rng([seed, first])
            values = generator.standard_normal((count, dim), dtype=np.float32) * scale
            values[:, seed] += 1.5
            values /= np.linalg.norm(values, axis=1, keepdims=True)
            np.save(file, values.astype(np.float16))


class AnonymousPeak(threading.Thread):
    """Largest anonymous resident memory of this process, looked at every 5 ms; mapped file pages are not in it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self.running = 0, True

    def run(self) -> None:
        """Look until told to stop."""
        while self.running:
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    self.peak = max(self.peak, int(line.split()[1]) * 1024)
            time.sleep(0.005)


def run_method(method: str, data: Path, out: Path) -> dict[str, float]:
    """Fit and transform with the library."""
    from anisoalign.aligners import make

    watch = AnonymousPeak()
    watch.start()
    started = time.perf_counter()
    model = make(method, METHODS[method]).fit(data / "text", data / "image")
    fitted = time.perf_counter()
    model.transform(data / "text", out, out_dtype="float16")
    ended = time.perf_counter()
    watch.running = False
    watch.join()
    return {"fit": fitted - started, "transform": ended - fitted, "anonymous": watch.peak}


def run_bound(method: str, data: Path, out: Path) -> dict[str, float]:
    """Only what the method cannot do without, shards side by side on all cores, one BLAS thread each."""
    products = PRODUCTS[method]
    text, image = sorted((data / "text").glob("*.npy")), sorted((data / "image").glob("*.npy"))
    dim = np.load(text[0], mmap_mode="r").shape[1]
    tile = np.random.default_rng(0).standard_normal((TILE_ROWS, dim), dtype=np.float32)
    weight = tile[:dim].copy()

    def moments(file: Path) -> None:
        for _ in _tiles(file, dim):
            if products:
                np.matmul(tile.T, tile)

    def calibration(file: Path) -> None:
        result = np.empty_like(tile)
        for _ in _tiles(file, dim):
            for _ in range(products):
                np.matmul(tile, weight, out=result)

    def transform(file: Path) -> None:
        result = np.empty_like(tile)
        with (out / file.name).open("wb") as sink:
            for buffer in _tiles(file, dim):
                for _ in range(products):
                    np.matmul(tile, weight, out=result)
                sink.write(buffer)
            sink.flush()
            os.fsync(sink.fileno())

    out.mkdir()
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        started = time.perf_counter()
        for work, files in ((moments, text), (moments, image), (calibration, text)):
            list(pool.map(work, files))
        fitted = time.perf_counter()
        list(pool.map(transform, text))
        return {"fit": fitted - started, "transform": time.perf_counter() - fitted, "anonymous": 0.0}


def _tiles(file: Path, dim: int):
    """Read a file into one buffer, a tile of rows at a time."""
    buffer = bytearray(TILE_ROWS * dim * 2)
    with file.open("rb", buffering=0) as source:
        while count := source.readinto(buffer):
            yield memoryview(buffer)[:count]


def child(kind: str, method: str, data: Path, scratch: Path) -> dict[str, float]:
    """Run method or bound in a fresh process."""
    out = scratch / f"{kind}-out"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, __file__, "--child", kind, method, str(data), str(out)]
    result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    shutil.rmtree(out)
    return result


def measure(method: str, data: Path, tenth: Path, scratch: Path, repeats: int) -> dict[str, Any]:
    """Method and bound in turn."""
    pairs = [{kind: child(kind, method, data, scratch) for kind in ("bound", "method")} for _ in range(repeats)]

    def median(kind: str, part: str) -> float:
        return statistics.median(pair[kind][part] for pair in pairs)

    def ratios(*parts: str) -> list[float]:
        return [
            sum(pair["bound"][part] for part in parts) / sum(pair["method"][part] for part in parts) for pair in pairs
        ]

    return {
        "method": method,
        "fit_seconds": median("method", "fit"),
        "transform_seconds": median("method", "transform"),
        "ratio_fit": statistics.median(ratios("fit")),
        "ratio_transform": statistics.median(ratios("transform")),
        "ratio": statistics.median(ratios("fit", "transform")),
        "ratio_min": min(ratios("fit", "transform")),
        "ratio_max": max(ratios("fit", "transform")),
        "peak_anonymous_bytes": max(pair["method"]["anonymous"] for pair in pairs),
        "peak_anonymous_bytes_on_a_tenth": child("method", method, tenth, scratch)["anonymous"],
    }


def whole_process(data: Path, scratch: Path) -> float:
    """Seconds of ReAlign from the command line: two processes, start-up and writing included."""
    model, out = scratch / "model", scratch / "aligned"
    for path in (model, out):
        shutil.rmtree(path, ignore_errors=True)
    sides = ["--source", str(data / "text")]
    started = time.perf_counter()
    for command in (
        ["fit", "realign", *sides, "--target", str(data / "image"), "--out", str(model)],
        ["transform", str(model), *sides, "--out", str(out), "--out-dtype", "float16"],
    ):
        subprocess.run([sys.executable, "-m", "anisoalign", *command], check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--data", type=Path, default=Path("bench-data"))
    parser.add_argument("--out", type=Path, default=HERE / "speed.json")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        kind, method, data, out = options.child
        run = run_method if kind == "method" else run_bound
        run(method, Path(data), Path(out))
        shutil.rmtree(out)
        print(json.dumps(run(method, Path(data), Path(out))))
        return
    from protocol import write  # not above, since a child measures the memory of its imports too

    data = options.data / f"{options.rows}x{options.dim}"
    make_data(data, options.rows, options.dim)
    tenth = options.data / f"{options.rows // 10}x{options.dim}"
    make_data(tenth, options.rows // 10, options.dim)
    results = [measure(method, data, tenth, options.data, options.repeats) for method in CLOSED_FORMS]
    record = {"rows": options.rows, "dim": options.dim, "cores": os.cpu_count(), "methods": results}
    record["command_line_realign_seconds"] = whole_process(data, options.data)
    print(f"{options.rows:,} x {options.dim} float16 rows a side, {options.repeats} runs, {os.cpu_count()} cores")
    head = ("method", "fit rows/s", "transform rows/s", "ratio to bound", "anon. MB (a tenth)")
    print("{:20} {:>12} {:>17} {:>20} {:>20}".format(*head))
    for r in results:
        ratio = f"{r['ratio']:.2f} ({r['ratio_min']:.2f} - {r['ratio_max']:.2f})"
        memory = f"{r['peak_anonymous_bytes'] / 1e6:.0f} ({r['peak_anonymous_bytes_on_a_tenth'] / 1e6:.0f})"
        fit, transform = options.rows / r["fit_seconds"], options.rows / r["transform_seconds"]
        print(f"{r['method']:20} {fit:12,.0f} {transform:17,.0f} {ratio:>20} {memory:>20}")
        print(f"{'':20} fit ratio {r['ratio_fit']:.2f}, transform ratio {r['ratio_transform']:.2f}")
    print(f"realign from the command line, whole processes: {record['command_line_realign_seconds']:.1f} s")
    write(options.out, record)


if __name__ == "__main__":
    main()
