"""What one pass over a set leaves behind: moments, and what follows from them alone."""

from anisoalign.statistics.keyed import keyed_normal, keyed_uniform
from anisoalign.statistics.moments import Moments, Order
from anisoalign.statistics.passes import check_widths, float64_below, map_precision, measure
from anisoalign.statistics.shrinkage import ledoit_wolf, oracle_approximating, shrink

__all__ = [
    "Moments",
    "Order",
    "check_widths",
    "float64_below",
    "keyed_normal",
    "keyed_uniform",
    "ledoit_wolf",
    "map_precision",
    "measure",
    "oracle_approximating",
    "shrink",
]
