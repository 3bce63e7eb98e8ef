"""What the ready settings of examples/train/ will take, as JSON and as the tables of docs/train-on-text-alone.md.

    python tools/training_plans.py

Nothing is downloaded: `plan` needs the configurations alone, which lie in examples/train/configs/.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from anisoalign.embeddings import format_bytes
from anisoalign.mllm import TrainSettings
from anisoalign.mllm.planning import plan_training

ROOT = Path(__file__).parents[1]
HERE = ROOT / "examples" / "train"
PAGE = ROOT / "docs" / "train-on-text-alone.md"
JSON = HERE / "plans.json"
WIDTHS = {"llama-3-8b-llm2clip": 1280, "qwen3-1.7b-clip": 768}
CONFIGS = {"llama-3-8b-llm2clip": "llama-3-8b", "qwen3-1.7b-clip": "qwen3-1.7b"}
PROCESSES = {"llama-3-8b-llm2clip": 8, "qwen3-1.7b-clip": 1}
CONVERSATIONS = {"pretrain": 1_000_000, "tune": 665_000}
TOKENS = {"pretrain": 60.0, "tune": 300.0}


def plans() -> dict[str, Any]:
    """Plan of every ready settings file."""
    made = {}
    for name, width in WIDTHS.items():
        settings = TrainSettings.read(HERE / f"{name}.toml", [f"model.lm={HERE / 'configs' / CONFIGS[name]}"])
        made[name] = plan_training(
            settings, width, processes=PROCESSES[name], conversations=CONVERSATIONS, tokens=TOKENS
        )
    return made


def table(name: str, records: dict[str, Any]) -> str:
    """Markdown of one plan."""
    lines = [
        "| stage | learns | parameters that learn | conversations × tokens | memory of a GPU | GPU hours |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for record in records[name]:
        cells = [
            record["stage"],
            record["learns"],
            f"{record['learned_parameters']:,}",
            f"{record['conversations']:,} × {record['mean_tokens']:.0f}",
            format_bytes(record["memory_bytes"]),
            f"{record['hours'] * record['processes']:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def filled(text: str, records: dict[str, Any]) -> str:
    """The page with its tables as the records have them."""
    for name in records:
        start, end = f"<!-- plan {name} -->\n", "\n<!-- end -->"
        head, _, rest = text.partition(start)
        text = head + start + table(name, records) + end + rest.partition(end)[2]
    return text


def main() -> None:
    """Write JSON and page."""
    records = plans()
    JSON.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), records), encoding="utf-8")


if __name__ == "__main__":
    main()
