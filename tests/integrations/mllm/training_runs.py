"""Runs of both stages on a small world: their settings file, `anisoalign` in processes of its own, the losses."""

import json
import subprocess
import sys
from pathlib import Path

import torch

COMMAND = Path(__file__).with_name("two_processes.py")

SETTINGS = """
[model]
lm = "{lm}"
visual_tokens = 2

[stages.pretrain]
conversations = "captions.jsonl"
embeddings = "text.npy"
aligner = "aligner"
noise = 0.02
epochs = {epochs}
batch_size = 8
micro_batch = 3
lr = 1e-2
checkpoint_every = 2

[stages.tune]
learns = "{learns}"
conversations = "talks.json"
embeddings = "image.npy"
side = "image"
batch_size = 8
micro_batch = 3
lr = 1e-3
lora_rank = 4
lora_alpha = 256
lora_dropout = 0.1
checkpoint_every = 2
gradient_checkpointing = true
"""


STAGE = {"batch_size": 8, "micro_batch": 3, "epochs": 2, "lr": 1e-2, "lora_rank": 4}


class Killed(BaseException):
    """The end of a process."""


def kill_at(step):
    """A function to be called with progress, that ends the process at a step."""

    def progress(done, total, loss, held_out):
        if done == step:
            raise Killed

    return progress


def write_settings(world, lm, learns="lora", epochs=1):
    captions = [{"id": talk["id"], "caption": talk["conversations"][1]["value"]} for talk in world.talks]
    (world.folder / "captions.jsonl").write_text("".join(json.dumps(one) + "\n" for one in captions))
    (world.folder / "run.toml").write_text(SETTINGS.format(lm=lm.name, learns=learns, epochs=epochs))
    return world.folder / "run.toml"


def anisoalign(*arguments, processes=1, expect=0, program=COMMAND):
    launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}", "--standalone"] if processes > 1 else []
    command = [sys.executable, *launcher, str(program), *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=170)
    assert ended.returncode == expect, ended.stderr[-3000:]
    return ended


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def weights(module):
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def poisoned(model, *steps):
    """A model whose loss is not finite in some steps, each a single batch."""
    done, forward = [0], model.forward

    def broken(*given, **named):
        found = forward(*given, **named)
        done[0] += 1
        found.loss_sum = found.loss_sum * (float("inf") if done[0] in steps else 1.0)
        return found

    model.forward = broken
    return model


def long(number):
    """A conversation with a question of more than a hundred tokens."""
    question = {"from": "human", "value": "<image>\n" + "what colour is it? " * 30}
    return {"id": f"{number:03d}", "conversations": [question, {"from": "gpt", "value": "red"}]}
