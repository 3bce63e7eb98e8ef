"""Runtime check of the shapes in signatures, used under pytest only."""

import threading

from beartype import BeartypeConf, beartype

_ONE_BY_ONE = threading.Lock()
"""beartype records warnings while it decorates, which Python does for the whole process: of two threads that do so at
once one may leave the other's record in place, and a test then waits for warnings in vain."""
_AS_TYPE_CHECKERS_READ_IT = BeartypeConf(is_pep484_tower=True)  # an int is a float


def checked(function):
    """`function` checked by beartype on every call.

    beartype knows `Self` only where it decorates a whole class, and jaxtyping hands it one method at a
    time: such annotations say nothing about shapes and are left out.
    """
    hints = function.__annotations__
    function.__annotations__ = {name: hint for name, hint in hints.items() if not str(hint).endswith("Self")}
    with _ONE_BY_ONE:
        return beartype(conf=_AS_TYPE_CHECKERS_READ_IT)(function)
