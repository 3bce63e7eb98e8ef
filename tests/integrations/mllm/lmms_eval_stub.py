"""The part of lmms-eval's published interface (0.7.3) that our plug-in stands on, for where it is not installed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any


class CacheHook:
    def add_partial(self, attribute: str, request: Any, result: Any) -> None: ...


class lmms:  # noqa: N801 - its name there
    is_simple = True

    def __init__(self) -> None:
        self._rank, self._world_size = 0, 1
        self.cache_hook = CacheHook()
        self.task_dict: dict[str, Any] = {}

    @classmethod
    def create_from_arg_string(cls, arg_string: str, additional_config: dict[str, Any] | None = None) -> Any:
        given = dict(part.split("=", 1) for part in arg_string.split(",") if part)
        return cls(**given, **{k: v for k, v in (additional_config or {}).items() if v is not None})


class ChatMessages:
    def __init__(self, messages: list[dict[str, Any]]):
        self.messages = [
            SimpleNamespace(role=one["role"], content=[SimpleNamespace(**part) for part in one["content"]])
            for one in messages
        ]


@dataclass(frozen=True)
class ModelManifest:
    model_id: str
    simple_class_path: str | None = None
    chat_class_path: str | None = None
    aliases: tuple[str, ...] = ()


def install(monkeypatch: Any) -> None:
    """Put the stub where imports find it."""
    for name, content in {
        "lmms_eval": {},
        "lmms_eval.api": {},
        "lmms_eval.api.model": {"lmms": lmms},
        "lmms_eval.protocol": {"ChatMessages": ChatMessages},
        "lmms_eval.models": {},
        "lmms_eval.models.registry_v2": {"ModelManifest": ModelManifest},
    }.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
