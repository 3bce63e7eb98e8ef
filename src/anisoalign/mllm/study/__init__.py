"""The study in miniature."""
