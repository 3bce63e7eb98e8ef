"""An example for the help of each command, on what a demo leaves or on files of the user's own."""

from __future__ import annotations

_BOTH = "--source demo/text.npy --target demo/image.npy"

EXAMPLES: dict[str, tuple[str, ...]] = {
    "demo": ("anisoalign demo --rows 1000 --repeats 2",),
    "diagnose": (f"anisoalign diagnose {_BOTH} --paired",),
    "fit": (
        f"anisoalign fit aniso-align {_BOTH} --out model",
        f"anisoalign fit gaussian-transport:strength=0.5 {_BOTH} --out model",
    ),
    "transform": ("anisoalign transform model --source demo/text.npy --out aligned.npy",),
    "evaluate": (f"anisoalign evaluate {_BOTH} --aligned aligned.npy --paired",),
    "compare": (f"anisoalign compare {_BOTH} --paired --repeats 3 --report page.html",),
    "report": ("anisoalign report demo/results.json --out page.html",),
    "explore": (f"anisoalign explore model {_BOTH} --paired --source-captions demo/caption.txt",),
    "encode": ("anisoalign encode hf:openai/clip-vit-base-patch32 --images photos --out embeddings",),
    "convert": ("anisoalign convert demo/text.npy text.parquet",),
    "export": ("anisoalign export model --to onnx --out model.onnx",),
    "train": ("anisoalign train settings.toml --out run",),
    "ask": ('anisoalign ask run "What is in the picture?" --image photo.jpg',),
    "score": ("anisoalign score run questions.jsonl --embeddings images.parquet",),
    "plan": (f"anisoalign plan aniso-align {_BOTH}",),
    "env": ("anisoalign env --json",),
}
"""Commands by name; those on `demo/` run as they stand after `anisoalign demo`."""


def example_of(name: str) -> str:
    """The end of a command's help, its lines kept as they are."""
    lines = EXAMPLES.get(name, ())
    head = "Example:" if len(lines) == 1 else "Examples:"
    return "\b\n" + "\n".join([head, *(f"  {line}" for line in lines)]) if lines else ""
