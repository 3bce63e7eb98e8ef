"""Whether a finished stage is the one that the settings ask for now: model, settings and data, data by content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from anisoalign.aligners import load as load_aligner
from anisoalign.aligners.saving import aligner_fingerprint
from anisoalign.embeddings import EmbeddingSet, InputError, checksum, fingerprint
from anisoalign.mllm.checked import made
from anisoalign.mllm.conversations import Conversations
from anisoalign.mllm.dial import dialled
from anisoalign.mllm.language_models import load_lm, weights_fingerprint
from anisoalign.mllm.saving import CONFIG, is_model, read_config
from anisoalign.mllm.settings import ModelSettings, StageSettings, TrainSettings
from anisoalign.mllm.store import EmbeddingStore, open_rows
from anisoalign.mllm.unfinished import NO_MATTER

_LISTED = 5


def trained_on(talks: Conversations, store: EmbeddingStore) -> dict[str, Any]:
    """What a stage learns from, by content: files may move, rows and the aligner may not change."""
    aligner = store.aligner
    return {
        "conversations": talks.state(),
        "embeddings": store.digits or digits_of(store.set),
        "aligner": None if aligner is None else aligner_fingerprint(aligner),
    }


def digits_of(rows: EmbeddingSet, **see: Any) -> str:
    """Sixteen digits: of all values, and those of the first rows, which is all that older models noted."""
    return checksum(rows, **see) + fingerprint(rows)


def plain_settings(settings: StageSettings) -> dict[str, Any]:
    """Settings as a model remembers them: without paths of this machine."""
    return {**asdict(settings), "conversations": "", "embeddings": "", "aligner": ""}


def _that_matter(settings: StageSettings) -> dict[str, Any]:
    return {key: value for key, value in plain_settings(settings).items() if key not in NO_MATTER}


class Finished:
    """The finished stages of a run's folder, held against settings.

    Parameters
    ----------
    settings : TrainSettings
    out : Path
    say : callable
        Is told of data that are gone, so that nothing can be said of them.
    """

    def __init__(self, settings: TrainSettings, out: Path, say: Callable[[str], None] = lambda text: None):
        self.settings, self.out, self.say = settings, out, say
        self.names = list(settings.stages)
        self.now = {name: _Now(settings, name) for name in self.names}

    def __contains__(self, name: str) -> bool:
        """Whether a stage is done; raises InputError where it, or one it began from, was done otherwise."""
        folder = self.out / name
        if not is_model(folder):
            return False
        config = read_config(folder)
        differing = different_model(config, self.settings.model)
        if differing:
            self._refuse(folder, "another [model]", differing)
        chain, done = self.names[: self.names.index(name) + 1], config["stages"]
        was = [stage["name"] for stage in done]
        if was != chain:
            self._refuse(folder, "other stages", [f"{', '.join(was)} then, {', '.join(chain)} now"])
        before = None
        for stage, entry in zip(chain, done, strict=True):
            prefix = "" if stage == name else f"stages.{stage}."
            # What an older model did not note was as it is by default.
            noted = {**plain_settings(StageSettings()), **entry["settings"]}
            differing = _different(noted, _that_matter(self.settings.stages[stage]))
            if differing:
                self._refuse(folder, "other settings", [prefix + one for one in differing])
            then = entry.get("trained_on", {})  # older models do not note it
            differing = self.now[stage].different(then, before)
            if differing:
                self._refuse(folder, "other data or another aligner", [prefix + one for one in differing])
            before = then.get("aligner") or before
        for gone in self.now[name].gone:
            self.say(f"{name}: {gone} is gone, and was not compared with what the stage was trained on")
        return True

    def _refuse(self, folder: Path, what: str, differing: list[str]) -> None:
        raise InputError(
            f"{folder} was trained with {what} ({'; '.join(differing[:_LISTED])}); choose another --out, or remove it "
            "and the stages after it to train them anew"
        )


class _Now:
    """What a stage would be trained on now, read when it is asked for."""

    def __init__(self, settings: TrainSettings, name: str):
        self.settings, self.name, self.stage = settings, name, settings.stages[name]

    @property
    def gone(self) -> list[str]:
        """Data that are not where the settings say, as after a clean-up: they cannot have been changed there."""
        named = (self.stage.conversations, self.stage.embeddings, self.stage.aligner)
        return [path for path in named if path and "://" not in path and not Path(path).exists()]

    def different(self, then: dict[str, Any], before: str | None) -> list[str]:
        """What differs from what was noted `then`; data that are gone, or that nothing was noted of, do not."""
        found = []
        for key, was in then.items():
            path = getattr(self.stage, key)
            if path in self.gone or (key != "aligner" and not path):
                continue
            now = self.aligner(before) if key == "aligner" else getattr(self, key)
            if isinstance(was, dict) and isinstance(now, dict):  # older models noted less
                now = {part: now.get(part) for part in was}
            if key == "embeddings" and isinstance(was, str) and isinstance(now, str):
                now = now[-len(was) :]  # the last eight of older models
            if now != was:
                found.append(f"{key}: {_short(was)} then, {_short(now)} now" + (f" in {path}" if path else ""))
        return found

    @cached_property
    def conversations(self) -> dict[str, Any]:
        return Conversations.of_stage(self.settings.stages[self.name], self.settings.model.placeholder).state()

    @cached_property
    def embeddings(self) -> str:
        stage = self.stage
        return digits_of(open_rows(stage.embeddings, stage.side, stage.column, stage.id_column))

    def aligner(self, before: str | None) -> str | None:
        """Fingerprint of the aligner as a stage is trained with it, after a model that was trained with `before`."""
        texts = self.stage.side == "text"
        if not self.stage.aligner:
            return before if texts else None
        given = load_aligner(self.stage.aligner)
        found = aligner_fingerprint(given)
        return found if not texts or found == before else aligner_fingerprint(dialled(given))


def different_model(config: dict[str, Any], now: ModelSettings) -> list[str]:
    """Settings in which a saved model is not that of [model]; a language model that lies elsewhere is the same."""
    then = made(ModelSettings, config["model"], CONFIG)
    if (then.lm, then.revision) != (now.lm, now.revision) and _same_lm(config, then, now):
        then = replace(then, lm=now.lm, revision=now.revision)
    return _different(asdict(then), asdict(now))


def _same_lm(config: dict[str, Any], then: ModelSettings, now: ModelSettings) -> bool:
    """Whether two names of language models mean the same one: the same folder, or else the same weights."""
    reference = config["lm"]
    if then.revision == now.revision and Path(now.lm).is_dir():
        known = (then.lm, reference.get("name", then.lm))
        if any(Path(name).resolve() == Path(now.lm).resolve() for name in known if name):
            return True
    if reference["kind"] != "reference" or not now.lm:  # weights that were trained tell nothing of the first ones
        return False
    lm = load_lm(now.lm, now.revision, now.dtype, now.attention)
    return weights_fingerprint(lm.state_dict()) == reference["fingerprint"]


def _short(value: Any) -> str:
    """A value for a message: of a long hash its beginning."""
    return value[:8] if isinstance(value, str) else "none" if value is None else str(value)


def _different(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [f"{key}: {then.get(key)!r} then, {now[key]!r} now" for key in now if then.get(key) != now[key]]
