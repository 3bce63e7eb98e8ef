"""Which part of AnisoAlign reads which parameter: one that nothing reads is told, not taken in silence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

READERS: dict[str, tuple[str, ...]] = {
    "rotation": ("initial=transport",),
    "shrinkage": ("init with initial=transport", "rotation=full", "rotation=auto"),
    "initial_strength": ("init with initial=transport", "rotation=auto"),
    "guide_shrinkage": ("guide", "rotation=full", "rotation=auto"),
    "restore_strength": ("guide",),
    "guide_step": ("guide",),
    "guide_bound": ("guide",),
    "neighbours": ("guide", "rotation=full", "rotation=auto"),
    "balance": ("guide", "rotation=full", "rotation=auto"),
    "mixing": ("refine", "initial=radial"),
    "centre": ("refine", "initial=radial"),
    "phase_bound": ("refine",),
    "radius_bound": ("refine",),
    "complement_bound": ("refine",),
    "complement": ("refine", "initial=radial"),
    "edges": ("prior", "phase"),
    "centred_coupling": ("prior", "phase"),
    "degree_normalised": ("prior",),
    "drift_step": ("prior",),
    "noise": ("prior",),
    "prior_steps": ("prior",),
    "phase_weight": ("phase",),
    "support": ("support",),
    "refine_steps": ("prior", "phase", "support", "structure"),
}
"""Parts that read a parameter, any of which will do; parameters that every fit reads are not here."""


def idle_parameters(terms: set[str], initial: str, rotation: str) -> set[str]:
    """Parameters that no part of a fit reads.

    Examples
    --------
    >>> idle = idle_parameters({"init", "guide"}, "transport", "means")
    >>> "edges" in idle, "guide_step" in idle
    (True, False)
    """
    parts = terms - {"init"}
    if initial == "transport":
        parts |= {"initial=transport", f"rotation={rotation}"}
        parts |= {"init with initial=transport"} if "init" in terms else set()
    elif terms & {"init", "refine"}:
        parts.add("initial=radial")
    return {name for name, readers in READERS.items() if not parts & set(readers)}


def unread(given: Mapping[str, Any], usual: Sequence[Mapping[str, Any]], idle: set[str]) -> list[str]:
    """A sentence for each parameter that was changed and that no part reads: its variants look as if it did not matter.

    Parameters
    ----------
    given : dict
        All parameters of a model.
    usual : list of dict
        Values that are no change: the defaults, and those of a preset.
    idle : set of str
        As `idle_parameters` tells.

    Examples
    --------
    >>> usual = {"terms": "init", "initial": "transport", "rotation": "none", "edges": 4}
    >>> unread({**usual, "edges": 9}, [usual], {"edges"})
    ['edges=9 changes nothing where terms=init, initial=transport, rotation=none: prior or phase would read it']
    """
    where = ", ".join(f"{key}={given[key]}" for key in ("terms", "initial", "rotation"))
    return [
        f"{name}={given[name]!r} changes nothing where {where}: {' or '.join(READERS[name])} would read it"
        for name in sorted(idle)
        if all(given[name] != values[name] for values in usual if name in values)
    ]
