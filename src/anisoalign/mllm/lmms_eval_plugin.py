"""What lmms-eval finds through the entry-point group `lmms_eval.models`: `--model anisoalign`."""

from __future__ import annotations

from typing import Any


def manifest() -> Any:
    """Say which class runs a model of this library; called by lmms-eval."""
    from lmms_eval.models.registry_v2 import ModelManifest  # pyright: ignore[reportMissingImports]

    return ModelManifest("anisoalign", chat_class_path="anisoalign.mllm.lmms_eval_model.AnisoalignModel")
