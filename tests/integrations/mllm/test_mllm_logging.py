"""Losses go to wandb or trackio, where they are asked to, and a run that goes on is one run there too."""

import sys
from types import ModuleType

import pytest
from training_runs import STAGE, Killed, kill_at

from anisoalign.mllm import StageSettings, train

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("library", ["wandb", "trackio"])
def test_losses_go_where_they_are_asked_to(world, make_model, monkeypatch, library):
    ids, lines, ended = world.ids, [], []

    class Run:
        def log(self, values, step):
            lines.append((step, values["loss"]))

        def finish(self):
            ended.append(True)

    module = ModuleType(library)
    module.init = lambda project, name, config, resume, id="": Run()
    monkeypatch.setitem(sys.modules, library, module)
    log = train(make_model(), world.talks, (world.text, ids), StageSettings(log_to=library, **STAGE))
    assert lines == [(record["step"], record["loss"]) for record in log.records]
    assert ended == [True]


@pytest.mark.parametrize(("library", "found_by"), [("wandb", "id"), ("trackio", "name")])
def test_a_run_that_goes_on_is_the_same_run_where_losses_go(
    world, make_model, monkeypatch, tmp_path, library, found_by
):
    begun = []

    class Run:
        def log(self, values, step):
            pass

        def finish(self):
            pass

    module = ModuleType(library)
    module.init = lambda **given: begun.append(given) or Run()
    monkeypatch.setitem(sys.modules, library, module)
    settings = StageSettings(log_to=library, checkpoint_every=3, **STAGE)
    data = world.folder / "talks.json", world.folder / "text.npy"
    with pytest.raises(Killed):
        train(make_model(), *data, settings, out=tmp_path / "one", progress=kill_at(5))
    train(make_model(), *data, settings, out=tmp_path / "one")
    train(make_model(), *data, settings, out=tmp_path / "two")
    first, again, other = (given[found_by] for given in begun)
    assert first == again != other
    assert {given["resume"] for given in begun} == {"allow"}
    assert all(given["name"].startswith("stage") for given in begun)
    assert {path.name for path in (tmp_path / "one").glob("*.txt")} == set()
