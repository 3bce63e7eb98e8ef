"""Devices by their names, looked for before any work is done."""

from __future__ import annotations

import re

import torch

from anisoalign.embeddings import InputError


def find_device(name: str, called: str = "device") -> torch.device:
    """The device of a name; "auto" is a GPU where there is one.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda", "cuda:N"}
    called : str
        What the user knows the setting by.

    Raises
    ------
    InputError
        For a name that is none, or a GPU that is not there.

    Examples
    --------
    >>> find_device("cpu")
    device(type='cpu')
    """
    if not (isinstance(name, str) and re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", name)):
        raise InputError(f"{called} must be auto, cpu, cuda or cuda:N, not {name!r}")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if there else "cpu")
    if name.startswith("cuda") and int(name.partition(":")[2] or 0) >= there:
        raise InputError(f"{called} {name} is not there: PyTorch finds {there} CUDA device(s) on this machine")
    return torch.device(name)
