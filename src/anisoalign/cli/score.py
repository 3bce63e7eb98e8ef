"""`anisoalign score`: how well a trained model answers the questions of a benchmark."""

from __future__ import annotations

import json as json_
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from anisoalign.cli import bars, checks, messages, opening, options


class Side(StrEnum):
    """What embeddings are of."""

    image = "image"
    text = "text"
    substitute = "substitute"


SideOption = Annotated[
    Side, typer.Option("--side", help="What the embeddings are of; those of texts are moved by the model's aligner.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
LmOption = Annotated[
    str | None,
    typer.Option("--lm", help="Where the language model is now, if not where it was; its weights must agree."),
]


def score(
    model: Annotated[Path, typer.Argument(help="Folder of a trained model, or of a run.")],
    bench: Annotated[Path, typer.Argument(help="JSONL: id, question, answer or choices, perhaps group; see the docs.")],
    embeddings: Annotated[
        Path | None,
        typer.Option(
            "--embeddings",
            parser=options.parse_place,
            metavar="PATH",
            help="A file or folder of shards with ids, or a URI; left out: asked blindly.",
        ),
    ] = None,
    side: SideOption = Side.image,
    column: Annotated[str | None, typer.Option("--column", help="Column or key of the vectors.")] = None,
    id_column: Annotated[str | None, typer.Option("--id-column", help="Column of their ids.")] = None,
    predictions: Annotated[
        Path | None, typer.Option("--predictions", help="Also write what was said to each question, as JSONL.")
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Questions at a time.")] = 32,
    tokens: Annotated[
        int | None,
        typer.Option(
            "--max-new-tokens",
            min=1,
            help="Length of an answer at most; left out: that of the longest right one of its kind, and at least 8 for "
            "yes or no, 32 for a short answer, 64 for a caption.",
        ),
    ] = None,
    json: options.JsonOption = False,
    lm: LmOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Ask a trained model the questions of a benchmark; print accuracies, precision and recall, CIDEr-D, by group."""
    checks.check_extra("mllm")
    checks.check_file(predictions)
    from anisoalign.devices import find_device
    from anisoalign.embeddings import InputError
    from anisoalign.mllm import load_mllm
    from anisoalign.mllm.questions import read_questions
    from anisoalign.mllm.scoring import score as measure

    if predictions is not None and predictions.exists():
        raise InputError(f"{predictions} already exists; it is left alone")
    questions = read_questions(bench)
    loaded = load_mllm(model, device=str(find_device(device, "--device")), lm=lm)
    messages.say(f"{len(questions):,} questions" + ("" if embeddings else ", asked blindly: no --embeddings"))
    with bars.progress("questions", len(questions)) as done, opening.column_named_by("--column"):
        found = measure(
            loaded,
            bench,
            embeddings,
            side=side.value,
            column=column,
            id_column=id_column,
            batch_size=batch_size,
            max_new_tokens=tokens,
            progress=bars.in_all(done),
        )
    if json:
        messages.print_json(found.to_dict())
    else:
        _print({"all": found.kinds, **found.groups})
    if predictions is not None:  # last: the numbers are told even if this fails
        _write(
            predictions,
            [{"id": q.id, "question": q.text, "said": s} for q, s in zip(questions, found.predictions, strict=True)],
        )


def _print(groups: dict[str, dict[str, dict[str, float]]]) -> None:
    for group, kinds in groups.items():
        for kind, metrics in kinds.items():
            shown = "  ".join(f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v:,}" for k, v in metrics.items())
            print(f"{group:20} {kind:8} {shown}")


def _write(path: Path, records: list[dict[str, str]]) -> None:
    from anisoalign.embeddings.atomic import writable, write_synced

    with writable(path):
        write_synced(path, "".join(json_.dumps(record, ensure_ascii=False) + "\n" for record in records))
