"""What a path is called where it is given as `.` or `..`, which have no name of their own."""

from pathlib import Path


def named(path: Path) -> Path:
    """Return a path that ends in a name: `.` and `..` as the folder that they stand for.

    Examples
    --------
    >>> named(Path("text.npy")), named(Path(".")) == Path.cwd()
    (PosixPath('text.npy'), True)
    """
    return path if path.name not in ("", "..") else path.resolve()
