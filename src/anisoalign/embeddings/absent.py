"""What to say of a path that is not there: what was looked for, and what there is instead."""

from __future__ import annotations

from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anisoalign.embeddings.remote import RemotePath

_SHOWN = 8


def absent(path: Path | RemotePath, what: str) -> str:
    """Message for a path that does not exist.

    Parameters
    ----------
    what : str
        What was looked for there.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "text.npy").touch()
    >>> absent(folder / "txt.npy", "embeddings").removeprefix(str(folder))
    '/txt.npy does not exist (looked for embeddings); did you mean text.npy?'
    """
    message = f"{path} does not exist (looked for {what})"
    if not isinstance(path, Path):  # in a store, where listing what is there may take long
        return message
    if (partial := _unfinished(path)) is not None:
        return f"{message}; {partial} is an unfinished run; repeat the command that began it"
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    try:
        names = sorted(item.name + ("/" if item.is_dir() else "") for item in folder.iterdir())
    except OSError:  # a folder that may not be looked into
        return message
    names = [name for name in names if not name.startswith(".")]
    missing = path.absolute().relative_to(folder).parts[0]
    near = nearest(missing, [name.rstrip("/") for name in names])
    if near is not None:
        inside = Path(near, *path.absolute().relative_to(folder).parts[1:])
        there = folder / inside
        if there.exists():
            return f"{message}; did you mean {inside if folder == path.absolute().parent else there}?"
    if not names:
        return f"{message}; {folder} is empty"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{message}; {folder} holds: {', '.join(names[:_SHOWN])}{more}"


def _unfinished(path: Path) -> Path | None:
    """The unfinished run that is to become a path, or a folder above it; None if there is none."""
    missing = takewhile(lambda place: not place.exists(), (path, *path.parents))
    places = (place.with_name(f"{place.name}.partial") for place in missing)
    return next((place for place in places if place.is_dir()), None)


def nearest(word: str, known: list[str] | tuple[str, ...]) -> str | None:
    """The known word most like `word`, or None where none is alike.

    Examples
    --------
    >>> nearest("realing", ["realign", "c3"]), nearest("xyz", ["realign", "c3"])
    ('realign', None)
    """
    found = get_close_matches(word, known, n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(word: str, known: list[str] | tuple[str, ...]) -> str:
    """A question to end a message with, empty where nothing is alike.

    Examples
    --------
    >>> did_you_mean("realing", ["realign", "c3"])
    '; did you mean realign?'
    """
    near = nearest(word, known)
    return "" if near is None else f"; did you mean {near}?"
