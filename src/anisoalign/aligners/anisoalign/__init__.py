"""AnisoAlign: phase prior of the target, bounded refinement of the source, calibration (method.md section 4)."""
