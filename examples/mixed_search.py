"""One index for texts and images: which of a query's first ten results are images, and is its own among them?

    python examples/mixed_search.py                    # the embedded world, and coco_clip where it lies
    ANISOALIGN_DATA=DIR python examples/mixed_search.py

Texts and their images are indexed together, in FAISS and in LanceDB: as they are; with the texts aligned to where
images lie; and in a common frame, in which both sides are less their own mean. Beside these, two lists of raw rows,
searched apart and merged by rank. Each text is a query once; so is each image. In five rounds a fifth of the items
asks, and of the other items one half gives its texts to the fit and the other half its images, so that no fit has seen
a pair, nor anything of an item that asks.
The pool always holds every image and every other text. Prints a table and writes mixed_search.json.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import lancedb
import numpy as np
import pyarrow as pa

from anisoalign.aligners import parse_method
from anisoalign.geometry import normalize
from anisoalign.worlds import RenderedWorld

HERE = Path(__file__).parent
DATA = Path(os.environ.get("ANISOALIGN_DATA", HERE.parent.parent / "shared" / "data"))
MERGED = "two lists"
"""Raw texts and raw images searched apart, their lists merged by rank."""
METHODS = (
    "identity",
    MERGED,
    *(
        f"{method}{mark}frame={frame}" if frame else method
        for method, mark in (
            ("mean-shift", ":"),
            ("gaussian-transport", ":"),
            ("aniso-align", ":"),
            ("aniso-align:strength=1", ","),
        )
        for frame in ("", "common")
    ),
)
FIRST, ROUNDS, SEED = 10, 5, 0
Search = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def with_faiss(pool: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """Numbers of the k rows of the pool nearest to each query, (queries, k)."""
    index = faiss.IndexFlatIP(pool.shape[1])
    index.add(pool)  # pyright: ignore[reportCallIssue]
    return index.search(queries, k)[1]  # pyright: ignore[reportCallIssue]


def with_lancedb(pool: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """The same, from a table on disk."""
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(pool.ravel()), pool.shape[1])
    with tempfile.TemporaryDirectory() as folder:
        rows = pa.table({"row": pa.array(np.arange(len(pool))), "vector": vectors})
        table = lancedb.connect(folder).create_table("items", rows)
        asked: Any = table.search(list(queries))
        found = asked.distance_type("cosine").limit(k).select(["row", "_distance"]).to_arrow()
    order = np.lexsort((found["_distance"].to_numpy(), found["query_index"].to_numpy()))
    return found["row"].to_numpy()[order].reshape(len(queries), k)


def first_results(pool: np.ndarray, asking: np.ndarray, search: Search) -> np.ndarray:
    """The first ten results of rows that are themselves in the pool and do not find themselves."""
    found = search(pool, pool[asking], FIRST + 1)
    kept = found != asking[:, None]
    kept[kept.all(axis=1), -1] = False  # exact duplicates pushed the query itself out
    return found[kept].reshape(len(asking), FIRST)


def merged_results(
    text: np.ndarray, image: np.ndarray, asking: np.ndarray, search: Search
) -> tuple[np.ndarray, np.ndarray]:
    """The first ten of either side's queries where images and texts are searched apart: one of each list in turn."""
    half = FIRST // 2
    of_texts = [search(image, text[asking], half), len(text) + first_results(text, asking, search)[:, :half]]
    of_images = [first_results(image, asking, search)[:, :half], len(text) + search(text, image[asking], half)]
    return np.concatenate(of_texts, axis=1), np.concatenate(of_images, axis=1)


def split(rows: int, part: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Items that ask, items whose texts are fitted on, items whose images are."""
    order = np.random.default_rng(SEED).permutation(rows)
    asking = np.array_split(order, ROUNDS)[part]
    others = order[~np.isin(order, asking)]
    return asking, others[::2], others[1::2]


def measure(text: np.ndarray, image: np.ndarray, method: str, search: Search) -> dict[str, float]:
    """Means over all items, each of which asks once.

    Returns
    -------
    dict
        `text_to_image`, `image_to_text`: is the query's own counterpart among the first ten of everything?
        `images_among_results`: share of images among a text's first ten. `images_only`: recall where images alone
        are searched.
    """
    rows, seen = len(text), {"text_to_image": [], "image_to_text": [], "images_among_results": [], "images_only": []}
    for part in range(ROUNDS):
        asking, texts, images = split(rows, part)
        if method == MERGED:
            aligned, moved = text, image
            of_texts, of_images = merged_results(text, image, asking, search)
        else:
            model = parse_method(method).fit(source=text[texts], target=image[images])
            aligned, moved = model.transform(text), model.targets().transform(image)
            pool = np.concatenate([moved, aligned])
            of_texts, of_images = first_results(pool, rows + asking, search), first_results(pool, asking, search)
        seen["text_to_image"].append((of_texts == asking[:, None]).any(axis=1))
        seen["image_to_text"].append((of_images == rows + asking[:, None]).any(axis=1))
        seen["images_among_results"].append((of_texts < rows).mean(axis=1))
        seen["images_only"].append((search(moved, aligned[asking], FIRST) == asking[:, None]).any(axis=1))
    return {name: float(np.concatenate(parts).mean()) for name, parts in seen.items()}


def on(text: np.ndarray, image: np.ndarray) -> dict[str, Any]:
    """Every method in both indexes."""
    text, image = (np.ascontiguousarray(normalize(rows.astype(np.float64)), np.float32) for rows in (text, image))
    found = {
        method: {
            "faiss": measure(text, image, method, with_faiss),
            "lancedb": measure(text, image, method, with_lancedb),
        }
        for method in METHODS
    }
    return {"rows": len(text), "dim": text.shape[1], "first": FIRST, "rounds": ROUNDS, "methods": found}


def table(name: str, result: dict[str, Any]) -> str:
    """Lines to read."""
    lines = [f"{name}: {result['rows']:,} texts and as many images in one index of width {result['dim']}"]
    lines += [
        f"{'':36}{'text finds its image':>22}{'image finds its text':>22}{'images among ten':>18}{'images only':>13}"
    ]
    for method, scores in result["methods"].items():
        cells = scores["faiss"]
        lines.append(
            f"{method:36}{cells['text_to_image']:22.3f}{cells['image_to_text']:22.3f}"
            f"{cells['images_among_results']:18.3f}{cells['images_only']:13.3f}"
        )
    return "\n".join(lines)


def main(out: Path = HERE / "mixed_search.json", world_rows: int = 2_000) -> dict[str, Any]:
    """Measure, print, write."""
    pairs = RenderedWorld.load().embed(rows=world_rows, seed=11)
    results = {"world": on(pairs.text, pairs.image)}
    print(table("world", results["world"]))
    folder = DATA / "coco_clip"
    if folder.is_dir():
        results["coco_clip"] = on(np.load(folder / "text.npy"), np.load(folder / "image.npy"))
        print(table("coco_clip", results["coco_clip"]))
    else:
        print(f"coco_clip is not at {folder}: left out")
    out.write_text(json.dumps(results, indent=1) + "\n")
    return results


if __name__ == "__main__":
    main()
