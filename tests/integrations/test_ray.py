"""Ray carries out the passes on two workers: the same bits as one process, also where a worker is killed on the way."""

import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import anisoalign as aa
from anisoalign.aligners.saving import aligner_fingerprint
from anisoalign.cli import main
from anisoalign.embeddings import InputError, open_embeddings
from anisoalign.scale import on_ray
from anisoalign.statistics import Moments, measure

pytestmark = [
    pytest.mark.integration,
    # Ray's own: settings that it warns of while reading its own defaults, handles that it leaves to be collected.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Sharded(NamedTuple):
    """Folders of nine and of four shards."""

    source: Path
    target: Path


@pytest.fixture(scope="module")
def ray():
    """One small Ray for all tests of this file; later blocks of `on_ray` use it as it is."""
    from ray import cloudpickle

    # Workers cannot import a test: what it defines travels with what is sent.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with on_ray(num_cpus=2, object_store_memory=100_000_000) as engine:
        yield engine


@pytest.fixture(scope="module")
def sharded(tmp_path_factory, write_shards, make_planted) -> Sharded:
    data = make_planted(rows=900, dim=16)
    folder = tmp_path_factory.mktemp("sets")
    return Sharded(
        write_shards(folder / "source", data.source.astype(np.float32), [20 * (i + 1) for i in range(9)]),
        write_shards(folder / "target", data.target.astype(np.float16), [225] * 4),
    )


class Lethal:
    """Kills, once, the process that first maps rows: as an operator, or a cloud that wants its machine back, would."""

    def __init__(self, marker: Path):
        self.marker = marker

    def strike(self) -> None:
        try:
            self.marker.touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    def __call__(self):
        def summary(tile):
            self.strike()
            return Moments.empty(tile.values.shape[1]).update(tile.values)

        return summary


class LethalShift(aa.MeanShift):
    """A mean shift that kills, once, the process that applies it."""

    marker = ""

    def tile_mapping(self, dtype, first_row=0, out_dtype="float32"):
        move = super().tile_mapping(dtype, first_row, out_dtype)

        def strike_and_move(tile):
            if tile.shard == 5:
                Lethal(Path(self.marker)).strike()
            return move(tile)

        return strike_and_move


def same_files(a: Path, b: Path) -> None:
    names = sorted(path.name for path in a.iterdir())
    assert names == sorted(path.name for path in b.iterdir())
    for name in names:
        assert (a / name).read_bytes() == (b / name).read_bytes(), name


@pytest.mark.parametrize("workers", [1, 2])
def test_fit_and_transform_have_the_bits_of_one_process(ray, sharded, tmp_path, workers):
    here = aa.AnisoAlign(strength=0.5).fit(sharded.source, sharded.target)
    here.transform(sharded.source, tmp_path / "here")
    with on_ray(workers=workers):
        there = aa.AnisoAlign(strength=0.5).fit(sharded.source, sharded.target)
        there.transform(sharded.source, tmp_path / "there")
    np.testing.assert_array_equal(here.calibration_mean_, there.calibration_mean_)
    same_files(tmp_path / "here", tmp_path / "there")


def test_the_passes_of_the_published_method_have_the_bits_of_one_process(ray, sharded):
    model = partial(aa.AnisoAlign.paper, rank=4, fit_rows=100, prior_steps=5, refine_steps=5, force=True)
    here = model().fit(sharded.source, sharded.target)
    with on_ray(workers=2):
        there = model().fit(sharded.source, sharded.target)
    assert aligner_fingerprint(here) == aligner_fingerprint(there)


def test_a_worker_killed_in_a_pass_over_moments_changes_nothing(ray, sharded, tmp_path):
    marker = tmp_path / "killed"
    here = measure(open_embeddings(sharded.source))
    with on_ray():
        there = measure(open_embeddings(sharded.source), summary=Lethal(marker))
    assert marker.exists()
    assert here.n == there.n
    np.testing.assert_array_equal(here.m2, there.m2)


def test_a_worker_killed_while_it_writes_changes_nothing(ray, sharded, tmp_path):
    model = LethalShift().fit(np.eye(16), np.eye(16) + 1)
    model.marker = str(tmp_path / "killed")
    with on_ray():
        model.transform(sharded.source, tmp_path / "there")
    assert (tmp_path / "killed").exists()
    model.transform(sharded.source, tmp_path / "here")
    same_files(tmp_path / "here", tmp_path / "there")


def test_a_fault_of_the_input_is_told_as_here(ray, sharded, tmp_path):
    model = aa.MeanShift().fit(sharded.source, sharded.target)
    folder = tmp_path / "bad"
    folder.mkdir()
    for path in sharded.source.iterdir():
        rows = np.load(path)
        if path.name == "part-006.npy":
            rows[7] = np.inf
        np.save(folder / path.name, rows)
    with on_ray(), pytest.raises(InputError, match=r"part-006.npy, shard 6, row 7 .*holds an infinite value"):
        model.transform(folder, tmp_path / "out")
    assert not list(tmp_path.glob("out*"))


def test_the_commands_run_on_ray(ray, sharded, tmp_path, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["anisoalign", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, capsys.readouterr()

    both = ("--source", sharded.source, "--target", sharded.target)
    engine = ("--engine", "ray")
    assert run("fit", "realign", *both, "--out", tmp_path / "m", *engine)[0] == 0
    assert (
        run("transform", tmp_path / "m", "--source", f"file://{sharded.source}", "--out", tmp_path / "z", *engine)[0]
        == 0
    )
    scores = ("evaluate", *both, "--aligned", tmp_path / "z", "--paired", "--json", "--bad-rows", "drop")
    assert run(*scores, *engine)[1].out == run(*scores)[1].out
    assert run("diagnose", *both, "--json", *engine)[1].out == run("diagnose", *both, "--json")[1].out
    code, streams = run("diagnose", *both, "--paired", *engine)
    assert code == 2
    assert "one process" in streams.err
