"""How far apart two sets are (gap), and how good an alignment is (alignment)."""

from anisoalign.diagnostics.alignment import AlignmentReport, alignment_metrics
from anisoalign.diagnostics.controls import control_transforms, measure_controls
from anisoalign.diagnostics.diagnosing import diagnose
from anisoalign.diagnostics.evaluating import evaluate
from anisoalign.diagnostics.gap import GapReport, gap_from_moments
from anisoalign.diagnostics.label_transfer import cross_fitted_label_transfer, label_transfer
from anisoalign.diagnostics.mixing import mixing
from anisoalign.diagnostics.neighbours import neighbours

__all__ = [
    "AlignmentReport",
    "GapReport",
    "alignment_metrics",
    "control_transforms",
    "cross_fitted_label_transfer",
    "diagnose",
    "evaluate",
    "gap_from_moments",
    "label_transfer",
    "measure_controls",
    "mixing",
    "neighbours",
]
