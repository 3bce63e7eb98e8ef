"""Encoders: images, texts and sounds to embeddings, with pretrained contrastive models.

Nothing here imports a model library before an encoder is opened.
"""

from anisoalign.encoders.encoder import MODALITIES, Encoder
from anisoalign.encoders.opening import open_encoder

__all__ = ["MODALITIES", "Encoder", "open_encoder"]
