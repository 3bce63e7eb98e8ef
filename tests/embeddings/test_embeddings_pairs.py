import numpy as np
import pytest
from made_sets import unit

from anisoalign.embeddings import InputError, open_embeddings, paired_tiles, read_pairs


@pytest.fixture
def both(make_set):
    """Two paired sets, cut into shards differently, with bad rows 4 and 9 in one and 4 and 11 in the other."""
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(20, 3)) * 5, rng.normal(size=(20, 4)) * 5
    x[[4, 9]], y[[4, 11]] = np.nan, 0
    return x, y, make_set([x[:9], x[9:]], name="x"), make_set([y[:2], y[2:11], y[11:]], name="y")


KEPT = np.delete(np.arange(20), [4, 9, 11])


def open_both(both, bad_rows="drop"):
    return [open_embeddings(path, name=path.name, bad_rows=bad_rows) for path in both[2:]]


def test_a_row_bad_in_one_set_goes_from_all_and_from_the_labels(both):
    pairs = read_pairs(open_both(both), labels=[f"l{i}" for i in range(20)])
    np.testing.assert_array_equal(pairs.rows, KEPT)
    assert pairs.labels == [f"l{i}" for i in KEPT]
    for values, truth in zip(pairs.values, both[:2], strict=True):
        np.testing.assert_allclose(values, unit(truth[KEPT]), rtol=1e-14)
    assert [(row.global_row, row.row, row.reason) for row in pairs.dropped] == [
        (4, 4, "holds NaN"),
        (9, 0, "holds NaN"),
        (4, 2, "is zero"),
        (11, 0, "is zero"),
    ]


@pytest.mark.parametrize("tile_rows", [1, 3, 7, 100])
def test_paired_tiles_hold_the_same_rows(both, tile_rows):
    seen = []
    for a, b in paired_tiles(open_both(both), np.float64, tile_rows):
        np.testing.assert_array_equal(a.rows, b.rows)
        assert len(a) <= tile_rows
        seen.append((a.values, b.values, a.rows))
    x, y, rows = (np.concatenate(part) for part in zip(*seen, strict=True))
    np.testing.assert_array_equal(rows, KEPT)
    np.testing.assert_allclose(x, unit(both[0][KEPT]), rtol=1e-14)
    np.testing.assert_allclose(y, unit(both[1][KEPT]), rtol=1e-14)


def test_paired_tiles_know_their_shards(both):
    for tiles in paired_tiles(open_both(both), tile_rows=4):
        for es, tile in zip(open_both(both), tiles, strict=True):
            assert es.shards[tile.shard].first_row + tile.start == tile.rows[0]


def test_bad_rows_of_pairs_are_errors_unless_dropped(both):
    with pytest.raises(InputError, match=r"part-0\.npy, shard 0, row 4 \(row 4 of the set\) holds NaN"):
        read_pairs(open_both(both, "error"))
    with pytest.raises(InputError, match="holds NaN"):
        list(paired_tiles(open_both(both, "error")))


def test_pairs_need_equal_lengths():
    x, y = open_embeddings(np.eye(3), name="x"), open_embeddings(np.eye(4), name="y")
    for attempt in (lambda: read_pairs([x, y]), lambda: list(paired_tiles([x, y]))):
        with pytest.raises(InputError, match="x has 3, y has 4"):
            attempt()
    with pytest.raises(InputError, match="2 labels for 3 rows of x"):
        read_pairs([x], labels=["a", "b"])


def test_pairs_without_a_good_row_are_refused():
    x = open_embeddings(np.array([[1.0, 0], [0, 0]]), name="x", bad_rows="drop")
    y = open_embeddings(np.array([[0.0, 0], [1, 0]]), name="y", bad_rows="drop")
    with pytest.raises(InputError, match="no row is good in all of x, y"):
        read_pairs([x, y])
