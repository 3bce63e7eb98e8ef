"""Records that lack something, or hold it in another form: part and file are named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anisoalign.embeddings import InputError
from anisoalign.report.results import PARTS, Results

WRONG = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What code that reads numbers and names from a record raises where they are not there, or are something else."""


def made_from(results: Results, make: Callable[[Results], Any]) -> Any:
    """What `make` makes of results; a fault in what it reads becomes an error of the part that holds the fault.

    Raises
    ------
    InputError
        Naming file and part; its cause is the error.

    Examples
    --------
    >>> made_from(Results(evaluate={"k": 3}), lambda results: results.evaluate["rows"])
    Traceback (most recent call last):
    anisoalign.embeddings.errors.InputError: no page can be made of evaluate: it lacks 'rows'
    """
    try:
        return make(results)
    except InputError:
        raise
    except WRONG as error:
        parts = [part for part in PARTS if getattr(results, part)]
        # The last, since captions are read for views alone: without either the rest is sound.
        wrong = [part for part in parts if _makes(results.without(part), make)][-1:] or parts
        where = ", ".join(f"{part} of {results.files[part]}" if part in results.files else part for part in wrong)
        said = f"it lacks {error}" if isinstance(error, KeyError) else f"something in it has another form ({error})"
        raise InputError(f"no page can be made of {where}: {said}") from error


def _makes(results: Results, make: Callable[[Results], Any]) -> bool:
    """Whether the rest of the results is sound."""
    try:
        make(results)
    except WRONG:
        return False
    return True
