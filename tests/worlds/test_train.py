"""Training: deterministic, it learns, and what the command writes can be opened."""

import numpy as np
import pytest
import torch

from anisoalign.worlds import RenderedWorld
from anisoalign.worlds import train as training


def test_three_steps_train_save_and_load(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "towers"
    assert training.main(["--out", str(out), "--seed", "5", "--steps", "3", "--batch", "64"]) == 0
    assert "step 3/3" in capsys.readouterr().err
    world = RenderedWorld.load(out)
    assert world.provenance["steps"] == 3
    assert world.provenance["seed"] == 5
    assert world.embed(rows=10).image.shape == (10, 256)


def test_the_same_seed_gives_the_same_towers() -> None:
    settings = training.TrainSettings(seed=1, steps=2, batch=32)
    first, second = training.train(settings), training.train(settings)
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_the_loss_falls() -> None:
    losses: list[float] = []
    settings = training.TrainSettings(steps=12, batch=128)
    training.train(settings, lambda _, loss: losses.append(loss))
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])


def test_the_loss_is_that_of_the_definition() -> None:
    rows = torch.nn.functional.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    images, texts = rows[:3], rows[3:]
    cosine = (images @ texts.T).double().numpy()
    p = np.exp(7 * cosine)
    expected = -(np.log(np.diag(p) / p.sum(1)) + np.log(np.diag(p) / p.sum(0))).mean() / 2
    assert training.contrastive_loss(images, texts, 7.0).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("arguments", [[], ["--out", "x", "--steps", "0"], ["--out", "x", "--batch", "1"]])
def test_bad_usage_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        training.main(arguments)
    assert stopped.value.code == 2


def test_scenes_come_again_only_where_asked() -> None:
    settings = training.TrainSettings(batch=16)
    first, second = (training.training_batch(settings, step, training.TRAINING)[0] for step in (0, 4))
    assert not torch.equal(first, second)
    again = training.TrainSettings(batch=16, scenes=64)
    assert torch.equal(training.training_batch(again, 4, training.TRAINING)[0], first)
