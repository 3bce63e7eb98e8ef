"""Names and texts that are not Unicode, which no format takes: written so that their bytes can still be told."""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character: how Python keeps a byte of a file name that is not UTF-8, and JSON a text that was cut."""


def storable(text: str) -> str:
    r"""Return a text as it can be written: halves of characters as `\xNN` for a byte of a name, else as `\uNNNN`.

    Two names that differ stay different, which ids must.

    Examples
    --------
    >>> print(storable("caf\udce9.jpg"), storable("broken \ud83d"), storable("café"))
    caf\xe9.jpg broken \ud83d café
    """
    return text if text.isascii() else _SURROGATE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
