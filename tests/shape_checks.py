"""Runtime check of the shapes in signatures, used under pytest only."""

from beartype import beartype


def checked(function):
    """`function` checked by beartype on every call.

    beartype knows `Self` only where it decorates a whole class, and jaxtyping hands it one method at a
    time: such annotations say nothing about shapes and are left out.
    """
    named = {name: hint for name, hint in function.__annotations__.items() if not str(hint).endswith("Self")}
    function.__annotations__ = named
    return beartype(function)
