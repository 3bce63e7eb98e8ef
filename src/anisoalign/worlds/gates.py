"""What the world promises: a gap like that of large models, and room between raw text and real images.

Used by the tests, which hold the shipped weights to it, and by `benchmarks/world_gates.py`, which prints it.
"""

from dataclasses import asdict, dataclass

import numpy as np

from anisoalign.aligners import GaussianTransport, ReAlign
from anisoalign.aligners.oracle import Ridge
from anisoalign.diagnostics.label_transfer import label_transfer
from anisoalign.diagnostics.neighbours import ranks_of
from anisoalign.geometry import anisotropy, effective_dimension, eigenvalues

from .world import WorldPairs

STRENGTHS = (0.25, 0.5, 0.75, 1.0)
"""Strengths t of the transport whose label transfer is measured beside the gates."""


@dataclass(frozen=True)
class GapGates:
    """The gap of embedded pairs (docs/what-the-numbers-mean.md), on unit rows."""

    centroid_gap: float
    """‖μx − μy‖; promised 0.5 – 1.0."""
    paired_cosine: float
    """Mean cosine of an image and its text; promised 0.15 – 0.5."""
    residual_anisotropy: float
    """λ1(Σr) / (tr Σr / d); promised at least 10."""
    effective_dimension: float
    """tr(Σr)² / tr(Σr²) / d; promised at most 0.35."""
    recall_at_10: float
    """Share of texts whose own image is among the ten nearest of 1,000; promised at least 0.4."""

    def broken(self) -> list[str]:
        """Return the promises not kept, in words; none if all are."""
        kept = {
            "centroid gap within 0.5 – 1.0": 0.5 <= self.centroid_gap <= 1.0,
            "paired cosine within 0.15 – 0.5": 0.15 <= self.paired_cosine <= 0.5,
            "residual anisotropy at least 10": self.residual_anisotropy >= 10,
            "effective dimension at most 0.35": self.effective_dimension <= 0.35,
            "recall at 10 at least 0.4": self.recall_at_10 >= 0.4,
        }
        return [promise for promise, is_kept in kept.items() if not is_kept]


@dataclass(frozen=True)
class TransferGates:
    """Label transfer: accuracy on real test images, trained on ….

    Promised: raw text < ReAlign < paired oracle ≤ real images, at least 0.03 from raw text to ReAlign and at
    least 0.02 from ReAlign to real images.
    """

    raw: float
    """Texts as they are."""
    realign: float
    """Texts through `anisoalign.aligners.ReAlign`, fitted unpaired."""
    oracle: float
    """Texts through `anisoalign.aligners.oracle.Ridge`, fitted on their own images."""
    real: float
    """Real images of other scenes."""
    transport: tuple[float, ...]
    """Texts through `anisoalign.aligners.GaussianTransport` at each of `STRENGTHS`; nothing is promised."""

    def broken(self) -> list[str]:
        """Return the promises not kept, in words; none if all are."""
        kept = {
            "raw text < ReAlign < oracle": self.raw < self.realign < self.oracle,
            "oracle ≤ real images": self.oracle <= self.real,
            "at least 0.03 from raw text to ReAlign": self.realign - self.raw >= 0.03,
            "at least 0.02 from ReAlign to real images": self.real - self.realign >= 0.02,
        }
        return [promise for promise, is_kept in kept.items() if not is_kept]


def gap_gates(pairs: WorldPairs, pool: int = 1000) -> GapGates:
    """Measure the gap of embedded pairs; recall is averaged over disjoint pools of ``pool`` pairs.

    Raises
    ------
    ValueError
        If there are fewer than ``pool`` pairs.
    """
    if len(pairs) < pool:
        raise ValueError(f"recall among {pool} needs as many pairs, got {len(pairs)}")
    image, text = pairs.image.astype(np.float64), pairs.text.astype(np.float64)
    gap = image.mean(axis=0) - text.mean(axis=0)
    residual = image - text - gap
    spectrum = eigenvalues(residual.T @ residual / len(residual))
    return GapGates(
        centroid_gap=float(np.linalg.norm(gap)),
        paired_cosine=float(np.einsum("ij,ij->i", image, text).mean()),
        residual_anisotropy=anisotropy(spectrum),
        effective_dimension=effective_dimension(spectrum),
        recall_at_10=_recall(image, text, pool),
    )


def transfer_gates(pairs: WorldPairs, seed: int = 0) -> TransferGates:
    """Measure label transfer by the protocol of docs/benchmarks.md.

    Rows are permuted with ``default_rng(seed)``: the first 40 % give images to the fit, the next 40 % texts,
    the last 20 % are tested. The shrinkage and rank of the transport are those of that section.
    """
    order = np.random.default_rng(seed).permutation(len(pairs))
    of_images, of_texts, tested = np.split(order, [int(0.4 * len(order)), int(0.8 * len(order))])
    image, text = pairs.image[of_images], pairs.text[of_texts]

    def accuracy(rows: np.ndarray, numbers: np.ndarray = of_texts) -> float:
        return label_transfer(rows, pairs.label[numbers], pairs.image[tested], pairs.label[tested])

    transports = [
        GaussianTransport(rank=0.95, shrinkage=0.3, strength=strength).fit(text, image) for strength in STRENGTHS
    ]
    return TransferGates(
        raw=accuracy(text),
        realign=accuracy(ReAlign().fit(text, image).transform(text)),
        oracle=accuracy(Ridge().fit(text, pairs.image[of_texts]).transform(text)),
        real=accuracy(image, of_images),
        transport=tuple(accuracy(transport.transform(text)) for transport in transports),
    )


def to_dict(gap: GapGates, transfer: TransferGates) -> dict[str, float]:
    """Both measurements as one flat object."""
    flat = {**asdict(gap), **asdict(transfer)}
    strengths = flat.pop("transport")
    return {**flat, **{f"transport_{t}": value for t, value in zip(STRENGTHS, strengths, strict=True)}}


def _recall(image: np.ndarray, text: np.ndarray, pool: int) -> float:
    hits = [
        ranks_of(text[start : start + pool], image[start : start + pool], np.arange(pool)) < 10
        for start in range(0, len(image) - pool + 1, pool)
    ]
    return float(np.mean(hits))
