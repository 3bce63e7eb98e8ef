"""What people would use instead, on the same files: seconds and memory from shards to aligned shards.

    python benchmarks/peers.py [--rows 1000000]

Each way runs in a fresh process, once to warm up and once to count, from float16 shards of width 512 in the page cache
to synced float16 shards:

* `numpy`: ReAlign as one writes it in a script, a shard at a time, float32;
* `four passes`: the design of the published script, in our words: lists of dictionaries, the texts un-pickled four
  times (mean, spread, calibration, and to be written), the images twice; the pickles are made for it beforehand, and
  nothing is un-pickled but what this script wrote;
* `POT`: `ot.gaussian` on both sets in memory, its map applied to all sources;
* `scikit-learn`: `IncrementalPCA` of either side, sources whitened by the one and coloured by the other;
* ours: `realign`, `gaussian-transport`, and `aniso-align` at a given strength;
* `sentence-transformers`: encoding alone, with a model of the size of all-MiniLM-L6 and random weights, on texts of 20
  words, from a thousandth of the rows.

Writes peers.json.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from speed import AnonymousPeak, make_data, run_method

HERE = Path(__file__).parent
DIM = 512


def shards(data: Path, side: str) -> Iterator[tuple[Path, np.ndarray]]:
    """Files of a side and their unit rows, float32."""
    for file in sorted((data / side).glob("*.npy")):
        rows = np.load(file).astype(np.float32)
        yield file, unit(rows)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows divided by their norms."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def save(out: Path, name: str, rows: np.ndarray) -> None:
    """Write a shard and sync it."""
    with (out / name).open("wb") as file:
        np.save(file, rows.astype(np.float16))
        file.flush()
        os.fsync(file.fileno())


def straight(data: Path, out: Path) -> None:
    """ReAlign in numpy, a shard at a time."""

    def mean(side: str, change: Callable[[np.ndarray], np.ndarray] = lambda rows: rows) -> np.ndarray:
        total, count = np.zeros(DIM), 0
        for _, rows in shards(data, side):
            total += change(rows).sum(axis=0, dtype=np.float64)
            count += len(rows)
        return (total / count).astype(np.float32)

    text, image = mean("text"), mean("image")
    scale = np.sqrt((1 - image @ image) / (1 - text @ text))
    moved = mean("text", lambda rows: unit(image + scale * (rows - text)))
    for file, rows in shards(data, "text"):
        save(out, file.name, unit(unit(image + scale * (rows - text)) - moved + image))


def pickled(data: Path) -> None:
    """The same rows as lists of dictionaries."""
    for side in ("text", "image"):
        (data / f"{side}-pickles").mkdir(exist_ok=True)
        for file in sorted((data / side).glob("*.npy")):
            to = data / f"{side}-pickles" / f"{file.stem}.pkl"
            if not to.exists():
                rows = np.load(file).astype(np.float32)
                to.write_bytes(pickle.dumps([{"id": str(i), "embed": row} for i, row in enumerate(rows)]))


def four_passes(data: Path, out: Path) -> None:
    """Lists of dictionaries, un-pickled for each pass, row by row into arrays."""

    def stacks(side: str) -> Iterator[tuple[Path, list[dict], np.ndarray]]:
        for file in sorted((data / f"{side}-pickles").glob("*.pkl")):
            entries = pickle.loads(file.read_bytes())
            yield file, entries, unit(np.stack([entry["embed"] for entry in entries]).astype(np.float64))

    def mean(side: str, change: Callable[[np.ndarray], np.ndarray] = lambda rows: rows) -> np.ndarray:
        total, count = np.zeros(DIM), 0
        for _, _, rows in stacks(side):
            total, count = total + change(rows).sum(axis=0), count + len(rows)
        return total / count

    text, image = mean("text"), mean("image")
    spread = {
        side: mean(side, lambda rows, m=m: (rows - m) ** 2).sum() for side, m in (("text", text), ("image", image))
    }
    scale = np.sqrt(spread["image"] / spread["text"])
    moved = mean("text", lambda rows: unit(image + scale * (rows - text)))
    for file, entries, rows in stacks("text"):
        aligned = unit(unit(image + scale * (rows - text)) - moved + image).astype(np.float32)
        with (out / file.name).open("wb") as sink:
            pickle.dump([{**entry, "embed": row} for entry, row in zip(entries, aligned, strict=True)], sink)
            sink.flush()
            os.fsync(sink.fileno())


def pot(data: Path, out: Path) -> None:
    """Bures–Wasserstein map between two sets in memory."""
    import ot

    text = np.concatenate([rows for _, rows in shards(data, "text")])
    image = np.concatenate([rows for _, rows in shards(data, "image")])
    matrix, offset = ot.gaussian.empirical_bures_wasserstein_mapping(text, image, reg=1e-6)[:2]
    first = 0
    for file in sorted((data / "text").glob("*.npy")):
        last = first + len(np.load(file, mmap_mode="r"))
        save(out, file.name, unit(text[first:last] @ matrix + offset))
        first = last


def incremental_pca(data: Path, out: Path) -> None:
    """Whitening by one decomposition, colouring by the other."""
    from sklearn.decomposition import IncrementalPCA

    fitted = {}
    for side in ("text", "image"):
        fitted[side] = IncrementalPCA()
        for _, rows in shards(data, side):
            for first in range(0, len(rows), 10_000):
                fitted[side].partial_fit(rows[first : first + 10_000])
    text, image = fitted["text"], fitted["image"]
    for file, rows in shards(data, "text"):
        white = text.transform(rows) / np.sqrt(text.explained_variance_)
        save(out, file.name, unit((white * np.sqrt(image.explained_variance_)) @ image.components_ + image.mean_))


def encoding(data: Path, out: Path) -> float:
    """Seconds to encode texts alone, a thousandth of the rows."""
    with tempfile.TemporaryDirectory() as folder:
        encode = small_encoder(Path(folder))
        rows = sum(len(np.load(file, mmap_mode="r")) for file in (data / "text").glob("*.npy")) // 1000
        words = [f"w{i}" for i in range(1000)]
        draws = np.random.default_rng(0).integers(0, 1000, (rows, 20))
        texts = [" ".join(words[i] for i in draw) for draw in draws]
        started = time.perf_counter()
        encode(texts)
        return time.perf_counter() - started


def small_encoder(folder: Path) -> Callable[[list[str]], np.ndarray]:
    """A sentence-transformers model as large as all-MiniLM-L6, its weights drawn at random."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizer

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(1000))]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    sizes = {
        "vocab_size": len(vocabulary),
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
    }
    BertModel(BertConfig.from_dict(sizes)).save_pretrained(folder)
    model = SentenceTransformer(modules=[Transformer(str(folder)), Pooling(384)], device="cpu")
    return lambda texts: model.encode(texts, batch_size=64, show_progress_bar=False)


WAYS: dict[str, Callable[[Path, Path], object]] = {
    "numpy": straight,
    "realign": lambda data, out: run_method("realign", data, out),
    "four passes": four_passes,
    "POT": pot,
    "scikit-learn": incremental_pca,
    "gaussian-transport": lambda data, out: run_method("gaussian-transport", data, out),
    "aniso-align": lambda data, out: run_method("aniso-align", data, out),
    "sentence-transformers": encoding,
}


def child(way: str, data: Path, out: Path) -> None:
    """Run a way twice and print what the second cost."""
    for last in (False, True):
        shutil.rmtree(out, ignore_errors=True)
        if way not in ("realign", "gaussian-transport", "aniso-align"):
            out.mkdir()  # our own makes its folder, when all is written
        watch = AnonymousPeak()
        watch.start()
        started = time.perf_counter()
        own = WAYS[way](data, out)
        seconds = own if isinstance(own, float) else time.perf_counter() - started
        watch.running = False
        watch.join()
        if last:
            print(json.dumps({"seconds": seconds, "anonymous_bytes": watch.peak}))
    shutil.rmtree(out)


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--data", type=Path, default=Path("bench-data"))
    parser.add_argument("--out", type=Path, default=HERE / "peers.json")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], Path(options.child[1]), Path(options.child[2]))
        return
    from protocol import write  # not above, since a child measures the memory of its imports too

    data = options.data / f"{options.rows}x{DIM}"
    make_data(data, options.rows, DIM)
    if "four passes" in options.ways:
        pickled(data)
    results = []
    for way in options.ways:
        command = [sys.executable, __file__, "--child", way, str(data), str(options.data / "out")]
        runs = [
            json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            for _ in range(1 if way in ("four passes", "scikit-learn", "sentence-transformers") else options.repeats)
        ]
        seconds = sorted(run["seconds"] for run in runs)
        rows = options.rows // 1000 if way == "sentence-transformers" else options.rows
        found = {
            "way": way,
            "rows": rows,
            "runs": len(runs),
            "seconds": seconds[len(seconds) // 2],
            "rows_per_second": rows / seconds[len(seconds) // 2],
            "anonymous_bytes": max(run["anonymous_bytes"] for run in runs),
        }
        results.append(found)
        print(
            f"{way:22} {found['seconds']:8.2f} s  {found['rows_per_second']:12,.0f} rows/s  "
            f"{found['anonymous_bytes'] / 1e6:7,.0f} MB",
            flush=True,
        )
        record = {"rows": options.rows, "dim": DIM, "cores": os.cpu_count(), "results": results}
        write(options.out, record)


if __name__ == "__main__":
    main()
