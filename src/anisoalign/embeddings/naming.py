"""What a path is called: where it is given as `.` or `..`, and however it is spelled."""

import os
from pathlib import Path


def named(path: Path) -> Path:
    """Return a path that ends in a name: `.` and `..` as the folder that they stand for.

    Examples
    --------
    >>> named(Path("text.npy")), named(Path(".")) == Path.cwd()
    (PosixPath('text.npy'), True)
    """
    return path if path.name not in ("", "..") else path.resolve()


def true_name(path: str | Path) -> str:
    r"""Return the one name of a file, from whatever folder and through whatever links it was named; a URI as it is.

    A byte that is no UTF-8 is written as `\xNN`.

    Examples
    --------
    >>> true_name("text.npy") == true_name(Path.cwd() / "text.npy"), true_name("s3://bucket/text.npy")
    (True, 's3://bucket/text.npy')
    """
    if "://" in str(path):
        return str(path)
    return os.fsencode(os.path.realpath(path)).decode("utf-8", "backslashreplace")
