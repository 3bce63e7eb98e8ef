"""The same passes over a cluster: engines that take the parts of a pass to other processes (docs/clusters.md)."""

from anisoalign.scale.on_ray import RayEngine, on_ray

__all__ = ["RayEngine", "on_ray"]
