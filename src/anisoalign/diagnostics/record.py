"""Results as frozen values that turn into one flat JSON object."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

SCHEMA_VERSION = 1


class Record:
    """Base of the result dataclasses."""

    def to_dict(self) -> dict[str, Any]:
        """Flat dictionary of plain numbers, strings and lists; what was not measured is left out."""
        flat: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
        for field in fields(self):  # pyright: ignore[reportArgumentType]
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value = value.tolist()
            if value is not None:
                flat[field.name] = value
        return flat
