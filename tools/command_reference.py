"""docs/commands.md, the command reference, from the command line itself.

    python tools/command_reference.py

A test checks that the committed page is what this would write.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command
from typer.testing import CliRunner

from anisoalign.cli import app

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"
HEAD = """# Commands

What `anisoalign COMMAND --help` says, written by `python tools/command_reference.py`.

Results go to stdout; messages, warnings and progress go to stderr. Exit codes: 0 done, 1 failed, 2 bad usage or bad
input, 130 interrupted, 143 terminated.
"""


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Names of all commands, those of groups with the group's name before them."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


def help_of(path: tuple[str, ...]) -> str:
    """What --help prints, 80 columns wide."""
    shown = CliRunner().invoke(app, [*path, "--help"], prog_name="anisoalign", env={"COLUMNS": "80"})
    if shown.exit_code != 0:
        raise RuntimeError(f"anisoalign {' '.join(path)} --help ended with {shown.exit_code}: {shown.output}")
    return "\n".join(line.rstrip() for line in shown.stdout.strip("\n").splitlines())


def page() -> str:
    """The whole page."""
    sections = [f"## {' '.join(path)}\n\n```text\n{help_of(path)}\n```\n" for path in commands(get_command(app))]
    return "\n".join([HEAD, *sections])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
