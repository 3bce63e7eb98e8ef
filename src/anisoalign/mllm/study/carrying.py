"""Every run that is missing, several at a time, in processes that `python -m anisoalign.mllm.study` starts."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context

import torch

from anisoalign.embeddings.atomic import write_synced
from anisoalign.mllm.study.language import accuracy_in_words, make_tokenizer, pretrain
from anisoalign.mllm.study.rows import Row
from anisoalign.mllm.study.running import Study


def learn_language(study: Study) -> None:
    """Train the language model, unless an earlier call has left it."""
    place = study.folder / "language"
    if place.is_dir():
        return
    settings = study.settings.language
    model = pretrain(
        settings, lambda step, loss: say(f"language model: step {step} of {settings.steps}, loss {loss:.3f}")
    )
    accuracy = accuracy_in_words(model, 200, seed=settings.seed + 1)
    partial = place.with_name(".language.partial")
    model.save_pretrained(partial)
    make_tokenizer().save_pretrained(partial)
    note = {"settings": asdict(settings), "parameters": model.num_parameters(), "accuracy_in_words": accuracy}
    write_synced(partial / "study.json", json.dumps(note, indent=1) + "\n")
    partial.replace(place)


def carry_out(study: Study, rows: Sequence[Row], seeds: Sequence[int], workers: int) -> None:
    """Every run that is missing. Runs that share a pretrained projector stay in one process, one after the other."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        for seed in seeds:
            if not study.path(row, seed).is_file():
                groups.setdefault((row.shares, seed), []).append(row)
    missing, done, started = sum(map(len, groups.values())), 0, time.monotonic()
    if not missing:
        return
    say(f"{missing} runs to do, {workers} at a time\n")
    with ProcessPoolExecutor(workers, get_context("spawn"), quiet_thread) as pool:
        tasks = {pool.submit(_runs, study, group, seed): len(group) for (_, seed), group in groups.items()}
        for task in as_completed(tasks):
            done += tasks[task]
            left = (time.monotonic() - started) / done * (missing - done) / 60
            say(f"{task.result()}; {done} of {missing} runs, about {left:.0f} minutes left\n")


def _runs(study: Study, rows: list[Row], seed: int) -> str:
    return ", ".join(f"{row.key} {seed}: {study.run(row, seed)['average']:.3f}" for row in rows)


def quiet_thread() -> None:
    """One thread a process, and no progress of loading and saving in between."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(1)


def say(text: str) -> None:
    """Progress on stderr: a line that ends is kept, others overwrite each other."""
    if text.endswith("\n") or sys.stderr.isatty():
        print(f"\r\x1b[K{text}" if sys.stderr.isatty() else text, end="", file=sys.stderr, flush=True)
