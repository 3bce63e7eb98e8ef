"""The optimizer of a stage: whose rate each weight has, and which weights decay."""

import pytest
import torch
from torch import nn

from anisoalign.mllm import StageSettings
from anisoalign.mllm.optimizing import make_optimizer

SHAPES = {
    "projector.0.weight": (4, 3),
    "projector.0.bias": (4,),
    "lm.layers.0.weight": (3, 3),
    "lm.layers.0.lora_A": (2, 3),
    "lm.norm.weight": (3,),
    "lm.projector.weight": (3, 3),  # a language model's own, which is no projector of ours
}
PROJECTOR = {"projector.0.weight", "projector.0.bias"}


@pytest.fixture
def parameters() -> dict[str, nn.Parameter]:
    return {name: nn.Parameter(torch.ones(shape)) for name, shape in SHAPES.items()}


def stepped(parameters: dict[str, nn.Parameter], **settings: float) -> dict[str, torch.Tensor]:
    """Weights after a step at the highest rate without any gradient, which only decay can move."""
    optimizer = make_optimizer(parameters, StageSettings(learns="full", **settings))
    for group in optimizer.param_groups:
        group["lr"] = group["highest"]
    for value in parameters.values():
        value.grad = torch.zeros_like(value)
    optimizer.step()
    return {name: value.detach() for name, value in parameters.items()}


def test_every_weight_is_learned_once_at_the_rate_of_its_part(parameters):
    optimizer = make_optimizer(parameters, StageSettings(learns="full", lr=1e-5, projector_lr=1e-3))
    names = {id(value): name for name, value in parameters.items()}
    found = [(names[id(value)], group["highest"]) for group in optimizer.param_groups for value in group["params"]]
    assert len(found) == len(SHAPES)
    assert dict(found) == {name: 1e-3 if name in PROJECTOR else 1e-5 for name in SHAPES}


def test_the_projector_learns_as_the_rest_where_no_rate_of_its_own_is_named(parameters):
    groups = make_optimizer(parameters, StageSettings(learns="full", lr=3e-4)).param_groups
    assert {group["highest"] for group in groups} == {3e-4}


def test_matrices_alone_decay_each_by_its_own_rate(parameters):
    for name, value in stepped(parameters, lr=0.01, projector_lr=0.1, weight_decay=0.5).items():
        share = 0.0 if value.ndim < 2 else 0.5 * (0.1 if name in PROJECTOR else 0.01)
        torch.testing.assert_close(value, torch.full_like(value, 1.0 - share), msg=name)


def test_nothing_decays_by_default(parameters):
    assert all((value == 1).all() for value in stepped(parameters, lr=0.1).values())
