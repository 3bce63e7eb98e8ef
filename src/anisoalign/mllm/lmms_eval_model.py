"""A trained model as lmms-eval runs it: pictures are embedded, questions answered. Imported by lmms-eval alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from lmms_eval.api.model import lmms  # pyright: ignore[reportMissingImports]
from lmms_eval.protocol import ChatMessages  # pyright: ignore[reportMissingImports]

from anisoalign.embeddings import InputError
from anisoalign.mllm.asking import prepare, reply
from anisoalign.mllm.pictures import open_model_encoder
from anisoalign.mllm.records import Turn
from anisoalign.mllm.saving import load_mllm

_SAMPLING = ("temperature", "top_p", "num_beams")


class AnisoalignModel(lmms):
    """`--model anisoalign --model_args pretrained=RUN`.

    Parameters
    ----------
    pretrained : str
        Folder of a model, or of a run.
    encoder : str
        The encoder of the pictures, if the model does not record it, or it lies elsewhere.
    trust_remote_code : bool
        Run code that comes with the encoder.
    lm : str
        Where the language model is now, if not where it was.
    batch_size : int or str
        Questions at a time; `auto` is 16.
    device : str
        By default a GPU where there is one.
    """

    is_simple = False

    def __init__(
        self,
        pretrained: str,
        encoder: str = "",
        trust_remote_code: bool = False,
        lm: str = "",
        batch_size: int | str | None = 1,
        device: str | None = None,
        max_batch_size: int | None = None,
    ):
        super().__init__()
        self.batch_size = 16 if batch_size in (None, "auto") else int(batch_size)
        self.model = load_mllm(pretrained, device=device or "auto", lm=lm or None)
        self.encoder = open_model_encoder(self.model, encoder or None, trust_remote_code)
        self.device = self.model.device

    def generate_until(self, requests: list[Any]) -> list[str]:
        """Answers to requests, in order; those with the same settings of generation go in batches."""
        said = [""] * len(requests)
        for numbers in self._batches(requests):
            batch = [requests[number].args for number in numbers]
            talks, pictures = zip(*(self._talk(args) for args in batch), strict=True)
            answers = reply(self.model, talks, self._embedded(pictures), **_generation(batch[0][2]))
            for number, args, text in zip(numbers, batch, answers, strict=True):
                said[number] = _cut(text, args[2].get("until"))
                self.cache_hook.add_partial("generate_until", (args[0], args[2]), said[number])
        return said

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Not asked of models that read messages."""
        raise NotImplementedError("lmms-eval asks models that read messages for answers only")

    def generate_until_multi_round(self, requests: list[Any]) -> list[str]:
        """Not supported."""
        raise NotImplementedError("tasks of several rounds are not supported")

    def _batches(self, requests: list[Any]) -> Iterator[list[int]]:
        groups: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            groups.setdefault(repr(sorted(_generation(request.args[2]).items())), []).append(number)
        for numbers in groups.values():
            for start in range(0, len(numbers), self.batch_size):
                yield numbers[start : start + self.batch_size]

    def _talk(self, args: tuple[Any, ...]) -> tuple[list[Turn], list[Any]]:
        """Turns of a request, the placeholder where a picture stood, and the pictures in order."""
        _, doc_to_messages, _, doc, task, split = args
        messages = ChatMessages(messages=doc_to_messages(self.task_dict[task][split][doc])).messages
        turns, pictures = [], []
        for message in messages:
            parts = []
            for content in message.content:
                if content.type == "text":
                    # What a question says of "<image 1>" may stay; our own placeholder would count as a picture.
                    parts.append(content.text.replace(self.model.settings.placeholder, "").strip())
                elif content.type == "image":
                    pictures.append(content.url)
                    parts.append(self.model.settings.placeholder)
                else:
                    raise InputError(f"{task}: the model reads pictures, not {content.type}")
            turns.append(Turn(message.role, "\n".join(part for part in parts if part)))
        return turns, pictures

    def _embedded(self, pictures: Sequence[Sequence[Any]]) -> Any:
        every = [picture for own in pictures for picture in own]
        return prepare(self.model, np.asarray(self.encoder.encode(every, "image"))) if every else None


def _generation(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of generation as transformers calls them; greedy unless a temperature is given."""
    found = {key: settings[key] for key in _SAMPLING if settings.get(key)}
    sampled = bool(found.get("temperature")) or bool(settings.get("do_sample"))
    if not sampled:
        found = {key: value for key, value in found.items() if key == "num_beams"}
    return {"max_new_tokens": int(settings.get("max_new_tokens", 128)), "do_sample": sampled, **found}


def _cut(text: str, until: Any) -> str:
    """Text up to the first of the sequences that end it."""
    for end in [until] if isinstance(until, str) else until or []:
        if end:
            text = text.partition(end)[0]
    return text.strip()
