"""Time and memory against the number of rows and the width, each run beside the bound of its own method.

    python benchmarks/scaling.py                    # 10⁴ … 10⁷ rows of width 512, … 10⁶ of 1024 and 1280
    python benchmarks/scaling.py --largest 1000000  # less disk, less time

Sets are made on the fly, float16 in shards of 100,000 rows: 10⁷ rows of width 512 are 10 GB a side, and the aligned
rows as much again. The bound is that of `speed.py`; a set that fits in memory is passed once before it counts, a
larger one is read from the disk by both. Writes scaling.json after every size, and goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from speed import METHODS, make_data, run_bound, run_method

HERE = Path(__file__).parent
SIZES = {512: (10**4, 10**5, 10**6, 10**7), 1024: (10**5, 10**6), 1280: (10**5, 10**6)}
WARM = 3 << 30
"""Bytes of both sides up to which a set is passed once before it counts."""


def run(kind: str, method: str, data: Path, scratch: Path, warm: bool) -> dict[str, float]:
    """Method or bound in a fresh process."""
    out = scratch / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, __file__, "--child", kind, method, str(data), str(out), str(int(warm))]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    shutil.rmtree(out)
    return found


def measure(method: str, rows: int, dim: int, scratch: Path, repeats: int) -> dict[str, Any]:
    """One method at one size: medians of the pairs."""
    data = scratch / f"{rows}x{dim}"
    warm = 4 * rows * dim <= WARM
    pairs = []
    for _ in range(repeats if warm else 1):
        bound = run("bound", method, data, scratch, warm)
        found = run("method", method, data, scratch, warm)
        pairs.append((bound, found))

    def median(values: list[float]) -> float:
        return sorted(values)[len(values) // 2]

    def ratio(*parts: str) -> float:
        return median([sum(b[p] for p in parts) / sum(m[p] for p in parts) for b, m in pairs])

    return {
        "method": method,
        "rows": rows,
        "dim": dim,
        "runs": len(pairs),
        "from": "page cache" if warm else "disk",
        "fit_seconds": median([m["fit"] for _, m in pairs]),
        "transform_seconds": median([m["transform"] for _, m in pairs]),
        "ratio": ratio("fit", "transform"),
        "ratio_fit": ratio("fit"),
        "ratio_transform": ratio("transform"),
        "anonymous_bytes": max(m["anonymous"] for _, m in pairs),
    }


def draw(results: list[dict[str, Any]], file: Path) -> None:
    """Seconds and memory against rows, one line a method and width."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (times, memory) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    colours = {"realign": "#4c72b0", "gaussian-transport": "#dd8452", "aniso-align": "#55a868"}
    styles = {512: "-", 1024: "--", 1280: ":"}
    for method in METHODS:
        for dim, style in styles.items():
            line = sorted((r for r in results if (r["method"], r["dim"]) == (method, dim)), key=lambda r: r["rows"])
            if not line:
                continue
            rows = [r["rows"] for r in line]
            look = {"color": colours[method], "linestyle": style, "marker": "o", "markersize": 3}
            seconds = [r["fit_seconds"] + r["transform_seconds"] for r in line]
            times.plot(rows, seconds, label=f"{method}, width {dim}", **look)
            memory.plot(rows, [r["anonymous_bytes"] / 1e6 for r in line], **look)
    times.set(xscale="log", yscale="log", xlabel="rows a side", ylabel="fit and transform, seconds")
    memory.set(xscale="log", xlabel="rows a side", ylabel="anonymous memory, MB", ylim=(0, None))
    times.legend(fontsize=7, frameon=False)
    for axis in (times, memory):
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=80, metadata={"Software": None})


def main() -> None:
    """Measure what is missing, write JSON and figure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=10**7)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--data", type=Path, default=Path("bench-data"))
    parser.add_argument("--again", action="store_true", help="measure every size anew, also those in the JSON")
    parser.add_argument("--keep", action="store_true", help="keep the sets that were made")
    parser.add_argument("--out", type=Path, default=HERE / "scaling.json")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        kind, method, data, out, warm = options.child
        once = run_method if kind == "method" else run_bound
        if warm == "1":
            once(method, Path(data), Path(out))
            shutil.rmtree(out)
        print(json.dumps(once(method, Path(data), Path(out))))
        return
    from protocol import write  # not above, since a child measures the memory of its imports too

    record = {"cores": os.cpu_count(), "results": []}
    if options.out.exists() and not options.again:
        record = json.loads(options.out.read_text())
        record.pop("environment", None)
    done = {(r["method"], r["rows"], r["dim"]) for r in record["results"]}
    for dim, sizes in SIZES.items():
        for rows in (rows for rows in sizes if rows <= options.largest):
            missing = [method for method in options.methods if (method, rows, dim) not in done]
            if not missing:
                continue
            data = options.data / f"{rows}x{dim}"
            make_data(data, rows, dim)
            for method in missing:
                found = measure(method, rows, dim, options.data, options.repeats)
                record["results"].append(found)
                write(options.out, record)
                print(
                    f"{method:20} {rows:>10,} x {dim:4}  fit {found['fit_seconds']:7.2f} s  "
                    f"transform {found['transform_seconds']:7.2f} s  ratio {found['ratio']:.2f}  "
                    f"{found['anonymous_bytes'] / 1e6:5.0f} MB  ({found['from']})",
                    flush=True,
                )
            if not options.keep:
                shutil.rmtree(data)
    draw(record["results"], HERE.parent / "docs" / "figures" / "scaling.png")


if __name__ == "__main__":
    main()
