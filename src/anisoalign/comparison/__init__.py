"""Split, fit every method, measure, repeat: the table and its JSON."""

from anisoalign.comparison.comparing import compare
from anisoalign.comparison.repeating import DEFAULT_METHODS, compare_rows
from anisoalign.comparison.showing import BeforeAfter, before_after
from anisoalign.comparison.split import Split, split, split_by_item, split_in_step
from anisoalign.comparison.table import Comparison, MethodScores, refusals

__all__ = [
    "DEFAULT_METHODS",
    "BeforeAfter",
    "Comparison",
    "MethodScores",
    "Split",
    "before_after",
    "compare",
    "compare_rows",
    "refusals",
    "split",
    "split_by_item",
    "split_in_step",
]
