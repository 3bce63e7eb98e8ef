"""Where matched pairs lie: `diagnose --paired --json` on the embedded world and on the real sets.

    python benchmarks/gaps.py

Real sets are looked for in the folder that ANISOALIGN_DATA names. Writes gaps.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from protocol import parser, write

HERE = Path(__file__).parent
SETS = {"coco_clip": "image", "fashion_clip": "image", "esc50_clap": "audio"}
"""Real sets, and what their targets are called."""
KEPT = (
    "centroid_cosine",
    "paired_cosine",
    "paired_cosine_limit",
    "source_mean_energy",
    "target_mean_energy",
    "residual_anisotropy",
)


def diagnosed(source: Path, target: Path) -> dict[str, Any]:
    """What the command prints of one pair of sets."""
    words = ["diagnose", "--source", str(source), "--target", str(target), "--paired", "--json"]
    ended = subprocess.run([sys.executable, "-m", "anisoalign", *words], check=True, stdout=subprocess.PIPE)
    return json.loads(ended.stdout)


def main() -> None:
    """Diagnose, keep what the page shows, write JSON."""
    parser(__doc__).parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "demo"
        subprocess.run([sys.executable, "-m", "anisoalign", "demo", "--out", str(out)], check=True, stdout=sys.stderr)
        found["the demo"] = diagnosed(out / "text.npy", out / "image.npy")
    data = Path(os.environ.get("ANISOALIGN_DATA", "data"))
    for name, target in SETS.items():
        if (data / name).is_dir():
            found[name] = diagnosed(data / name / "text.npy", data / name / f"{target}.npy")
    kept = {name: {key: value for key, value in one.items() if key in KEPT} for name, one in found.items()}
    write("gaps", kept)


if __name__ == "__main__":
    main()
