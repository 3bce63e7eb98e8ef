"""Fitted models outside this library: ONNX and torch.export, in full precision and smaller (docs/serving.md)."""

from anisoalign.aligners.modules import PRECISIONS, serving_module
from anisoalign.serving.export import TARGETS, Exported, export, reader

__all__ = ["PRECISIONS", "TARGETS", "Exported", "export", "reader", "serving_module"]
