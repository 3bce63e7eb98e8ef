"""The card of a trained model, in Markdown."""

from __future__ import annotations

from typing import Any


def card(config: dict[str, Any]) -> str:
    """README.md of a model, from its `config.json`."""
    model, lm = config["model"], config["lm"]
    name = model["lm"] or "a language model of its own"
    where = (
        "in `lm/`"
        if lm["kind"] == "folder"
        else f"`{lm['name']}`" + (f" at {lm['revision']}" if lm["revision"] else "")
    )
    parts = [
        "---\nlibrary_name: anisoalign\ntags: [multimodal, modality-gap]\n---\n",
        f"# A language model that reads embeddings: {name}\n",
        f"* language model: {where}" + (", with the adapters in `adapter/`" if config["adapter"] else ""),
        f"* embeddings: width {config['width']}, {(config['encoder'] or {}).get('encoder', 'encoder not recorded')}, "
        f"{model['visual_tokens']} position(s) each",
        "* texts are turned into substitutes by the aligner in `aligner/`"
        if config["aligner"]
        else "* no aligner: embeddings are read as they come",
        "\n## Trained in\n\n| stage | learned | embeddings of | conversations | steps | lr | noise | last loss |",
        "|---|---|---|---|---|---|---|---|",
    ]
    parts += [_row(stage) for stage in config["stages"]]
    parts.append(
        "\n```python\nfrom anisoalign.mllm import load_mllm\n\n"
        'model = load_mllm("PATH")  # on a GPU where there is one; device="cpu" says otherwise\n'
        'print(model.ask("What is in the image?", embedding))  # a unit row of an image\n```\n'
    )
    parts.append(f"Written by anisoalign {config['library_version']}, schema version {config['schema_version']}.\n")
    return "\n".join(parts)


def _row(stage: dict[str, Any]) -> str:
    settings = stage["settings"]
    values = (
        stage["name"],
        settings["learns"],
        settings["side"],
        f"{stage['conversations']:,}",
        stage["steps"],
        settings["lr"],
        settings["noise"],
        f"{stage['last_loss']:.4f}",
    )
    return "| " + " | ".join(str(value) for value in values) + " |"
