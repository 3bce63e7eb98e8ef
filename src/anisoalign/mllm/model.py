"""A causal language model that reads embeddings: the projector's positions stand where the placeholder stood."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from anisoalign.embeddings import InputError
from anisoalign.mllm.chat import IGNORED, Chat
from anisoalign.mllm.language_models import check_architecture, check_class, load_lm, load_tokenizer, positions
from anisoalign.mllm.projector import make_projector
from anisoalign.mllm.settings import ModelSettings, StageSettings

if TYPE_CHECKING:
    from anisoalign.aligners import Aligner


@dataclass
class Output:
    """What a forward pass gives.

    Attributes
    ----------
    loss : Tensor or None
        Mean cross-entropy of the answers' tokens, in nats; None without labels.
    logits : Tensor, shape (batch, kept positions, vocabulary)
        Of all positions, or, with labels, of those from which a label is foretold in any row.
    loss_sum : Tensor or None
        The same, summed.
    answer_tokens : int
        How many labels there are.
    """

    loss: Tensor | None
    logits: Tensor
    loss_sum: Tensor | None = None
    answer_tokens: int = 0


class EmbeddingLanguageModel(nn.Module):
    """A language model, a projector, a tokenizer, and what they were trained with.

    Made by `from_parts`, `from_settings` or `load_mllm`, not by the constructor.

    Attributes
    ----------
    lm : PreTrainedModel or PeftModel
        Any causal language model of transformers.
    projector : Projector
    chat : Chat
        The tokenizer with its template; `tokenizer` is short for ``chat.tokenizer``.
    settings : ModelSettings
    width : int
        d, of the embeddings.
    encoder : dict or None
        Provenance of the embeddings it was trained on, where that is known.
    aligner : Aligner or None
        What turned the texts' embeddings it was trained on into substitutes.
    stages : list of dict
        What each stage was: its settings, steps and last loss.
    lm_changed : bool
        Whether the language model's own weights were trained, so that they must be saved.
    """

    def __init__(self, lm: Any, chat: Chat, width: int, settings: ModelSettings):
        super().__init__()
        check_class(type(lm))
        check_architecture(lm.config)
        self.lm, self.chat, self.width, self.settings = lm, chat, width, settings
        inner = lm.get_input_embeddings().weight.shape[1]
        self.projector = make_projector(
            width, settings.hidden or inner, inner, settings.visual_tokens, settings.seed
        ).to(lm.device)
        self.encoder: dict[str, Any] | None = None
        self.aligner: Aligner | None = None
        self.stages: list[dict[str, Any]] = []
        self.lm_changed = False
        self.freeze()

    @classmethod
    def from_parts(cls, lm: Any, tokenizer: Any, width: int, settings: ModelSettings | None = None) -> Self:
        """A model of a language model and a tokenizer in memory, its projector untrained.

        Parameters
        ----------
        lm : PreTrainedModel
            Is used, not copied.
        tokenizer : PreTrainedTokenizerFast
            Gains the placeholder as a token; the language model's vocabulary stays as it is.
        width : int
            Of the embeddings.
        settings : ModelSettings, optional
        """
        settings = settings or ModelSettings()
        return cls(lm, Chat(tokenizer, settings, positions(lm.config)), width, settings)

    @classmethod
    def from_settings(cls, settings: ModelSettings, width: int, device: str | torch.device = "cpu") -> Self:
        """A model of a language model on the Hugging Face Hub or in a local folder, its projector untrained.

        Raises
        ------
        InputError
            If there is none, or its weights are not in safetensors: pickles are never opened.
        """
        tokenizer = load_tokenizer(settings.lm, settings.revision)
        lm = load_lm(settings.lm, settings.revision, settings.dtype, settings.attention, device)
        return cls(lm, Chat(tokenizer, settings, positions(lm.config)), width, settings)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, with the placeholder as a token."""
        return self.chat.tokenizer

    @property
    def device(self) -> torch.device:
        """Where inputs go."""
        return self.lm.get_input_embeddings().weight.device

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        embeddings: Tensor | None = None,
    ) -> Output:
        """Logits, and with labels the loss.

        Parameters
        ----------
        input_ids : Tensor of int64, shape (batch, length)
            With the image token `visual_tokens` times for each embedding.
        attention_mask : Tensor, shape (batch, length), optional
            0 where there is padding; None for none.
        labels : Tensor of int64, shape (batch, length), optional
            `input_ids` where a token is to be learned, -100 elsewhere. Not shifted.
        embeddings : Tensor, shape (m, d), optional
            Unit rows, one for each picture of the batch, in the order of the rows they stand in.
        """
        if labels is None:
            inputs = self.embed(input_ids, embeddings)
            return Output(None, self.lm(inputs_embeds=inputs, attention_mask=attention_mask, use_cache=False).logits)
        logits, targets = self._foretold(input_ids, attention_mask, labels, embeddings)
        total = nn.functional.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        count = int((targets != IGNORED).sum())
        return Output(total / max(count, 1), logits, total, count)

    def row_losses(
        self, input_ids: Tensor, attention_mask: Tensor | None, labels: Tensor, embeddings: Tensor | None = None
    ) -> Tensor:
        """Mean cross-entropy of the labels of each row, in nats, shape (batch,); arguments as of `forward`."""
        logits, targets = self._foretold(input_ids, attention_mask, labels, embeddings)
        losses = nn.functional.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
        )
        return losses.view(targets.shape).sum(1) / (targets != IGNORED).sum(1)

    def _foretold(
        self, input_ids: Tensor, attention_mask: Tensor | None, labels: Tensor, embeddings: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Logits and what they should foretell, of the positions from which a label is foretold in any row."""
        inputs = self.embed(input_ids, embeddings)
        options: dict[str, Any] = {"inputs_embeds": inputs, "attention_mask": attention_mask, "use_cache": False}
        targets = torch.full_like(labels, IGNORED)
        targets[:, :-1] = labels[:, 1:]
        if self._keeps_logits:
            kept = (targets != IGNORED).any(0).nonzero()[:, 0]
            if len(kept) == 0:
                kept = torch.zeros(1, dtype=torch.int64, device=labels.device)
            options["logits_to_keep"], targets = kept, targets[:, kept]
        return self.lm(**options).logits, targets

    def embed(self, input_ids: Tensor, embeddings: Tensor | None) -> Tensor:
        """Input embeddings of the tokens, with the projector's positions in place of the image token.

        Shape (batch, length, width of the language model). Raises ValueError if the numbers do not agree.
        """
        marks = input_ids == self.chat.image_id
        found, per = int(marks.sum()), self.settings.visual_tokens
        given = 0 if embeddings is None else len(embeddings)
        if found != given * per:
            raise ValueError(f"{given} embeddings of {per} positions for {found} image tokens")
        if embeddings is not None and given and embeddings.shape[1] != self.width:
            raise InputError(f"embeddings have width {embeddings.shape[1]}, the model was made for {self.width}")
        # The image token may lie beyond the vocabulary: it is never looked up.
        inputs = self.lm.get_input_embeddings()(input_ids.masked_fill(marks, 0))
        if embeddings is None or not given:
            return inputs
        positions = self.projector(embeddings.to(self.projector.first.weight.dtype)).to(inputs.dtype)
        return inputs.masked_scatter(marks[:, :, None], positions)

    @torch.inference_mode()
    def generate(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        embeddings: Tensor | None = None,
        max_new_tokens: int = 128,
        **options: Any,
    ) -> Tensor:
        """New tokens, shape (batch, at most max_new_tokens), greedily unless `options` of transformers say otherwise.

        Prompts of different lengths are padded on the left.
        """
        from transformers import GenerationConfig

        pad = self.tokenizer.pad_token_id
        stop = self.stop_ids
        settings = {
            "max_new_tokens": max_new_tokens,
            "do_sample": False,
            "eos_token_id": stop or None,
            "pad_token_id": pad if pad is not None else (stop[0] if stop else 0),
            **options,
        }
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        with self._own_generation_config():
            return self.lm.generate(
                inputs_embeds=self.embed(input_ids, embeddings),
                attention_mask=attention_mask,
                generation_config=GenerationConfig(**settings),
            )

    @property
    def stop_ids(self) -> list[int]:
        """Tokens that end an answer."""
        own = getattr(self.lm.generation_config, "eos_token_id", None)
        return sorted({*self.chat.template.stop_ids, *(own if isinstance(own, list) else [] if own is None else [own])})

    @property
    def adapted(self) -> bool:
        """Whether the language model carries adapters."""
        return hasattr(self.lm, "peft_config")

    @property
    def base_lm(self) -> Any:
        """The language model beneath its adapters, if it has any."""
        return self.lm.get_base_model() if self.adapted else self.lm

    @contextmanager
    def _own_generation_config(self) -> Iterator[None]:
        """Set aside what the language model would sample with, which would mix with what is asked for here."""
        from transformers import GenerationConfig

        lm = self.base_lm
        before, lm.generation_config = lm.generation_config, GenerationConfig()
        try:
            yield
        finally:
            lm.generation_config = before

    @property
    def _keeps_logits(self) -> bool:
        return "logits_to_keep" in inspect.signature(self.base_lm.forward).parameters

    def freeze(self) -> None:
        """Nothing learns; dropout off."""
        self.requires_grad_(False).eval()

    def begin(self, stage: StageSettings) -> None:
        """Make ready what a stage trains: adapters, precision, gradients, dropout."""
        from anisoalign.mllm.learning import begin

        begin(self, stage)

    def trainable(self) -> dict[str, nn.Parameter]:
        """Parameters that learn, by name."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}

    def save(self, path: str | Path) -> None:
        """Write the model into the folder `path`, whole or not at all; see `anisoalign.mllm.saving`."""
        from anisoalign.mllm.saving import save

        save(self, path)

    def ask(self, question: str, embedding: Any = None, **options: Any) -> str:
        """Answer a question about an embedding; see `anisoalign.mllm.ask`."""
        from anisoalign.mllm.asking import ask

        return ask(self, question, embedding, **options)


def pad(rows: Sequence[np.ndarray], value: int, left: bool = False) -> Tensor:
    """Rows of different lengths as one tensor of int64, shape (rows, longest).

    Examples
    --------
    >>> pad([np.array([1, 2, 3]), np.array([4])], 0).tolist()
    [[1, 2, 3], [4, 0, 0]]
    """
    longest = max(len(row) for row in rows)
    out = torch.full((len(rows), longest), value, dtype=torch.int64)
    for number, row in enumerate(rows):
        where = slice(longest - len(row), longest) if left else slice(0, len(row))
        out[number, where] = torch.from_numpy(np.asarray(row, np.int64))
    return out
