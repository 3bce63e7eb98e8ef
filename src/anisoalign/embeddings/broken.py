"""Shards that cannot be opened, all told of at once: who mends a folder of thousands wants the list, not the first."""

from collections.abc import Callable, Sequence
from pathlib import Path

from anisoalign.embeddings.errors import InputError, has_failed
from anisoalign.embeddings.remote import asked_together
from anisoalign.embeddings.shards import Source

SHOWN = 20
"""Shards that a message names."""


def opened(reader: Callable[[Path], Source], files: Sequence[Path], remote: bool) -> list[Source]:
    """Open every file.

    Raises
    ------
    InputError
        With the faults of all broken files; with one alone where it is the system's, like a lost connection, or where
        no file can be opened, since it is then no shard's own: a column that is in none, say.
    """

    def attempt(file: Path) -> Source | InputError:
        try:
            return reader(file)
        except InputError as error:
            if has_failed(error):
                raise
            return error

    found = asked_together(attempt, files, remote)
    faults = [each for each in found if isinstance(each, InputError)]
    if len(faults) in (1, len(files)) and faults:
        raise faults[0]
    if faults:
        raise InputError(_listed(faults, files)) from faults[0]
    return [each for each in found if not isinstance(each, InputError)]


def _listed(faults: Sequence[InputError], files: Sequence[Path]) -> str:
    more = f"\n  and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    lines = "".join(f"\n  {fault}" for fault in faults[:SHOWN])
    return f"{len(faults)} of {len(files)} shards in {files[0].parent} cannot be read:{lines}{more}"
