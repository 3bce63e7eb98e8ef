"""Memory budgets: from `"2GB"` to bytes and back to words."""

import re

from anisoalign.embeddings.errors import InputError

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_UNITS |= {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def parse_bytes(size: int | float | str) -> int:
    """Return a number of bytes from a number or from words such as `"2GB"` or `"512 MiB"`.

    Raises
    ------
    InputError
        If the words are not a positive size.

    Examples
    --------
    >>> parse_bytes("2GB"), parse_bytes("1.5 KiB"), parse_bytes(10)
    (2000000000, 1536, 10)
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?)\s*([a-zA-Z]*)\s*", str(size))
    unit = _UNITS.get(match[2].lower()) if match else None
    value = int(float(match[1]) * unit) if match and unit else 0
    if value <= 0:
        raise InputError(f"a size in bytes must look like 2GB, 512MiB or 1000000, not {size!r}")
    return value


def format_bytes(size: int) -> str:
    """Say a number of bytes in decimal units.

    Examples
    --------
    >>> format_bytes(999), format_bytes(2_000_000_000), format_bytes(4_194_304)
    ('999 B', '2.0 GB', '4.2 MB')
    """
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 1000:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"
