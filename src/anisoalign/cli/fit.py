"""`anisoalign fit`: fit a method on two sets and save the model."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anisoalign.cli import bars, carrying, messages, opening, options
from anisoalign.cli.plan import tell_plan

if TYPE_CHECKING:
    from anisoalign.aligners import Aligner
    from anisoalign.embeddings import EmbeddingSet


def fit(
    method: Annotated[str, typer.Argument(help="NAME of the method, or NAME:param=value,..., like aniso-align:paper.")],
    source: options.SourceOption,
    target: options.TargetOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for the fitted model.")],
    setting: Annotated[list[str] | None, typer.Option("--set", help="name=value: a parameter of the method.")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="TOML file with parameters of the method.")] = None,
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda or cuda:N, for methods that run on more than the CPU.")
    ] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a model at OUT once the new one is complete.")
    ] = False,
    source_column: options.SourceColumn = None,
    target_column: options.TargetColumn = None,
    bad_rows: options.BadRowsOption = options.BadRows.error,
    norms: options.NormsOption = options.Norms.auto,
    memory: options.MemoryOption = None,
    engine: options.EngineOption = carrying.Engine.local,
    dtype: options.DtypeOption = options.Dtype.auto,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Of every random draw; 0 where the settings say nothing else.")
    ] = None,
    force: options.ForceFitOption = False,
) -> None:
    """Fit a method on source and target embeddings, which need not be paired, and save it.

    An interrupted training stage goes on with the same command. Under torchrun several processes share the passes and
    each training batch: torchrun --nproc-per-node 2 -m anisoalign fit aniso-align:paper ...
    """
    import numpy as np

    from anisoalign.aligners.anisoalign.polar_fit import remove_states
    from anisoalign.aligners.costs import estimate
    from anisoalign.aligners.registry import METHODS, make, parse_parts, parse_setting
    from anisoalign.aligners.saving import check_free
    from anisoalign.embeddings import InputError

    name, preset, inline = parse_parts(method)
    params = {**_read_config(config), **inline, **dict(parse_setting(text) for text in setting or [])}
    known = METHODS[name]().get_params() if name in METHODS else {}
    # What an option says itself comes before settings; `auto` leaves the choice to them.
    given = {"seed": seed, "device": None if device == "auto" else device}
    params |= {option: value for option, value in given.items() if option in known and value is not None}
    model = make(name, params, preset)
    _check_device(device, model)
    check_free(out, overwrite)
    y = opening.open_set(source, "source", source_column, bad_rows, norms, memory)
    x = opening.open_set(target, "target", target_column, bad_rows, norms, memory)
    tell_plan(estimate(model, y, x, dtype.value, transform=False))
    started = time.perf_counter()
    with carrying.in_processes(engine), _states_told(_checkpoint(out)):
        try:
            _fit(model, y, x, dtype.value, engine, out, force)
        except (InputError, np.linalg.LinAlgError):
            raise  # the latter is a ValueError too, and a fault of ours
        except ValueError as error:
            raise InputError(str(error)) from error
        if not messages.first_process():
            return
        messages.tell_dropped(y, x)
        model.save(out)
    if model.name == "aniso-align":
        remove_states(_checkpoint(out))
    seconds = time.perf_counter() - started
    messages.say(f"fitted {model!r} on {y.rows:,} + {x.rows:,} rows in {seconds:.1f} s: {out}")
    for note in model.notes():
        messages.say(note)


def _fit(
    model: Aligner, y: EmbeddingSet, x: EmbeddingSet, dtype: str, engine: carrying.Engine, out: Path, force: bool
) -> None:
    of_source, of_target = model.passes(y.rows, x.rows)
    with (
        bars.progress(f"fit {model.name}", of_source * y.rows + of_target * x.rows) as done,
        bars.stages() as stages,
        carrying.carried_by(engine),
    ):
        resumed: dict[str, Any] = {}
        if model.name == "aniso-align":
            resumed = {"stages": stages, "checkpoint": _checkpoint(out)}
        model.fit(y, x, dtype=dtype, progress=done, force=force, **resumed)


def _checkpoint(out: Path) -> Path:
    """Where neural stages keep their states until the model is written; the same command goes on from them."""
    return out.with_name(f".{out.name}.stages")


@contextmanager
def _states_told(states: Path) -> Iterator[None]:
    """Say of what the system ended that trained stages are kept, where they are."""
    from anisoalign.embeddings.errors import has_failed

    try:
        yield
    except Exception as error:
        if has_failed(error) and states.exists():
            error.add_note(f"{states} holds trained stages; the same command goes on from there")
        raise


def _check_device(device: str, model: Aligner) -> None:
    """Raise InputError for a device that is none, that the method has no use for, or that is not there."""
    from anisoalign.devices import find_device
    from anisoalign.embeddings import InputError

    if device.startswith("cuda") and "device" not in model.get_params():
        raise InputError(f"{model.name} is fitted on the CPU: leave --device {device} out")
    find_device(device, "--device")


def _read_config(path: Path | None) -> dict[str, Any]:
    from anisoalign.embeddings import InputError

    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} cannot be read as TOML: {error}") from error
