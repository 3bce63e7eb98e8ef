"""Places on this machine as users write them."""

from __future__ import annotations

import os
from pathlib import Path


def expanded(place: str | Path) -> Path:
    """A path in which a leading `~` is the home of the user, as in a shell; Python and `--option=~/a` leave it.

    Examples
    --------
    >>> expanded("~/a") == Path.home() / "a", expanded("a/~")
    (True, PosixPath('a/~'))
    """
    return Path(at_home(str(place)))


def at_home(name: str) -> str:
    """The same of a name that may be no path, such as a pattern, which is left as it is otherwise.

    Examples
    --------
    >>> at_home("org/name"), at_home("a/*/")
    ('org/name', 'a/*/')
    """
    return os.path.expanduser(name)  # noqa: PTH111 - Path.expanduser fails for a `~name` who is no user
