"""Lines of a text file, cut where `encode` cuts them, so that line i of a list belongs to row i."""

from pathlib import Path


def read_lines(path: Path) -> list[str]:
    r"""Return the lines of a file in UTF-8, each without its end, `\n` or `\r\n`.

    `str.splitlines` will not do: it also cuts at form feeds, U+0085, U+2028 and others, which captions from the web
    contain.

    Raises
    ------
    OSError, UnicodeDecodeError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "captions.txt")
    ...     _ = file.write_bytes("a cat\u2028asleep\r\na dog\n".encode())
    ...     read_lines(file)
    ['a cat\u2028asleep', 'a dog']
    """
    lines = path.read_bytes().decode("utf-8-sig").split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.rstrip("\r") for line in lines]
