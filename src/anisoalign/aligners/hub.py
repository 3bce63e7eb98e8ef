"""Fitted models on the Hugging Face Hub, on top of `saving`: what is uploaded is what `save` writes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anisoalign.aligners.saving import CARD, CONFIG, WEIGHTS, card_of, load
from anisoalign.embeddings import InputError
from anisoalign.places import expanded

if TYPE_CHECKING:
    from anisoalign.aligners.base import Aligner


def _hub() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise InputError('the Hugging Face Hub needs huggingface_hub: pip install "anisoalign[hub]"') from error
    return huggingface_hub


def pull(repo_or_path: str | Path, *, revision: str | None = None, **options: Any) -> Aligner:
    """Model in a local folder, or in a repository of the Hub.

    Only `config.json` and `model.safetensors` are fetched, and nothing is unpickled.

    Parameters
    ----------
    repo_or_path : str or path
        A folder, if there is one of that name, else "user/name".
    revision : str, optional
        Branch, tag or commit.
    **options
        Passed to `huggingface_hub.snapshot_download`: ``token``, ``cache_dir``, ``local_files_only``.

    Raises
    ------
    InputError
        If there is no such folder or repository, or it holds no model of this library.
    """
    if expanded(repo_or_path).is_dir():
        return load(repo_or_path)
    hub = _hub()
    try:
        folder = hub.snapshot_download(
            str(repo_or_path), revision=revision, allow_patterns=[CONFIG, WEIGHTS], **options
        )
    except (
        hub.errors.HFValidationError,
        hub.errors.RepositoryNotFoundError,
        hub.errors.RevisionNotFoundError,
    ) as error:
        raise InputError(f"{repo_or_path} is neither a folder here nor a model on the Hub: {error}") from error
    except hub.errors.LocalEntryNotFoundError as error:
        raise InputError(f"{repo_or_path} is no folder here, and the Hub cannot be reached: {error}") from error
    return load(folder)


def push(
    model: Aligner,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    message: str = "Upload an aligner",
) -> str:
    """Upload what `save` writes, with a card that names the repository; returns the address of the commit.

    Parameters
    ----------
    repo_id : str
        "user/name"; made if it is not there.
    private : bool, optional
        Of a new repository; the account's default otherwise.
    revision : str, optional
        Branch; the main one by default.

    Raises
    ------
    InputError
        If huggingface_hub is not installed, `repo_id` is no name of a repository, or the model is the targets' side of
        another, which is what can be saved.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        model.save(path)
        (path / CARD).write_text(card_of(model, repo_id), encoding="utf-8")
        hub = _hub()
        api = hub.HfApi(token=token)
        try:
            repo = api.create_repo(repo_id, private=private, exist_ok=True)
        except hub.errors.HFValidationError as error:
            raise InputError(f"{repo_id!r} is no name of a repository: {error}") from error
        done = api.upload_folder(repo_id=repo.repo_id, folder_path=path, revision=revision, commit_message=message)
    return str(done.commit_url)
