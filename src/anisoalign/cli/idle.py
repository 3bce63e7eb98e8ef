"""Options that a command knows and has no use for as it was called: refused, not passed over in silence."""

from __future__ import annotations

from collections.abc import Collection

import typer


def refuse_idle(context: typer.Context, names: Collection[str], use: str) -> None:
    """Raise InputError where an option among `names` (of parameters) was given on the command line; `use` says why."""
    from anisoalign.embeddings import InputError

    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is not None and source.name == "COMMANDLINE":
            raise InputError(f"{parameter.opts[0]} {use}")
