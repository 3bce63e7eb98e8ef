"""The rows of the study's tables: from what embeddings, how much of it, and by whose answers a projector learns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One way to learn to see."""

    name: str
    """As in the tables."""
    key: str
    """As in the names of files."""
    source: str
    """`blind` (every picture is the same vector), `image` (real images), or an aligner as
    `anisoalign.aligners.registry.parse_method` takes it, for substitutes."""
    multiple: int = 1
    """How many times the texts of ×1."""
    tuned_on: str = "texts"
    """What is tuned on: `texts` (the row's own embeddings, conversations from captions), `true` (the same pictures
    with true answers) or `pictures` (a few real images with true answers)."""
    pretrained: bool = True
    """Whether the projector learns captions first."""
    dialled: bool = True
    """Whether an aligner that chose its strength itself is taken at full strength, as `train` does."""

    @property
    def shares(self) -> str:
        """What rows have in common that learn from the same embeddings: these, and the pretrained projector."""
        return self.key.removesuffix("-then-real").removesuffix("-told")


ALIGNERS = (
    ("No alignment", "raw", "identity"),
    ("Unicorn (mean shift)", "mean-shift", "mean-shift"),
    ("C3", "c3", "c3"),
    ("ReAlign", "realign", "realign"),
    ("Gaussian transport", "transport", "gaussian-transport"),
    ("AnisoAlign, paper", "paper", "aniso-align:paper"),
    ("AnisoAlign, default", "default", "aniso-align"),
)
"""Name, key and aligner of the rows that learn from text alone."""

BLIND = Row("Blind", "blind", "blind")
REAL = Row("Real images", "image", "image", tuned_on="true")
"""With answers that are true of the pictures, as who annotates pictures gives them."""

TEXT_ONLY = (
    BLIND,
    *(Row(*entry) for entry in ALIGNERS),
    Row("AnisoAlign, as for search", "strength-auto", "aniso-align", dialled=False),
    REAL,
    Row("Real images, captions' answers", "image-told", "image"),
)
"""Table 1: pretraining and tuning on the row's own embeddings of texts."""

ABLATION = (
    Row("initialisation", "init", "aniso-align:paper,terms=init"),
    Row("+ refinement", "init-refine", "aniso-align:paper,terms=init+refine"),
    Row("+ refinement, L_II", "init-refine-prior", "aniso-align:paper,terms=init+refine+prior"),
    Row("+ refinement, L_Φ", "init-refine-phase", "aniso-align:paper,terms=init+refine+phase"),
)
"""Table 2, with `AnisoAlign, paper` as its last row."""

THEN_REAL = (
    Row("No pretraining", "none-then-real", "image", tuned_on="pictures", pretrained=False),
    *(Row(name, f"{key}-then-real", source, tuned_on="pictures") for name, key, source in ALIGNERS),
    Row("Real images", "image-then-real", "image", tuned_on="pictures"),
)
"""Table 3: pretraining on texts, then tuning on a few real images with true answers."""

SCALING = tuple(
    Row(f"{name}, text ×{multiple}", f"{key}-x{multiple}", source, multiple)
    for name, key, source in (ALIGNERS[3], ALIGNERS[-1])
    for multiple in (2, 4)
)
"""Table 4: more texts, beside ×1 and as many real pairs as ×1, all tuned on their own embeddings."""

SCALING_THEN_REAL = tuple(
    Row(f"AnisoAlign, default, text ×{multiple}", f"default-x{multiple}-then-real", "aniso-align", multiple, "pictures")
    for multiple in (2, 4)
)
"""The same, tuned on a few real images as in Table 3; the paper's own way of scaling."""

ALL = (*TEXT_ONLY, *ABLATION, *THEN_REAL, *SCALING, *SCALING_THEN_REAL)

TABLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "text_only": ("Training on text alone", tuple(row.key for row in TEXT_ONLY)),
    "ablation": ("What the parts of the published method do", (*(row.key for row in ABLATION), "paper")),
    "then_real": ("Pretraining on text alone, then tuning on real images", tuple(row.key for row in THEN_REAL)),
    "scaling": (
        "More text",
        (
            *("realign", "realign-x2", "realign-x4"),
            *("default", "default-x2", "default-x4", "image"),
            *("default-then-real", "default-x2-then-real", "default-x4-then-real", "image-then-real"),
        ),
    ),
}
"""Title and rows of each table, in order."""

FLOORS = {"text_only": "realign", "ablation": "init", "then_real": "realign-then-real", "scaling": "realign"}
"""The row that each table's differences are taken from."""

CLAIMS = (
    ("blind", "raw"),
    ("raw", "mean-shift"),
    ("raw", "c3"),
    ("mean-shift", "realign"),
    ("c3", "realign"),
    ("realign", "paper"),
    ("realign", "default"),
    ("default", "image"),
    ("init", "init-refine"),
    ("init-refine", "init-refine-prior"),
    ("init-refine", "init-refine-phase"),
    ("init-refine-prior", "paper"),
    ("raw-then-real", "c3-then-real"),
    ("c3-then-real", "realign-then-real"),
    ("realign-then-real", "paper-then-real"),
    ("realign-then-real", "default-then-real"),
    ("default-then-real", "image-then-real"),
    ("image", "default-x2"),
    ("image", "default-x4"),
)
"""Pairs of rows of which the paper says that the second is better, or hopes to be: its order, step by step."""
