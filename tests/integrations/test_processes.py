"""Two processes of torchrun fit what one process fits: the same statistics, the same losses to 1e-4."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import anisoalign as aa

pytestmark = pytest.mark.integration

VARIANTS = {
    "paper": ("aniso-align:paper", "prior_steps=300", "refine_steps=200"),
    "coupled losses": (
        "aniso-align:strength=1.0",
        "terms=init+guide+refine+prior+phase+support+structure",
        "prior_steps=200",
        "refine_steps=200",
    ),
    "auto": ("aniso-align",),
}


def fitted(folder, method, settings, count):
    """Fit by a command, in one process or in several."""
    words = ["-m", "anisoalign", "fit", method, "--source", "source", "--target", "target", "--out", f"model-{count}"]
    words += [word for setting in settings for word in ("--set", setting)]
    several = ["-m", "torch.distributed.run", "--nproc-per-node", str(count), "--master-port", "0", "--standalone"]
    command = [sys.executable, *(several if count > 1 else []), *words]
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert ended.stderr.count("fitted AnisoAlign") == 1
    return aa.load(folder / f"model-{count}")


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_processes_agree_with_one(variant, tmp_path, write_shards, make_planted):
    data = make_planted(rows=1501, dim=24)
    write_shards(tmp_path / "source", data.source.astype(np.float32), [500, 500, 501])
    write_shards(tmp_path / "target", data.target.astype(np.float32), [701, 800])
    method, *settings = VARIANTS[variant]
    one, two = (fitted(tmp_path, method, settings, count) for count in (1, 2))
    np.testing.assert_array_equal(one.start_source_mean_, two.start_source_mean_)
    assert one.strength_ == two.strength_
    if one.polar_config_ is not None:
        notes, again = one.polar_config_["notes"], two.polar_config_["notes"]
        assert notes.keys() == again.keys()
        losses = 0
        for name in ("prior_held_out", "refinement_losses"):
            if name in notes:
                np.testing.assert_allclose(again[name], notes[name], rtol=1e-4)
                losses += len(notes[name])
        assert losses > 4
        np.testing.assert_allclose(again["prior_without_network"], notes["prior_without_network"], rtol=1e-4)
    rows = data.source.astype(np.float32)
    assert np.einsum("ij,ij->i", one.transform(rows), two.transform(rows)).min() > 0.9999
    assert json.loads((tmp_path / "model-2" / "config.json").read_text())["method"] == "aniso-align"


def test_bad_input_ends_all_processes(tmp_path, write_shards, make_planted):
    data = make_planted(rows=400, dim=24)
    source = data.source.astype(np.float32)
    source[301] = np.nan
    write_shards(tmp_path / "source", source, [200, 200])
    write_shards(tmp_path / "target", data.target.astype(np.float32), [400])
    words = ["-m", "anisoalign", "fit", "realign", "--source", "source", "--target", "target", "--out", "model"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", *words]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode != 0
    assert "part-001.npy, shard 1, row 101" in ended.stderr
    assert not (tmp_path / "model").exists()
