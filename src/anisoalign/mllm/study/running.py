"""One run of the study: fit an aligner, teach a projector captions, then conversations, and ask about tested pictures.

The language model is frozen throughout; the projector is all that learns. Aligners see the images to fit on and the
texts of the row, unpaired. Every intermediate result has its own file, so an interrupted study goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from anisoalign.aligners.anisoalign.readers import idle_parameters
from anisoalign.aligners.anisoalign.settings import parse_terms
from anisoalign.aligners.base import Aligner
from anisoalign.aligners.registry import parse_method, parse_parts
from anisoalign.embeddings import InputError
from anisoalign.embeddings.atomic import TEMPORARY, rename_synced, write_synced
from anisoalign.mllm import EmbeddingLanguageModel, ModelSettings, StageSettings, train
from anisoalign.mllm.chat import IGNORED
from anisoalign.mllm.dial import dialled
from anisoalign.mllm.joined import collate
from anisoalign.mllm.records import Reading, parse_record
from anisoalign.mllm.study.corpus import Corpus, Sizes, make_corpus
from anisoalign.mllm.study.language import IMAGE, PROMPT, LanguageSettings
from anisoalign.mllm.study.questions import GROUPS, Question
from anisoalign.mllm.study.rows import Row

WIDTH = 256
"""Of the world's embeddings."""
_SCORED = 500
"""Questions that go through the model at a time."""


@dataclass(frozen=True)
class StudySettings:
    """Sizes of everything."""

    sizes: Sizes = field(default_factory=Sizes)
    paper: str = ""
    """Changes to the published method, for quick runs, `,prior_steps=10`; a row takes those that its terms read."""
    language: LanguageSettings = field(default_factory=LanguageSettings)
    model: ModelSettings = field(default_factory=lambda: ModelSettings(visual_tokens=8, hidden=256))
    pretrain: StageSettings = field(
        default_factory=lambda: StageSettings.pretraining(
            lr=4e-3, epochs=4, batch_size=32, micro_batch=32, max_length=256, warmup=0.05
        )
    )
    tune: StageSettings = field(
        default_factory=lambda: StageSettings.tuning(
            learns="projector", lr=4e-3, epochs=5, batch_size=8, micro_batch=8, max_length=256, warmup=0.05
        )
    )


_FULL = StudySettings()
QUICK = replace(
    _FULL,
    sizes=Sizes(fitted=300, texts=200, tuned=50, tested=500, per_form=24),
    paper=",prior_steps=10,refine_steps=10",
    language=LanguageSettings(hidden=32, layers=2, heads=2, feed_forward=64, steps=60, batch=32),
    pretrain=replace(_FULL.pretrain, epochs=1),
    tune=replace(_FULL.tune, epochs=1),
)
"""Shows in minutes whether everything runs; what it finds means nothing."""


class Study:
    """A folder of runs.

    Parameters
    ----------
    folder
        Where everything lies: the language model, embeddings, projectors and runs.
    settings
        Sizes; a folder holds runs of one kind only.

    Raises
    ------
    InputError
        If the folder was begun with other settings.
    """

    def __init__(self, folder: Path, settings: StudySettings) -> None:
        self.folder, self.settings = folder, settings
        note, ours = folder / "settings.json", json.dumps(asdict(settings), indent=1) + "\n"
        if note.is_file() and note.read_text() != ours:
            raise InputError(f"{folder} holds runs of other settings; choose another folder or remove it")
        for name in ("runs", "rows", "projectors", "worlds"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        write_synced(note, ours)

    def path(self, row: Row, seed: int) -> Path:
        """Where the JSON of a run lies."""
        return self.folder / "runs" / f"{row.key}-{seed}.json"

    def run(self, row: Row, seed: int) -> dict[str, Any]:
        """Carry out a run, or read what an earlier call left of it."""
        path = self.path(row, seed)
        if path.is_file():
            return json.loads(path.read_text())
        started = time.process_time()
        corpus = _corpus(seed, self.settings.sizes, row.multiple, self.folder / "worlds")
        learned = self._embeddings(row, corpus)
        given = {"seed": seed, "learned": _digest(learned), "tuned_on": row.tuned_on, "pretrained": row.pretrained}
        found = self._same(given) or {**given, **self._measure(row, corpus, learned)}
        found = {"row": asdict(row), **found, "cpu_seconds": round(time.process_time() - started, 1)}
        write_synced(path, json.dumps({**found, "settings": asdict(self.settings)}, indent=1) + "\n")
        return found

    def _measure(self, row: Row, corpus: Corpus, learned: np.ndarray) -> dict[str, Any]:
        model, losses = self._fresh(corpus.seed), {}
        if row.pretrained:
            losses["pretrain"] = self._pretrain(model, row, corpus, learned)
        losses["tune"] = self._tune(model, row, corpus, learned)
        tested = _blinded(corpus.tested_image) if row.source == "blind" else corpus.tested_image
        return {**summary(score(model, tested, corpus.tested), corpus.tested), "losses": losses}

    def _same(self, given: dict[str, Any]) -> dict[str, Any] | None:
        """What a run measured that learned from the very same rows in the same way, if there is one.

        An aligner that changes nothing beside another, as a refinement without a loss does, need not be trained on
        again.
        """
        for path in sorted((self.folder / "runs").glob(f"*-{given['seed']}.json")):
            other = json.loads(path.read_text())
            if all(other[key] == value for key, value in given.items()):
                measured = ("average", "groups", "forms", "losses")
                return {**given, "same_as": other["row"]["key"], **{key: other[key] for key in measured}}
        return None

    def _fresh(self, seed: int) -> EmbeddingLanguageModel:
        """The frozen language model with a projector that has learned nothing; its first weights depend on the seed."""
        lm = str(self.folder / "language")
        return EmbeddingLanguageModel.from_settings(replace(self.settings.model, lm=lm, seed=seed), WIDTH)

    def _aligner(self, source: str) -> Aligner:
        """Unfitted, with the changes of quick runs that act there: others are refused."""
        model: Any = parse_method(source)
        if ":paper" in source:
            _, _, changes = parse_parts(f"{model.name}:paper{self.settings.paper}")
            idle = idle_parameters(parse_terms(model.terms), model.initial, model.rotation)
            model.set_params(**{name: value for name, value in changes.items() if name not in idle})
        return model

    def _embeddings(self, row: Row, corpus: Corpus) -> np.ndarray:
        """What stands in for the pictures of the texts' scenes, unit rows."""
        if row.source == "image":
            return corpus.image
        if row.source == "blind":
            return _blinded(corpus.text)
        path = self.folder / "rows" / f"{row.shares}-{corpus.seed}.npy"
        if not path.is_file():
            fitted = self._aligner(row.source).fit(corpus.text, corpus.fitted_image)
            fitted = dialled(fitted) if row.dialled else fitted
            moved = np.asarray(fitted.transform(corpus.text), np.float32)
            temporary = path.with_name(f"{TEMPORARY}{path.name}")
            np.save(temporary, moved, allow_pickle=False)
            rename_synced(temporary, path)
        return np.load(path, allow_pickle=False)

    def _pretrain(self, model: EmbeddingLanguageModel, row: Row, corpus: Corpus, learned: np.ndarray) -> float:
        """Teach the projector to say each caption; read it where a run with the same embeddings has."""
        path = self.folder / "projectors" / f"{row.shares}-{corpus.seed}.safetensors"
        note = path.with_suffix(".json")
        if note.is_file():
            model.projector.load_state_dict(load_file(path))
            return json.loads(note.read_text())["loss"]
        talks = [_record(number, (PROMPT, said)) for number, said in enumerate(corpus.captions)]
        loss = _taught(model, talks, learned, replace(self.settings.pretrain, seed=corpus.seed))
        temporary = path.with_name(f"{TEMPORARY}{path.name}")
        save_file(model.projector.state_dict(), temporary)
        rename_synced(temporary, path)
        write_synced(note, json.dumps({"loss": loss}) + "\n")
        return loss

    def _tune(self, model: EmbeddingLanguageModel, row: Row, corpus: Corpus, learned: np.ndarray) -> float:
        asked, rows = {
            "texts": (corpus.told, learned),
            "true": (corpus.true, learned),
            "pictures": (corpus.tuned, corpus.tuned_image),
        }[row.tuned_on]
        return _taught(model, _dialogues(asked), rows, replace(self.settings.tune, seed=corpus.seed))


_corpus = lru_cache(maxsize=2)(make_corpus)


def score(model: EmbeddingLanguageModel, images: np.ndarray, asked: Sequence[Question]) -> np.ndarray:
    """Which questions are answered exactly, greedily; bool (n,).

    A greedy answer is the right one if and only if each of its tokens, and its end, is the likeliest after those
    before it: one pass over question and answer tells, as `anisoalign.mllm.answers` would token by token.
    """
    reading = Reading(model.settings.placeholder, PROMPT, "id", False)
    order = sorted(range(len(asked)), key=lambda n: len(asked[n].text))
    right = np.zeros(len(asked), bool)
    for start in range(0, len(order), _SCORED):
        part = order[start : start + _SCORED]
        records = [_record(asked[n].scene, (asked[n].text, asked[n].answer)) for n in part]
        tokens = [model.chat.tokens(parse_record(record, reading)) for record in records]
        seen = torch.from_numpy(images[[asked[n].scene for n in part]])
        batch = collate(tokens, seen, model.tokenizer.pad_token_id)
        with torch.inference_mode():
            said = model(batch.input_ids, batch.attention_mask, None, batch.embeddings).logits[:, :-1].argmax(-1)
        wanted = batch.labels[:, 1:]
        right[part] = ((said == wanted) | (wanted == IGNORED)).all(dim=1).numpy()
    return right


def summary(right: np.ndarray, asked: Sequence[Question]) -> dict[str, Any]:
    """Accuracy by form, by group (mean of its forms) and on average (mean of the groups)."""
    forms: dict[str, list[bool]] = {}
    group_of = {}
    for question, correct in zip(asked, right.tolist(), strict=True):
        forms.setdefault(question.form, []).append(correct)
        group_of[question.form] = question.group
    accuracy = {form: float(np.mean(found)) for form, found in sorted(forms.items())}
    groups = {group: float(np.mean([accuracy[f] for f in accuracy if group_of[f] == group])) for group in GROUPS}
    return {"average": float(np.mean(list(groups.values()))), "groups": groups, "forms": accuracy}


def _taught(model: EmbeddingLanguageModel, talks: list[dict], rows: np.ndarray, settings: StageSettings) -> float:
    """Train one stage in memory; the mean loss of its last tenth."""
    log = train(
        model, talks, (rows, [str(number) for number in range(len(rows))]), replace(settings, side="substitute")
    )
    return float(np.mean(log.losses[-max(1, len(log.losses) // 10) :]))


def _dialogues(asked: Sequence[Question]) -> list[dict[str, Any]]:
    """All questions about a scene as one conversation."""
    turns: dict[int, list[Question]] = {}
    for question in asked:
        turns.setdefault(question.scene, []).append(question)
    return [_record(scene, *((q.text, q.answer) for q in found)) for scene, found in turns.items()]


def _record(number: int, *turns: tuple[str, str]) -> dict[str, Any]:
    said = [{"from": side, "value": text} for turn in turns for side, text in zip(("human", "gpt"), turn, strict=True)]
    said[0]["value"] = f"{IMAGE} {said[0]['value']}"
    return {"id": str(number), "conversations": said}


def _digest(rows: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()[:16]


def _blinded(rows: np.ndarray) -> np.ndarray:
    """The same unit vector for every row: nothing is seen."""
    blind = np.zeros_like(rows)
    blind[:, 0] = 1.0
    return blind
