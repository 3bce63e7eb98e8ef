"""Conversations that the chat template takes, with an answer and the picture in what is read: before training."""

from __future__ import annotations

import numpy as np

from anisoalign.embeddings import InputError
from anisoalign.mllm.chat import Chat
from anisoalign.mllm.conversations import Conversations
from anisoalign.mllm.settings import StageSettings
from anisoalign.mllm.unusable import Unusable


def fitting(talks: Conversations, chat: Chat, settings: StageSettings) -> Conversations:
    """Conversations of a stage that can be learned from, each of them.

    Parameters
    ----------
    talks : Conversations
    chat : Chat
        Of the model that is to be trained.
    settings : StageSettings
        Of which `max_length` and `on_bad` say what is too long, and what becomes of what cannot be used.

    Raises
    ------
    InputError
        If conversations are too long or the template refuses them, listing the first ten; with ``on_bad="skip"`` if
        none is left.
    """
    skip, places, longest = settings.on_bad == "skip", [], chat.longest(settings.max_length)
    found = talks.left_out if skip else Unusable()
    for number in np.flatnonzero(_doubtful(talks, chat, longest)):
        reason = _refusal(talks, chat, int(number), longest)
        if reason:
            found = found.with_one(reason)
            places.append(int(number))
    if not skip:
        found.refuse(talks.name)
    if len(places) == len(talks):
        raise InputError(found.told(f"{talks.name} holds no conversation that can be used"))
    return talks.without(places, found) if places else talks


def _doubtful(talks: Conversations, chat: Chat, max_length: int) -> np.ndarray:
    """Which conversations are looked at: all would take minutes a million.

    What a template refuses it refuses by the turns there are, a system message first where their number is odd, of
    which one of each number tells; or by tags in what is said.
    """
    found = talks.tagged.copy()
    for count in np.unique(talks.turns):
        alike = talks.turns == count
        if _refusal(talks, chat, int(np.argmax(alike)), 0):
            found |= alike
    return found | (chat.template.at_most(talks.sizes, talks.turns) > max_length)


def _refusal(talks: Conversations, chat: Chat, number: int, max_length: int) -> str:
    """Why a conversation cannot be used, or nothing."""
    try:
        chat.tokens(talks[number], max_length)
    except InputError as error:
        return str(error)
    return ""
