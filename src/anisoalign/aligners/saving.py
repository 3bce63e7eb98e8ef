"""A fitted model on disk: config.json, model.safetensors and a README.md card. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from anisoalign import __version__
from anisoalign.aligners.base import Aligner
from anisoalign.aligners.restoring import restore
from anisoalign.embeddings import InputError
from anisoalign.embeddings.absent import absent
from anisoalign.embeddings.atomic import sync_file
from anisoalign.embeddings.model_folder import check_model_place, model_folder, tensors_into
from anisoalign.embeddings.remote import on_disk

SCHEMA_VERSION = 1
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"


def save(model: Aligner, path: str | Path) -> None:
    """Write a fitted model into the folder `path`, whole or not at all; a model of ours that is there is replaced.

    Raises
    ------
    InputError
        If `path` exists and is not a model of ours, or cannot be written.
    """
    arrays, plain = split_state(model)
    config = {
        "schema_version": SCHEMA_VERSION,
        "library_version": __version__,
        "method": model.name,
        "params": model.fitted_with,
        "fitted": plain,
    }
    with model_folder(on_disk(path, "models"), _replaceable) as partial:
        described = json.dumps(config, indent=2, sort_keys=True, default=_plain)
        (partial / CONFIG).write_text(described + "\n", encoding="utf-8")
        # One entry: the order of several is not fixed, and equal models should be equal files.
        with tensors_into(partial / WEIGHTS):
            save_file(arrays, str(partial / WEIGHTS), {"schema_version": str(SCHEMA_VERSION)})
        (partial / CARD).write_text(card_of(model), encoding="utf-8")
        for file in partial.iterdir():
            sync_file(file)


def check_free(path: Path, overwrite: bool = True) -> None:
    """Raise InputError, before any work, where a model could not be written.

    What is not one of ours is left alone; a model of ours is replaced where `overwrite` is set.
    """
    check_model_place(path, _replaceable)
    if not overwrite and path.exists() and any(path.iterdir()):
        raise InputError(f"{path} already exists; choose another name, or ask to replace it (`--overwrite`)")


def _replaceable(path: Path) -> bool:
    """Whether a folder is empty, or a model that this library wrote with nothing else beside it."""
    if not path.is_dir():
        return False
    names = {file.name for file in path.iterdir()}
    if not names:
        return True
    if names != {CONFIG, WEIGHTS, CARD}:
        return False
    try:
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return False
    return isinstance(config, dict) and {"schema_version", "library_version", "method"} <= config.keys()


def load(path: str | Path) -> Aligner:
    """Read a model that `save` wrote.

    Raises
    ------
    InputError
        If the folder holds no model, a damaged one, or one of a schema or method that this version does not know.

    Examples
    --------
    >>> import tempfile, numpy as np, anisoalign as aa
    >>> rows = np.random.default_rng(0).normal(size=(20, 4))
    >>> folder = tempfile.mkdtemp() + "/model"
    >>> aa.ReAlign().fit(rows, rows.copy()).save(folder)
    >>> aa.load(folder).scale_
    1.0
    """
    from anisoalign.aligners.registry import METHODS

    path = on_disk(path, "models")
    if not path.exists():
        raise InputError(absent(path, f"a saved model: a folder with {CONFIG} and {WEIGHTS}"))
    for name in (CONFIG, WEIGHTS):
        if path.is_dir() and not (path / name).exists():
            raise InputError(f"{path} is not a saved model: {name} is missing")
    try:
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, NotADirectoryError) as error:
        raise InputError(f"{path} is not a saved model, or a damaged one: {error}") from error
    arrays = _arrays_in(path / WEIGHTS)
    if not isinstance(config, dict) or config.get("schema_version") != SCHEMA_VERSION:
        found = config.get("schema_version") if isinstance(config, dict) else None
        raise InputError(f"{path / CONFIG} has schema version {found!r}; this version reads {SCHEMA_VERSION}")
    method = config.get("method")
    if not isinstance(method, str) or method not in METHODS:
        raise InputError(f"{path / CONFIG} names the method {method!r}, which this version lacks")
    return restore(METHODS[method], config.get("params"), arrays, config.get("fitted"), path / CONFIG, path / WEIGHTS)


def _arrays_in(weights: Path) -> dict[str, np.ndarray]:
    try:
        return load_file(str(weights))
    except SafetensorError as error:
        raise InputError(f"{weights} is damaged: {error}") from error
    except (TypeError, AttributeError) as error:  # of bfloat16, and of float8
        raise InputError(f"{weights} is damaged: it holds numbers of a type that NumPy lacks") from error


def split_state(model: Aligner) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Fitted attributes: arrays for safetensors, the rest for JSON."""
    state = {name: value for name, value in vars(model).items() if name.endswith("_")}
    arrays = {name: np.ascontiguousarray(v) for name, v in state.items() if isinstance(v, np.ndarray)}
    for name, value in arrays.items():  # ascontiguousarray makes scalars one-dimensional
        arrays[name] = value.reshape(np.shape(state[name]))
    return arrays, {name: value for name, value in state.items() if name not in arrays}


def aligner_fingerprint(model: Aligner) -> str:
    """Hash of a model's method, parameters and fitted values, in hexadecimal."""
    arrays, plain = split_state(model)
    # Models saved before there was a choice of frame keep the digits under which their rows are known.
    given = {name: value for name, value in model.fitted_with.items() if (name, value) != ("frame", "target")}
    digest = hashlib.sha256(json.dumps([model.name, given, plain], sort_keys=True, default=_plain).encode())
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def card_of(model: Aligner, repo_id: str | None = None) -> str:
    """Model card in Markdown: what the model does, was fitted on, and how to open it, from the Hub given `repo_id`."""
    about = (type(model).__doc__ or "").strip().splitlines()[0]
    rows = "It **holds target rows**." if model.keeps_rows else "It holds no training rows."
    opened = 'aa.load("PATH")' if repo_id is None else f'aa.Aligner.from_pretrained("{repo_id}")'
    name = repr(type(model)().set_params(**model.fitted_with))
    params = "".join(f"* `{key}`: {value!r}\n" for key, value in model.fitted_with.items()) or "None.\n"
    fitted = "".join(
        f"* {side}: {about_set}\n" for side, about_set in _fitted_on(getattr(model, "provenance_", {})).items()
    )
    notes = "".join(f"* {note}\n" for note in model.notes())
    return (
        f"---\nlibrary_name: anisoalign\ntags: [modality-gap, embeddings]\n---\n\n# {name}\n\n{about}\n\n"
        f"Maps source embeddings of width {model.n_features_in_} to unit substitutes for target embeddings of the "
        f"same encoder, and of no other. It was fitted without pairs. {rows}\n\n"
        f"```python\nimport anisoalign as aa\n\nmodel = {opened}\naligned = model.transform(embeddings)\n```\n\n"
        f"## Parameters\n\n{params}\n"
        + (f"## Fitted on\n\n{fitted}\n" if fitted else "")
        + (f"## What the fit says\n\n{notes}\n" if notes else "")
        + f"Written by anisoalign {__version__}, schema version {SCHEMA_VERSION}.\n"
    )


def _fitted_on(provenance: dict[str, Any]) -> dict[str, str]:
    """What is known of each set, in words; no paths of the machine where it was fitted."""
    said = {}
    for side in ("source", "target"):
        about = provenance.get(side)
        if isinstance(about, dict) and "rows" in about:
            said[side] = f"{about['rows']:,} rows" + (f" of {about['dtype']}" if "dtype" in about else "")
    return said


def _plain(value: Any) -> Any:
    """A numpy scalar, as loops over parameters give, as a number of Python."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} cannot be written to {CONFIG}")
