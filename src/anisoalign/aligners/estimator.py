"""What scikit-learn asks of an estimator, without importing it: its base class takes as long to import as torch."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from sklearn.exceptions import NotFittedError


class Estimator:
    """Parameters are the keywords of the constructor, stored as given under their names.

    Examples
    --------
    >>> class Dial(Estimator):
    ...     def __init__(self, *, strength=1.0, seed=0):
    ...         self.strength, self.seed = strength, seed
    >>> Dial().set_params(strength=0.5)
    Dial(strength=0.5)
    >>> Dial().set_params(volume=11)
    Traceback (most recent call last):
    ValueError: Dial has no parameter 'volume'; its parameters are: seed, strength
    """

    @classmethod
    def _parameters(cls) -> dict[str, Any]:
        """Names and defaults, in alphabetical order."""
        if cls.__init__ is object.__init__:
            return {}
        return {name: p.default for name, p in sorted(inspect.signature(cls).parameters.items())}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name; none of them is an estimator, so `deep` changes nothing."""
        return {name: getattr(self, name) for name in self._parameters()}

    def like(self, **changes: Any) -> Self:
        """An unfitted one with the same parameters but for the `changes`.

        Examples
        --------
        >>> from anisoalign import C3
        >>> C3(noise=0.1, seed=2).like(noise=0.2)
        C3(noise=0.2, seed=2)
        """
        return type(self)(**{**self.get_params(), **changes})

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name; ValueError for one that there is not."""
        known = self._parameters()
        for name, value in params.items():
            if name not in known:
                raise ValueError(
                    f"{type(self).__name__} has no parameter {name!r}; its parameters are: {', '.join(known) or 'none'}"
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        given = self.get_params()
        changed = [f"{n}={given[n]!r}" for n, default in self._parameters().items() if repr(given[n]) != repr(default)]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_tags__(self) -> Any:
        from sklearn.base import BaseEstimator

        return BaseEstimator.__sklearn_tags__(self)  # pyright: ignore[reportArgumentType]


def not_fitted(reason: str) -> NotFittedError:
    """The error to raise."""
    from sklearn.exceptions import NotFittedError

    return NotFittedError(reason)
