"""A whole run: the stages of a settings file one after the other, each from the model that the one before left."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from anisoalign.aligners import Aligner
from anisoalign.aligners import load as load_aligner
from anisoalign.embeddings import InputError
from anisoalign.embeddings.atomic import write_synced
from anisoalign.mllm.adapters import check_stages
from anisoalign.mllm.chat import Chat
from anisoalign.mllm.conversations import Conversations
from anisoalign.mllm.finished import Finished
from anisoalign.mllm.fitting import fitting
from anisoalign.mllm.given import moved
from anisoalign.mllm.held_out import parted
from anisoalign.mllm.language_models import lm_config, load_tokenizer, positions
from anisoalign.mllm.matching import matched, sound
from anisoalign.mllm.model import EmbeddingLanguageModel
from anisoalign.mllm.processes import Processes
from anisoalign.mllm.saving import ALIGNER, LM, TOKENIZER, load_mllm, read_config
from anisoalign.mllm.settings import TrainSettings
from anisoalign.mllm.stage_run import Progress
from anisoalign.mllm.store import EmbeddingStore
from anisoalign.mllm.training import train_fitting
from anisoalign.places import expanded

StageProgress = Callable[[str, int, int, float, float | None], None]
"""Called with a stage's name and what `anisoalign.mllm.stage_run.Progress` is called with."""

Data = dict[str, tuple[Conversations, EmbeddingStore]]
"""What each stage learns from."""

STAGES, SETTINGS = "stages.json", "settings.toml"


def run(
    settings: TrainSettings,
    out: str | Path,
    *,
    only: str | None = None,
    progress: StageProgress | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Path:
    """Train the stages of a settings file into OUT/NAME, and return the folder of the last.

    Stages that are finished are passed over, an unfinished one goes on. All data are opened, joined, held against
    `max_length` and looked through for rows that are NaN, infinite or zero before anything is trained.

    Parameters
    ----------
    settings : TrainSettings
    out : path
        Gets `settings.toml`, its paths absolute, `stages.json`, and a folder a stage.
    only : str, optional
        Name of the one stage to train; those before it must be finished.
    progress, say : callable, optional

    Raises
    ------
    InputError
        For settings without stages, adapters or data that do not fit, a finished stage of another model, other settings
        or data, or a `settings.toml` in OUT that no run wrote.
    """
    out = expanded(out)
    names = list(settings.stages)
    if not names:
        raise InputError("the settings have no [stages.NAME]")
    if only is not None and only not in names:
        raise InputError(f"there is no stage {only!r}; the stages: {', '.join(names)}")
    wanted = [name for name in names if only is None or name == only]
    finished = Finished(settings, out, say)
    todo = [name for name in wanted if name not in finished]
    for name in wanted:
        if name not in todo:
            say(f"{name}: finished already, in {out / name}")
    if only is not None and names.index(only) and todo:
        before = names[names.index(only) - 1]
        if before not in finished:
            raise InputError(
                f"stage {only!r} begins with the model of stage {before!r}, which is not in {out / before}"
            )
    if todo:
        _check_kept(out)
    _check_adapters(settings, todo, out)
    data = _moved({name: _open(settings, name) for name in todo}, names, out)
    data = {name: (matched(talks, store, settings.stages[name]), store) for name, (talks, store) in data.items()}
    data = _fitting(settings, names, data, out)
    data = {name: sound(talks, store, settings.stages[name]) for name, (talks, store) in data.items()}
    for name, (talks, store) in data.items():
        if talks.left_out.count:
            say(talks.left_out.told(f"{name}: {talks.name}"))
        _, held = parted(talks, settings.stages[name])  # which refuses too few, before anything is trained
        count = f"{len(talks):,} conversations" + ("" if held is None else f", {len(held):,} of them held out")
        say(f"{name}: {count}, {len(store):,} embeddings of {store.dim} ({_side(store)})")
    processes, model = Processes(), None
    for name in todo:
        talks, store = data[name]
        model = model or _begin(settings, names, name, out, store.dim, processes)
        log = train_fitting(
            model,
            talks,
            store,
            settings.stages[name],
            out=out / name,
            name=name,
            progress=None if progress is None else _named(progress, name),
            begun=lambda: _note(settings, out, processes),
        )
        again = f", gone on from step {log.resumed_at}" if log.resumed_at else ""
        cut = f"; {log.truncated} conversations lost their end to max_length" if log.truncated else ""
        bad = f"; {log.skipped} step(s) skipped, whose loss was not finite" if log.skipped else ""
        held = "".join(f", held-out loss {loss:.4f}" for loss in log.held_out_losses[-1:])
        say(f"{name}: {len(log.records)} steps{again}, last loss {log.losses[-1]:.4f}{held}{cut}{bad}: {out / name}")
    return out / wanted[-1]


def _open(settings: TrainSettings, name: str) -> tuple[Conversations, EmbeddingStore]:
    stage = settings.stages[name]
    for key in ("conversations", "embeddings"):
        if not getattr(stage, key):
            raise InputError(f"[stages.{name}] names no {key}")
    return Conversations.of_stage(stage, settings.model.placeholder), EmbeddingStore.of_stage(stage)


def _check_adapters(settings: TrainSettings, todo: list[str], out: Path) -> None:
    """Refuse adapters that the language model cannot carry, or that those of a stage before cannot become."""
    names = list(settings.stages)
    if not any(settings.stages[name].learns == "lora" for name in todo):
        return
    chain = names[: names.index(todo[-1]) + 1]
    check_stages({name: settings.stages[name] for name in chain}, lm_config(*_lm(settings, todo[0], out)))


def _lm(settings: TrainSettings, first: str, out: Path) -> tuple[str | Path, str]:
    """Place and revision of the language model that the first stage to be trained begins with."""
    names = list(settings.stages)
    place = names.index(first)
    # One that was trained lies with the stage before; the folder of [model] may be gone by now.
    if place and read_config(out / names[place - 1])["lm"]["kind"] == "folder":
        return out / names[place - 1] / LM, ""
    return settings.model.lm, settings.model.revision


def _moved(data: Data, names: list[str], out: Path) -> Data:
    """The data of every stage, texts moved by its own aligner, or by the one that the stages before it leave."""
    found, used = {}, _aligner_before(names, next(iter(data)), out) if data else None
    for name, (talks, store) in data.items():
        store = moved(store, used)
        found[name], used = (talks, store), store.aligner or used
    return found


def _aligner_before(names: list[str], first: str, out: Path) -> Aligner | None:
    """The aligner of the model that the first stage to be trained begins with."""
    place = names.index(first)
    if not place:
        return None
    before = out / names[place - 1]
    return load_aligner(before / ALIGNER) if read_config(before)["aligner"] else None


def _fitting(settings: TrainSettings, names: list[str], data: Data, out: Path) -> Data:
    """The data of every stage, of conversations only those that keep an answer within `max_length`."""
    if not data:
        return data
    place = names.index(next(iter(data)))
    # The tokenizer of the first stage that is to be trained; no language model is loaded yet.
    if place:
        tokenizer = load_tokenizer(out / names[place - 1] / TOKENIZER)
    else:
        tokenizer = load_tokenizer(settings.model.lm, settings.model.revision)
    chat = Chat(tokenizer, settings.model, positions(lm_config(*_lm(settings, next(iter(data)), out))))
    return {name: (fitting(talks, chat, settings.stages[name]), store) for name, (talks, store) in data.items()}


def _side(store: EmbeddingStore) -> str:
    """What the rows are, and how texts are moved."""
    aligner = store.aligner if store.side == "text" else None
    strength = getattr(aligner, "strength_", None)
    at = "" if strength is None else f" at strength {strength:g}"
    return store.side if aligner is None else f"{store.side}, moved by {aligner.name}{at}"


def _begin(
    settings: TrainSettings, names: list[str], name: str, out: Path, width: int, processes: Processes
) -> EmbeddingLanguageModel:
    place = names.index(name)
    if not place:
        return EmbeddingLanguageModel.from_settings(settings.model, width, processes.device)
    before = out / names[place - 1]
    # The folder of [model], since the language model may have moved; one that was trained lies with the stage before.
    elsewhere = read_config(before)["lm"]["kind"] == "reference" and Path(settings.model.lm).is_dir()
    model = load_mllm(before, device=processes.device, lm=settings.model.lm if elsewhere else None, exact=True)
    model.settings = settings.model  # equal, but for where the language model lies
    return model


def _check_kept(out: Path) -> None:
    """Refuse a folder whose `settings.toml` is the user's own, which that of the run would replace."""
    if (out / SETTINGS).exists() and not (out / STAGES).exists():
        raise InputError(
            f"{out / SETTINGS} was not written by a run, which keeps its settings there; choose another --out"
        )


def _note(settings: TrainSettings, out: Path, processes: Processes) -> None:
    """Write what a run's folder says of it: first the file by which the other is known as a run's."""
    if processes.main:
        write_synced(out / STAGES, json.dumps(list(settings.stages)) + "\n")
        write_synced(out / SETTINGS, _anywhere(settings).to_toml())
    processes.wait()


def _anywhere(settings: TrainSettings) -> TrainSettings:
    """Settings with absolute paths, which lie in a run's folder and are read relative to it; URIs as they are."""
    model, stages = settings.model, {}
    if Path(model.lm).is_dir():
        model = replace(model, lm=_absolute(model.lm))
    for name, stage in settings.stages.items():
        places = {key: _absolute(getattr(stage, key)) for key in ("conversations", "embeddings", "aligner")}
        stages[name] = replace(stage, **places)
    return TrainSettings(model, stages)


def _absolute(place: str) -> str:
    return place if not place or "://" in place else str(expanded(place).absolute())


def _named(progress: StageProgress, name: str) -> Progress:
    return lambda done, total, loss, held_out: progress(name, done, total, loss, held_out)
