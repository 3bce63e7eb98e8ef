"""The same passes over a cluster: engines that take the parts of a pass to other processes (docs/clusters.md)."""

from anisoalign.scale.on_ray import RayEngine, on_ray
from anisoalign.scale.processes import ProcessEngine, processes

__all__ = ["ProcessEngine", "RayEngine", "on_ray", "processes"]
