"""Every closed-form method on every set there is, under the protocol of disjoint rows.

    python benchmarks/closed_forms.py                    # the embedded world, and real sets where they lie
    ANISOALIGN_DATA=DIR python benchmarks/closed_forms.py

Real sets are folders of DIR with text.npy, image.npy and perhaps label.txt. Writes closed_forms.json and the tables of
../docs/closed-forms.md.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anisoalign as aa
from anisoalign.comparison import DEFAULT_METHODS
from anisoalign.embeddings import read_labels
from anisoalign.report import comparison_markdown
from anisoalign.worlds import RenderedWorld
from protocol import parser, write

HERE = Path(__file__).parent
DATA = Path(os.environ.get("ANISOALIGN_DATA", HERE.parent.parent / "shared" / "data"))
METHODS = (*DEFAULT_METHODS, "gaussian-transport:strength=0.25", "gaussian-transport:strength=0.5")


def on_world() -> list[dict[str, Any]]:
    """5,000 pairs of the shifted domain, five splits."""
    pairs = RenderedWorld.load().embed(rows=5_000, seed=7)
    return aa.compare(
        pairs.text,
        pairs.image,
        paired=True,
        methods=METHODS,
        repeats=5,
        source_labels=pairs.label,
        target_labels=pairs.label,
    ).to_dicts()


def on_real(folder: Path) -> list[dict[str, Any]]:
    """A real set, thirty splits."""
    file = folder / "label.txt"
    labels = read_labels(file) if file.is_file() else None
    return aa.compare(
        folder / "text.npy",
        folder / "image.npy",
        paired=True,
        methods=METHODS,
        repeats=30,
        source_labels=labels,
        target_labels=labels,
    ).to_dicts()


def main() -> None:
    """Measure, write JSON and the page's tables."""
    parser(__doc__).parse_args()
    results = {"world, shifted": on_world()}
    for folder in sorted(DATA.glob("*/image.npy")):
        results[folder.parent.name] = on_real(folder.parent)
    write("closed_forms", results)
    page = HERE.parent / "docs" / "closed-forms.md"
    head = page.read_text().split("<!-- tables -->")[0] if page.is_file() else ""
    tables = [
        f"## {name}\n\n{comparison_markdown(records).split(chr(10) * 2 + '*')[0]}\n"
        for name, records in results.items()
    ]
    page.write_text(head + "<!-- tables -->\n\n" + "\n".join(tables))


if __name__ == "__main__":
    main()
