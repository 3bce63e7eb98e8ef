"""Conversations that keep an answer, and their picture, within `max_length`: found before anything is trained."""

from __future__ import annotations

import numpy as np

from anisoalign.embeddings import InputError
from anisoalign.mllm.chat import Chat, TooLongError
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
        Of which `max_length` and `on_bad` say what is too long, and what becomes of it.

    Raises
    ------
    InputError
        If conversations are too long, listing the first ten; with ``on_bad="skip"`` if all are.
    """
    skip, places = settings.on_bad == "skip", []
    found = talks.left_out if skip else Unusable()
    for number in np.flatnonzero(chat.at_most(talks.sizes, talks.turns) > settings.max_length):
        try:
            chat.tokens(talks[int(number)], settings.max_length)
        except TooLongError as error:
            found = found.with_one(str(error))
            places.append(int(number))
    if not skip:
        found.refuse(talks.name)
    if len(places) == len(talks):
        raise InputError(f"{talks.name} holds no conversation that can be used: all are longer than max_length")
    return talks.without(places, found) if places else talks
