"""Adapters of an earlier stage."""

import pytest
import torch
from training_runs import STAGE

from anisoalign.embeddings import InputError
from anisoalign.mllm import StageSettings, train

pytestmark = pytest.mark.integration


class TestAdaptersOfAnEarlierStage:
    """They go on as they are; what a later stage asks of them is carried out or refused."""

    @pytest.fixture
    def adapted(self, world, make_model):
        """A model with adapters, and a function that trains it on with other settings."""
        model, data = make_model("qwen"), world.data

        def more(**changes):
            return train(model, *data, StageSettings(learns="lora", **{**STAGE, "lora_alpha": 8, **changes}))

        more(lora_targets="q_proj,v_proj")
        return model, more

    @pytest.mark.parametrize("change", [{"lora_rank": 2}, {"lora_alpha": 16}, {"lora_targets": "all-linear"}])
    def test_another_shape_is_refused(self, adapted, change):
        _, more = adapted
        ((name, value),) = change.items()
        with pytest.raises(InputError, match=f"adapters of {name} = .*; {name} = {value!r} cannot go on from them"):
            more(**{"lora_targets": "q_proj,v_proj", **change})

    def test_the_same_layers_in_another_order_are_the_same(self, adapted):
        model, more = adapted
        more(lora_targets="v_proj, q_proj")
        assert len(model.stages) == 2

    def test_all_layers_go_on_as_all_layers(self, world, make_model):
        model, data = make_model(), world.data
        for _ in range(2):
            train(model, *data, StageSettings(learns="lora", **STAGE))

    def test_another_dropout_is_taken(self, adapted, tmp_path):
        model, more = adapted
        for share, kind in ((0.5, torch.nn.Dropout), (0.0, torch.nn.Identity)):
            more(lora_targets="q_proj,v_proj", lora_dropout=share)
            layers = [
                module.lora_dropout["default"] for module in model.lm.modules() if hasattr(module, "lora_dropout")
            ]
            assert {type(layer) for layer in layers} == {kind}
            assert {getattr(layer, "p", 0.0) for layer in layers} == {share}
            assert model.lm.peft_config["default"].lora_dropout == share

    def test_adapters_are_taken_in_without_rounding(self, world, make_model):
        model = make_model("qwen")
        model.lm.bfloat16()
        data = world.data
        train(model, *data, StageSettings(learns="lora", **STAGE))
        layer = model.lm.get_base_model().model.layers[0].self_attn.q_proj
        expected = layer.base_layer.weight.float() + layer.get_delta_weight("default")
        model.begin(StageSettings(learns="full"))
        merged = model.lm.model.layers[0].self_attn.q_proj.weight
        assert merged.dtype == torch.float32
        torch.testing.assert_close(merged, expected, rtol=0, atol=1e-7)
        assert not torch.equal(merged, merged.bfloat16().float())
