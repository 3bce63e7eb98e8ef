"""AnisoAlign: phase prior of the target, bounded refinement of the source, calibration (arXiv 2605.07825)."""
