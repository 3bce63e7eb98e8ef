"""Follow the snippets of a page from top to bottom, in one process: `python follow.py STEPS.json` in their folder.

Commands run through the entry point of the command line; Python blocks share their names, as a reader's session does.
"""

import json
import sys
from pathlib import Path


def command(words: list[str]) -> None:
    from anisoalign.cli import main

    sys.argv = words
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise RuntimeError(f"{' '.join(words)} ended with {ended.code}") from ended


if __name__ == "__main__":
    session: dict = {"__name__": "__main__"}
    for number, (language, step) in enumerate(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), 1):
        if language == "python":
            exec(compile(step, f"<Python block, step {number}>", "exec"), session)
        else:
            command(step)
