"""A language model learns to see from text alone: substitutes stand in for images while it is trained.

>>> from anisoalign.mllm import ModelSettings, StageSettings
>>> StageSettings.pretraining(noise=0.03).lr
0.0005
"""

from anisoalign.mllm.asking import Conversing, answers, ask
from anisoalign.mllm.conversations import Conversations
from anisoalign.mllm.model import EmbeddingLanguageModel, Output
from anisoalign.mllm.records import Conversation, Turn
from anisoalign.mllm.saving import load_mllm
from anisoalign.mllm.scoring import Scores, score
from anisoalign.mllm.settings import ModelSettings, StageSettings, TrainSettings
from anisoalign.mllm.store import EmbeddingStore
from anisoalign.mllm.train_log import TrainLog
from anisoalign.mllm.training import train

__all__ = [
    "Conversation",
    "Conversations",
    "Conversing",
    "EmbeddingLanguageModel",
    "EmbeddingStore",
    "ModelSettings",
    "Output",
    "Scores",
    "StageSettings",
    "TrainLog",
    "TrainSettings",
    "Turn",
    "answers",
    "ask",
    "load_mllm",
    "score",
    "train",
]
