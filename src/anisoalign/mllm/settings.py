"""Settings of a model and of the stages that train it: frozen, read from one TOML, written back as one."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date as day
from pathlib import Path
from typing import Any, Self

from anisoalign.embeddings import InputError
from anisoalign.mllm.checked import check_choices, check_finite, check_keys, check_least, made, table_in
from anisoalign.mllm.toml import apply, lines, resolve_paths
from anisoalign.places import expanded

LEARNING_RATES = {"projector": 5e-4, "lora": 2e-4, "full": 1e-5}
"""By what learns: of the paper's two stages, and of adapters as LLaVA 1.5 and Bunny train them."""

BESIDE_ADAPTERS = 10
"""Times that the projector learns slower than adapters beside it, which begin anew where it was trained before."""

ON_BAD = ("error", "skip")
SIDES = ("text", "substitute", "image")


@dataclass(frozen=True)
class ModelSettings:
    """What the model is made of.

    Attributes
    ----------
    lm : str
        Name on the Hugging Face Hub or local folder of a causal language model; empty for one in memory.
    revision : str
        Commit, tag or branch of a model on the Hub.
    visual_tokens : int
        Positions of the sequence that one embedding takes.
    hidden : int
        Width between the projector's two layers; 0 for the language model's own.
    placeholder : str
        What stands for the picture in a conversation.
    chat : {"auto", "plain"}
        The tokenizer's own chat template where it has one, or always the plain one of `anisoalign.mllm.chat`.
    thinking : bool
        Passed to templates that ask (`enable_thinking`): whether an answer is preceded by thoughts.
    system : str
        A system message before every conversation; empty for none.
    date : str
        What templates that print today's date print (Llama 3.2), YYYY-MM-DD: the same in training and whenever the
        model is asked. By default the one that Llama 3.2's template falls back to.
    dtype : {"auto", "float32", "bfloat16"}
        Weights of a language model that is not trained in full; auto is bfloat16 on a GPU. The projector, adapters
        and a model trained in full are float32, since smaller steps than a bfloat16 can hold would be lost.
    attention : str
        Implementation of attention, as transformers calls it; empty for its own choice.
    seed : int
        Of the projector's first weights.
    """

    lm: str = ""
    revision: str = ""
    visual_tokens: int = 1
    hidden: int = 0
    placeholder: str = "<image>"
    chat: str = "auto"
    thinking: bool = False
    system: str = ""
    date: str = "2024-07-26"
    dtype: str = "auto"
    attention: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        check_least(self, visual_tokens=1, hidden=0, seed=0)
        check_choices(self, chat=("auto", "plain"), dtype=("auto", "float32", "bfloat16"))
        try:
            day.fromisoformat(self.date)
        except ValueError as error:
            raise InputError(f"date must be a day, YYYY-MM-DD, not {self.date!r}") from error
        if not self.placeholder.strip() or self.placeholder != self.placeholder.strip():
            raise InputError(f"placeholder must be a word, not {self.placeholder!r}")


@dataclass(frozen=True)
class StageSettings:
    """One stage of training.

    Attributes
    ----------
    learns : {"projector", "lora", "full"}
        The projector alone with the language model frozen, the projector and adapters on the language model, or both
        in full.
    conversations, embeddings : str
        Where the data lie, for the command line; relative to the settings file.
    side : {"text", "substitute", "image"}
        What the embeddings are: of texts, to be aligned by the aligner where there is one; rows that an aligner has
        already moved; or of real images.
    aligner : str
        Folder of a fitted aligner, applied to the rows of texts as they are read, at full strength if its strength was
        left at "auto"; of substitutes, the one that moved them. The model keeps a copy. Empty for the one it was
        trained with before, or none.
    key : str
        Field of a conversation by which its embedding is found.
    column : str
        Column or key of the embeddings' vectors, if there are several, or the kind (`text`, `image`) in
        clip-retrieval's layout, by default that of `side`.
    id_column : str
        Column of the embeddings' ids, if not one of the usual names.
    text_only : bool
        Whether conversations without a picture are taken; otherwise each must have one.
    on_bad : {"error", "skip"}
        What becomes of conversations that cannot be used, that have no embedding, several, or one of NaN, infinities or
        zeros, or that `max_length` leaves no answer: they are refused, the first ten listed, or left out and counted.
        Where more than half have not one embedding they are refused all the same.
    prompt : str
        What is asked where a record has a caption and no conversation.
    lr, projector_lr : float, optional
        Highest learning rate, by default 5e-4 where the projector learns alone, 2e-4 of adapters and 1e-5 in full; and
        the projector's own, by default the same, beside adapters a tenth.
    epochs : float
        Passes over the conversations.
    held_out : float
        Share of the ids whose conversations are not learned from; their loss, without noise and dropout, is measured
        whenever a state is kept, after each epoch and at the end. They are chosen by `seed` and id. 0 for none.
    batch_size : int
        Conversations of a step, over all processes.
    micro_batch : int
        Conversations that go through the model at a time, or fewer, where several processes would have uneven work and
        nothing is dropped; memory grows with it, results do not depend on it but for what dropout draws.
    max_length : int
        Tokens of a conversation, or fewer, where the language model has positions for fewer; longer ones lose their
        end, which is counted. Each must keep an answer.
    warmup : float
        Share of the steps over which the learning rate rises, before it falls along a cosine.
    weight_decay, clip : float
        Of AdamW, on matrices alone; largest norm of the gradient, 0 for any.
    noise : float
        C3's corruption: standard deviation, per coordinate, of the noise added to a unit embedding, drawn afresh
        every step, before it is made unit again. 0.016 to 0.08 are usual.
    lora_rank : int
        Of the adapters.
    lora_alpha : int
        Over `lora_rank`, what the adapters' part is multiplied by; 0 for twice `lora_rank`, as LLaVA 1.5 has it.
    lora_dropout : float
        Of the adapters.
    lora_targets : str
        Names of the layers that get adapters, separated by commas, or `all-linear`.
    precision : {"auto", "no", "bf16"}
        Of the arithmetic; auto is bf16 on a GPU.
    gradient_checkpointing : bool
        Compute activations twice rather than keep them.
    checkpoint_every : int
        Steps between the states that an interrupted run goes on from.
    log_to : {"", "wandb", "trackio"}
        Where losses go beside `log.jsonl`.
    seed : int
        Of the order of the data, of noise and of dropout.
    """

    learns: str = "projector"
    conversations: str = ""
    embeddings: str = ""
    side: str = "text"
    aligner: str = ""
    key: str = "id"
    column: str = ""
    id_column: str = ""
    text_only: bool = False
    on_bad: str = "error"
    prompt: str = "Describe the image."
    lr: float | None = None
    projector_lr: float | None = None
    epochs: float = 1.0
    held_out: float = 0.0
    batch_size: int = 128
    micro_batch: int = 8
    max_length: int = 2048
    warmup: float = 0.03
    weight_decay: float = 0.0
    clip: float = 1.0
    noise: float = 0.0
    lora_rank: int = 128
    lora_alpha: int = 0
    lora_dropout: float = 0.0
    lora_targets: str = "all-linear"
    precision: str = "auto"
    gradient_checkpointing: bool = False
    checkpoint_every: int = 200
    log_to: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        check_choices(
            self,
            learns=tuple(LEARNING_RATES),
            side=SIDES,
            precision=("auto", "no", "bf16"),
            log_to=("", "wandb", "trackio"),
            on_bad=ON_BAD,
        )
        if self.lora_alpha == 0:
            object.__setattr__(self, "lora_alpha", 2 * self.lora_rank)
        check_least(
            self, batch_size=1, micro_batch=1, max_length=2, lora_rank=1, lora_alpha=1, checkpoint_every=1, seed=0
        )
        check_finite(self)
        check_least(self, weight_decay=0, clip=0, noise=0, warmup=0, lora_dropout=0, held_out=0)
        if self.lr is None:
            object.__setattr__(self, "lr", LEARNING_RATES[self.learns])
        if self.projector_lr is None:
            slower = BESIDE_ADAPTERS if self.learns == "lora" else 1
            object.__setattr__(self, "projector_lr", float(self.lr or 0) / slower)
        for name in ("lr", "projector_lr", "epochs"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be above 0, not {getattr(self, name)!r}")
        for name in ("warmup", "lora_dropout", "held_out"):
            if not getattr(self, name) < 1:
                raise InputError(f"{name} must be below 1, not {getattr(self, name)!r}")
        if self.aligner and self.side == "image":
            raise InputError("an aligner moves rows of texts; side = 'image' has none")

    @property
    def drops(self) -> bool:
        """Whether dropout may be drawn, which is a part of a batch's own: then how a batch is cut makes a difference.

        A language model that learns in full may bring dropout of its own.
        """
        return self.learns == "full" or (self.learns == "lora" and self.lora_dropout > 0)

    @classmethod
    def pretraining(cls, **changes: Any) -> Self:
        """Modality substitution pretraining: the projector learns to say a caption from the caption's own embedding.

        Examples
        --------
        >>> StageSettings.pretraining().lr, StageSettings.tuning().lr
        (0.0005, 1e-05)
        """
        return cls(**{"learns": "projector", **changes})

    @classmethod
    def tuning(cls, **changes: Any) -> Self:
        """Instruction tuning of projector and language model on conversations."""
        return cls(**{"learns": "full", **changes})


@dataclass(frozen=True)
class TrainSettings:
    r"""A model and the stages that train it, one after the other.

    Attributes
    ----------
    model : ModelSettings
    stages : dict of str to StageSettings
        In order. The usual names are `pretrain` and `tune`.

    Examples
    --------
    >>> text = '''
    ... [model]
    ... lm = "Qwen/Qwen3-1.7B"
    ... [stages.pretrain]
    ... learns = "projector"
    ... [stages.tune]
    ... learns = "lora"
    ... '''
    >>> settings = TrainSettings.from_toml(text, changes=["stages.tune.lr=2e-4", "model.seed=1"])
    >>> list(settings.stages), settings.stages["tune"].lr, settings.model.seed
    (['pretrain', 'tune'], 0.0002, 1)
    >>> TrainSettings.from_toml(settings.to_toml()) == settings
    True
    >>> TrainSettings.from_toml("[model]\nlmm = 'x'")
    Traceback (most recent call last):
    anisoalign.embeddings.errors.InputError: settings: [model] has no key 'lmm'; its keys: lm, revision, ...
    """

    model: ModelSettings = field(default_factory=ModelSettings)
    stages: dict[str, StageSettings] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | Path, changes: Sequence[str] = ()) -> Self:
        """Read a TOML file; paths in it are relative to its folder, those in `changes` to the working folder.

        Raises
        ------
        InputError
            If the file cannot be read, or a key or a value is none of ours; the message lists the keys there are.
        """
        path = expanded(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read: {error}") from error
        return cls.from_toml(text, changes, name=str(path), folder=path.parent)

    @classmethod
    def from_toml(
        cls, text: str, changes: Sequence[str] = (), name: str = "settings", folder: Path | None = None
    ) -> Self:
        """Settings from the text of a TOML file, with `a.b=value` changes on top."""
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{name} is not TOML: {error}") from error
        check_keys(table, ("model", "stages"), name, "the settings")
        model, stages = table_in(table, "model", name), table_in(table, "stages", name)
        given = {"model": dict(model), "stages": {key: dict(table_in(stages, key, name)) for key in stages}}
        if folder is not None:
            resolve_paths(given, folder)
        for change in changes:
            apply(given, change)
        return cls(
            made(ModelSettings, given["model"], name, "[model]"),
            {key: made(StageSettings, value, name, f"[stages.{key}]") for key, value in given["stages"].items()},
        )

    def to_toml(self) -> str:
        """Every setting as TOML, defaults included."""
        parts = [f"[model]\n{lines(asdict(self.model))}"]
        parts += [f"[stages.{key}]\n{lines(asdict(stage))}" for key, stage in self.stages.items()]
        return "\n".join(parts)
