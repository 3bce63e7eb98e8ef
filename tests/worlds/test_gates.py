"""The promises of the world, on three scene seeds that were never looked at while it was tuned."""

from dataclasses import replace

import numpy as np
import pytest

from anisoalign.worlds import RenderedWorld, WorldPairs
from anisoalign.worlds.gates import GapGates, TransferGates, gap_gates, transfer_gates

ROWS = 10_000


@pytest.fixture(scope="module", params=[101, 102, 103])
def pairs(request: pytest.FixtureRequest) -> WorldPairs:
    return RenderedWorld.load().embed(rows=ROWS, seed=request.param)


def test_the_gap_is_like_that_of_large_models(pairs: WorldPairs) -> None:
    gap = gap_gates(pairs)
    assert not gap.broken(), gap


def test_alignment_matters_and_leaves_room(pairs: WorldPairs) -> None:
    transfer = transfer_gates(pairs)
    assert not transfer.broken(), transfer
    # room for better methods: second-order transport gains over ReAlign
    assert max(transfer.transport) > transfer.realign + 0.005, transfer


def test_gates_notice_what_they_should() -> None:
    rows = np.random.default_rng(0).normal(size=(1000, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    same = WorldPairs(image=rows, text=rows, label=np.zeros(1000, np.int64), label_name=[], caption=[])
    gap = gap_gates(same)
    assert gap.centroid_gap == pytest.approx(0, abs=1e-6)
    assert gap.recall_at_10 == 1
    assert {"centroid gap within 0.5 – 1.0", "paired cosine within 0.15 – 0.5"} <= set(gap.broken())
    good = GapGates(0.8, 0.4, 12.0, 0.2, 0.5)
    assert good.broken() == []
    assert replace(good, recall_at_10=0.3).broken() == ["recall at 10 at least 0.4"]
    transfer = TransferGates(0.5, 0.6, 0.65, 0.7, (0.6,))
    assert transfer.broken() == []
    assert len(replace(transfer, realign=0.51).broken()) == 1
    assert replace(transfer, oracle=0.71).broken() == ["oracle ≤ real images"]


def test_too_few_pairs_are_refused() -> None:
    rows = np.zeros((5, 8), np.float32)
    with pytest.raises(ValueError, match="recall among 1000"):
        gap_gates(WorldPairs(rows, rows, np.zeros(5, np.int64), [], []))
