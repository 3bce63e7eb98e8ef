"""The towers on disk: float16 weights in safetensors, and beside them a JSON of settings and provenance."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from .towers import TowerSettings, TwoTowers
from .vocabulary import WORDS

SCHEMA_VERSION = 1
SHIPPED = Path(__file__).parent
"""The folder of the weights that come with the package."""


def save_towers(towers: TwoTowers, folder: Path, provenance: dict) -> None:
    """Write ``weights.safetensors`` (float16) and ``weights.json`` into a folder, made if need be.

    Parameters
    ----------
    towers
        The two trained towers.
    folder
        Where to write; files of the same names are replaced.
    provenance
        How the weights came to be, as JSON values: command, seed, steps, ….
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: value.detach().half().contiguous()
        for name, value in towers.state_dict().items()
        if value.is_floating_point()
    }
    (folder / "weights.safetensors").write_bytes(save(tensors))
    described = {
        "schema_version": SCHEMA_VERSION,
        "provenance": provenance,
        "settings": towers.settings.to_dict(),
        "words": list(WORDS),
    }
    (folder / "weights.json").write_text(json.dumps(described, indent=1) + "\n")


def load_towers(folder: Path = SHIPPED) -> tuple[TwoTowers, dict]:
    """Read the towers back, as float32 and ready to embed, with the JSON that described them.

    Raises
    ------
    FileNotFoundError
        If either file is missing.
    ValueError
        If the files were written by another version, or for other words than the world now uses.
    """
    described = json.loads((folder / "weights.json").read_text())
    if described["schema_version"] != SCHEMA_VERSION:
        found = described["schema_version"]
        raise ValueError(f"{folder}/weights.json: schema_version {found}, this code reads {SCHEMA_VERSION}")
    if tuple(described["words"]) != WORDS:
        raise ValueError(f"{folder}/weights.json: trained on other words than the world now uses")
    settings = described["settings"]
    towers = TwoTowers(TowerSettings(**{**settings, "channels": tuple(settings["channels"])}))
    tensors = load_file(folder / "weights.safetensors")
    missing, unexpected = towers.load_state_dict(
        {name: value.to(torch.float32) for name, value in tensors.items()}, strict=False
    )
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise ValueError(f"{folder / 'weights.safetensors'}: missing {missing}, unexpected {unexpected}")
    return towers.eval(), described
