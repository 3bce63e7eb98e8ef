"""Runtime check of the shapes in signatures, used under pytest only."""

from beartype import BeartypeConf, beartype

_AS_TYPE_CHECKERS_READ_IT = BeartypeConf(is_pep484_tower=True)  # an int is a float


def checked(function):
    """`function` checked by beartype on every call.

    beartype knows `Self` only where it decorates a whole class, and jaxtyping hands it one method at a
    time: such annotations say nothing about shapes and are left out.
    """
    hints = function.__annotations__
    function.__annotations__ = {name: hint for name, hint in hints.items() if not str(hint).endswith("Self")}
    return beartype(conf=_AS_TYPE_CHECKERS_READ_IT)(function)
