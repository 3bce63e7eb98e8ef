"""What training refuses, and what an unfinished run may go on with."""

import json
import shutil

import numpy as np
import pytest
import torch
from training_runs import STAGE, Killed, kill_at, long

from anisoalign.aligners import C3, ReAlign
from anisoalign.embeddings import InputError
from anisoalign.mllm import StageSettings, train

pytestmark = pytest.mark.integration


class TestRefused:
    """Bad input: a clear error each, nothing overwritten."""

    @pytest.fixture
    def begun(self, world, make_model, tmp_path):
        """A run that was killed after step 5, with its state of step 3."""
        self.data = world.folder / "talks.json", world.folder / "text.npy"
        self.settings = StageSettings(checkpoint_every=3, **STAGE)
        with pytest.raises(Killed):
            train(make_model(), *self.data, self.settings, out=tmp_path / "out", progress=kill_at(5))
        return tmp_path / "out.partial"

    @pytest.mark.parametrize("fault", ["state", "json", "settings", "data"])
    def test_unfinished_runs_that_cannot_go_on(self, begun, world, make_model, tmp_path, fault):
        settings = self.settings
        if fault == "state":
            path = next(begun.glob("state-*.safetensors"))
            path.write_bytes(path.read_bytes()[:-100])
            message = "state-00000003.safetensors is truncated or damaged"
        elif fault == "json":
            (begun / "state.json").write_text('{"step": ')
            message = "state.json is damaged"
        elif fault == "settings":
            settings, message = StageSettings(checkpoint_every=3, **{**STAGE, "lr": 0.5}), "lr: 0.01 then, 0.5 now"
        else:
            late = world.text.copy()
            late[-1, -1] += 1
            np.save(world.folder / "text.npy", late)
            message = "begun with other settings or data"
        before = {file.name: file.read_bytes() for file in begun.iterdir()}
        with pytest.raises(InputError, match=message):
            train(make_model(), *self.data, settings, out=tmp_path / "out")
        assert {file.name: file.read_bytes() for file in begun.iterdir()} == before
        assert not (tmp_path / "out").exists()

    def test_leaving_out_what_was_refused_before_is_another_run(self, begun, make_model, tmp_path):
        settings = StageSettings(checkpoint_every=3, on_bad="skip", **STAGE)
        with pytest.raises(InputError, match="on_bad: 'error' then, 'skip' now"):
            train(make_model(), *self.data, settings, out=tmp_path / "out")

    def test_ids_that_leave_out_other_conversations_make_another_run(self, world, make_model, tmp_path):
        settings = StageSettings(checkpoint_every=3, on_bad="skip", **STAGE)
        data = world.talks, (world.text, [*world.ids[:39], "x"])
        with pytest.raises(Killed):
            train(make_model(), *data, settings, out=tmp_path / "out", progress=kill_at(4))
        with pytest.raises(InputError, match="learned_from: 39 then, 40 now"):
            train(make_model(), *world.data, settings, out=tmp_path / "out")

    @pytest.mark.parametrize("settings", [{"system": "be brief"}, {"thinking": True}])
    def test_another_model_goes_on_with_no_run(self, begun, make_model, tmp_path, settings):
        (key,) = settings
        with pytest.raises(InputError, match=rf"model.{key}: .* then, {settings[key]!r} now"):
            train(make_model(**settings), *self.data, self.settings, out=tmp_path / "out")

    def test_another_frozen_language_model_goes_on_with_no_run(self, begun, make_model, tmp_path):
        other = make_model()
        with torch.no_grad():
            other.lm.lm_head.weight[0, 0] += 1
        with pytest.raises(InputError, match=r"frozen_weights: '.*' then, '.*' now"):
            train(other, *self.data, self.settings, out=tmp_path / "out")

    def test_what_an_older_version_did_not_note_is_not_compared(self, begun, make_model, tmp_path):
        state = json.loads((begun / "state.json").read_text())
        kept = {key: value for key, value in state["plan"].items() if key != "frozen_weights" and "model." not in key}
        assert len(kept) < len(state["plan"])
        (begun / "state.json").write_text(json.dumps({**state, "plan": kept}))
        assert train(make_model(), *self.data, self.settings, out=tmp_path / "out").resumed_at == 3

    def test_what_does_not_matter_may_change(self, begun, make_model, tmp_path):
        settings = StageSettings(checkpoint_every=2, **{**STAGE, "micro_batch": 8})
        assert train(make_model(), *self.data, settings, out=tmp_path / "out").resumed_at == 3

    def test_a_folder_that_is_no_model_is_left_alone(self, world, make_model, tmp_path):
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("all")
        with pytest.raises(InputError, match="is not a saved model; it is left alone"):
            train(make_model(), *world.data, out=tmp_path / "mine")
        assert (tmp_path / "mine" / "thesis.txt").read_text() == "all"
        assert not (tmp_path / "mine.partial").exists()

    def test_a_trained_model_is_not_trained_over(self, world, make_model, tmp_path):
        train(make_model(), *world.data, StageSettings(batch_size=40), out=tmp_path / "out")
        before = {file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()}
        with pytest.raises(InputError, match="holds a trained model already"):
            train(make_model(), *world.data, StageSettings(batch_size=8), out=tmp_path / "out")
        assert {file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()} == before

    def test_ids_that_do_not_match(self, world, make_model, tmp_path):
        with pytest.raises(InputError, match="15 of 40 ids have no embedding, the first ten: '025'"):
            train(make_model(), world.talks, (world.text[:25], [t["id"] for t in world.talks[:25]]), out=tmp_path / "o")
        assert not list(tmp_path.glob("o*"))

    def test_embeddings_of_another_width(self, world, make_model):
        with pytest.raises(InputError, match="has width 12, the model was made for 16"):
            train(make_model(), world.talks, (world.text[:, :12], world.ids))

    def test_another_aligner_than_before(self, world, make_model):
        model = make_model()
        train(model, *world.data, StageSettings(**STAGE), aligner=world.folder / "aligner")
        assert isinstance(model.aligner, ReAlign)
        with pytest.raises(InputError, match="was trained with the aligner ReAlign"):
            train(model, *world.data, aligner=C3().fit(world.text, world.image))
        # Without one, that of before is taken.
        again = train(model, *world.data, StageSettings(learns="lora", **STAGE))
        assert model.stages[-1]["steps"] == len(again.losses)

    def test_conversations_whose_answer_is_cut_off(self, world, make_model):
        talks = [*world.talks, *map(long, range(12))]
        message = r"12 conversation\(s\) cannot be used, the first ten:\n  id '000': the first 100 of its .* tokens"
        with pytest.raises(InputError, match=message) as error:
            train(make_model(), talks, (world.text, world.ids), StageSettings(max_length=100))
        assert str(error.value).count("the first 100 of its") == 10

    def test_a_conversation_that_only_the_template_makes_too_long(self, world, make_model):
        talks = [{"id": "000", "caption": "red"}]
        model = make_model(visual_tokens=50)
        with pytest.raises(InputError, match=r"1 conversation\(s\) cannot be used, these:\n  id '000': the first 40"):
            train(model, talks, (world.text, world.ids), StageSettings(max_length=40))

    def test_conversations_of_which_none_is_left(self, world, make_model):
        settings = StageSettings(max_length=100, on_bad="skip")
        with pytest.raises(InputError, match=r"no conversation that can be used: 1 .*\n  id '000': the first 100 of"):
            train(make_model(), [long(0)], (world.text, world.ids), settings)

    @pytest.mark.parametrize(("size", "steps"), [(8, 5), (40, 2)])  # of ten steps, and of two
    def test_losses_that_are_not_finite_one_after_the_other(self, world, make_model, tmp_path, size, steps):
        model = make_model()
        with torch.no_grad():
            model.lm.lm_head.weight[0, 0] = float("nan")
        data, settings = world.data, {**STAGE, "batch_size": size}
        message = rf"the loss of {steps} step\(s\) one after the other, up to step {steps}, is not finite"
        with pytest.raises(InputError, match=f"{message}; .* may help; .*o.partial keeps its settings, so remove it"):
            train(model, *data, StageSettings(**settings), out=tmp_path / "o")
        assert not (tmp_path / "o").exists()
        shutil.rmtree(tmp_path / "o.partial")  # what is advised is not refused
        settings = {**settings, "lr": 1e-3, "precision": "no"}
        assert train(make_model(), *data, StageSettings(**settings), out=tmp_path / "o").skipped == 0

    @pytest.mark.parametrize(("every", "state"), [(200, []), (5, ["state-00000005.safetensors"])])
    def test_weights_that_are_not_finite_are_neither_kept_nor_finished(self, world, make_model, tmp_path, every, state):
        model = make_model()

        def spoil(done, total, loss, held_out):
            if done == 10:
                with torch.no_grad():
                    model.projector.second.weight[0, 0] = float("nan")

        settings = StageSettings(checkpoint_every=every, **{**STAGE, "epochs": 4 if every == 5 else 2})
        message = r"weights are not finite any more, projector.second.weight among them; .*o.partial keeps its settings"
        with pytest.raises(InputError, match=message):
            train(model, *world.data, settings, out=tmp_path / "o", progress=spoil)
        assert not (tmp_path / "o").exists()
        assert [file.name for file in (tmp_path / "o.partial").glob("state-*")] == state

    def test_another_run_into_the_same_folder(self, world, make_model, tmp_path):
        def meanwhile(done, total, loss, held_out):
            if done == 5:
                with pytest.raises(InputError, match=r"o\.partial is being written by another run"):
                    train(make_model(), *world.data, StageSettings(**STAGE), out=tmp_path / "o")

        log = train(make_model(), *world.data, StageSettings(**STAGE), out=tmp_path / "o", progress=meanwhile)
        assert len((tmp_path / "o" / "log.jsonl").read_text().splitlines()) == len(log.records) == 10
        assert not list((tmp_path / "o").glob(".lock"))

    def test_a_run_that_waited_for_the_folder_until_another_was_done(self, world, make_model, tmp_path, monkeypatch):
        settings = StageSettings(**STAGE)
        monkeypatch.setattr("anisoalign.mllm.training.check_place", lambda out: None)  # long ago: it was free
        train(make_model(), *world.data, settings, out=tmp_path / "o")
        with pytest.raises(InputError, match="holds a trained model already"):
            train(make_model(), *world.data, StageSettings(**{**STAGE, "lr": 0.5}), out=tmp_path / "o")
