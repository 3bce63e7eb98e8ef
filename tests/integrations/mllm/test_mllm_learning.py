"""The claim itself, small: a model that never saw an image names what unseen images show."""

import numpy as np
import pytest
from tiny_models import make_llama, make_tokenizer

from anisoalign.aligners import ReAlign
from anisoalign.mllm import EmbeddingLanguageModel, EmbeddingStore, ModelSettings, StageSettings, score, train
from anisoalign.worlds import RenderedWorld

pytestmark = pytest.mark.integration

QUESTION = "Which colour and shape?"


def talks(labels, shown=None):
    """What is to be said of each scene, colour and shape of its main object, shown as a picture or in words."""
    shown = ["<image>"] * len(labels) if shown is None else shown
    turns = [
        [{"from": "human", "value": f"{one}\n{QUESTION}"}, {"from": "gpt", "value": label}]
        for one, label in zip(shown, labels, strict=True)
    ]
    return [{"id": number, "conversations": one} for number, one in enumerate(turns)]


def test_pretraining_on_substitutes_alone_makes_a_frozen_model_name_images():
    world = RenderedWorld.load()
    seen, unseen = world.embed(1500, seed=1), world.embed(200, seed=2)
    other = world.embed(800, seed=3)  # gives the aligner its images: none of them shows a caption's scene
    names = np.array(seen.label_name)
    tokenizer = make_tokenizer()
    model = EmbeddingLanguageModel.from_parts(
        make_llama(tokenizer, width=64), tokenizer, 256, ModelSettings(hidden=256)
    )
    # The language first: questions about scenes told in words. Then it is frozen, and the projector alone learns.
    language = StageSettings(learns="full", lr=3e-3, epochs=12, batch_size=64, micro_batch=64, text_only=True)
    told = [f"a {name}" for name in names]
    nothing = EmbeddingStore(seen.text[:1], ids=["none"])
    train(model, talks(names.repeat(24), np.repeat(told, 24)), nothing, language)
    before = {name: value.clone() for name, value in model.lm.state_dict().items()}
    train(
        model,
        talks(names[seen.label]),
        EmbeddingStore(seen.text, ids=range(len(seen))),
        StageSettings.pretraining(lr=3e-3, epochs=12, batch_size=64, micro_batch=64, noise=0.02),
        aligner=ReAlign().fit(seen.text, other.image),
    )
    assert all((before[name] == value).all() for name, value in model.lm.state_dict().items())
    bench = [{"id": i, "question": QUESTION, "answer": names[label]} for i, label in enumerate(unseen.label)]
    image = EmbeddingStore(unseen.image, ids=range(len(unseen)), side="image")
    named = score(model, bench, image, max_new_tokens=12).kinds["exact"]["accuracy"]
    blind = score(model, bench, max_new_tokens=12).kinds["exact"]["accuracy"]
    assert blind < 0.1
    assert named > 0.3  # of 64 names
