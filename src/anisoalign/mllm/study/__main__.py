"""``python -m anisoalign.mllm.study --out DIR``: the study in miniature, resumable run by run."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from anisoalign.embeddings import InputError
from anisoalign.embeddings.atomic import write_synced
from anisoalign.mllm.study.carrying import carry_out, learn_language, quiet_thread
from anisoalign.mllm.study.rows import ALL
from anisoalign.mllm.study.running import QUICK, Study, StudySettings
from anisoalign.mllm.study.tables import markdown, tabulate

SEEDS = (0, 1, 2)
"""Of worlds that nothing was chosen on; sizes and rates were chosen on 900 and above."""


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing, then write ``study.json`` and ``tables.md`` from all runs there are."""
    parser = argparse.ArgumentParser(prog="python -m anisoalign.mllm.study", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("study"), help="folder of the runs; an unfinished one goes on")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and one seed: whether it runs, not what it finds"
    )
    parser.add_argument("--seeds", type=int, nargs="+", help=f"by default {' '.join(map(str, SEEDS))}; with --quick 0")
    parser.add_argument("--rows", nargs="+", metavar="KEY", choices=[row.key for row in ALL], help="some rows only")
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    asked = parser.parse_args(arguments)
    quiet_thread()
    settings = QUICK if asked.quick else StudySettings()
    try:
        study = Study(asked.out, settings)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    learn_language(study)
    rows = [row for row in ALL if not asked.rows or row.key in asked.rows]
    seeds = asked.seeds or (SEEDS[:1] if asked.quick else SEEDS)
    carry_out(study, rows, seeds, asked.workers)
    found = tabulate(study.folder)
    write_synced(study.folder / "study.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    text = markdown(found)
    write_synced(study.folder / "tables.md", text)
    print(text)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(main())
