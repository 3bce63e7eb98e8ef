"""A saved model's folder: it appears whole or not at all, and takes the place of nothing but another of its kind."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from anisoalign.embeddings.atomic import refuse_link, replace_folder, writable
from anisoalign.embeddings.errors import InputError, blamed_on


def check_model_place(path: Path, replaceable: Callable[[Path], bool]) -> None:
    """Raise InputError, before any work, where a model could not be written.

    A saved model may be replaced, anything else that exists is left alone.
    """
    refuse_link(path)
    if path.exists() and not replaceable(path):
        raise InputError(f"{path} exists and is not a saved model; it is left alone")
    if path.name in ("", ".."):  # an empty folder, which cannot be replaced by that name
        raise InputError(f"{path} is no name for a model; name the folder itself ({path.resolve()})")
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError(f"cannot write the model to {path}: {parent} is not a folder that can be written")


@contextmanager
def model_folder(path: Path, replaceable: Callable[[Path], bool]) -> Iterator[Path]:
    """Give a new folder to write a model into, which is renamed to `path` when the block ends without an error.

    Raises
    ------
    InputError
        If `path` exists and is not `replaceable`, or cannot be written.
    """
    check_model_place(path, replaceable)
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield partial
        partial.chmod(0o777 & ~_umask())
        replace_folder(partial, path, lambda place: check_model_place(place, replaceable))
    except OSError as error:
        raise InputError(f"cannot write the model to {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def tensors_into(file: Path) -> Iterator[None]:
    """Turn what safetensors says of a full disk, which is an error of its own kind, into the system's."""
    try:
        with blamed_on(file):
            yield
    except SafetensorError as error:
        refused = re.search(r"os error ([0-9]+)", str(error))
        if refused is None:
            raise
        raise OSError(int(refused[1]), os.strerror(int(refused[1])), str(file)) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
