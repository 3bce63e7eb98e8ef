"""What is held no longer than it is needed: the largest arrays of a pass and of a fit."""

import gc
import weakref

import numpy as np

from anisoalign.aligners import AnisoAlign
from anisoalign.embeddings import EmbeddingSet
from anisoalign.statistics import passes


def test_what_sums_tiles_goes_with_its_pass_and_does_not_wait_for_the_collector(monkeypatch):
    seen = []

    class Watched(passes.OwnMoments):
        def __init__(self, order):
            super().__init__(order)
            seen.append(weakref.ref(self))

    monkeypatch.setattr(passes, "OwnMoments", Watched)
    gc.disable()
    try:
        # Wide enough for compiled sweeps, whose scratch memory this is about.
        passes.measure(np.random.default_rng(0).normal(size=(9000, 128)).astype(np.float32), dtype="float32")
        assert seen
        assert [one for one in seen if one() is not None] == []
    finally:
        gc.enable()


def test_samples_are_gone_when_all_sources_are_passed_over(monkeypatch):
    samples, held, reached = [], [], []
    take, calibrate = EmbeddingSet.sample, AnisoAlign.calibrate

    def watched(self, *arguments):
        rows = take(self, *arguments)
        samples.append(weakref.ref(rows))
        return rows

    def looking(self, *arguments, **options):
        reached.append(self)
        held.extend(one for one in samples if one() is not None)
        return calibrate(self, *arguments, **options)

    monkeypatch.setattr(EmbeddingSet, "sample", watched)
    monkeypatch.setattr(AnisoAlign, "calibrate", looking)
    rows = np.random.default_rng(0).normal(size=(400, 8)) * np.linspace(2, 0.5, 8)
    AnisoAlign(fit_rows=100, strength=0.5).fit(rows[:200] + 1, rows[200:] - 1)
    assert len(samples) == 2
    assert len(reached) == 1  # or nobody looked
    assert held == []
