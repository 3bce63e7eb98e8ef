"""The projector: an embedding becomes a few positions of a language model's input."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Projector(nn.Module):
    """Two layers with a GELU between: unit embedding (m, d) → (m, visual tokens, width of the language model).

    The embedding is stretched to norm √d first, so that the coordinates of any unit row are of order one and one
    learning rate serves every width.

    Parameters
    ----------
    width : int
        d, of the embeddings.
    hidden : int
        Between the layers.
    lm_width : int
        Of the language model's input embeddings.
    visual_tokens : int
        Positions that an embedding takes.

    Examples
    --------
    >>> Projector(8, 16, 12, visual_tokens=3)(torch.ones(2, 8)).shape
    torch.Size([2, 3, 12])
    """

    def __init__(self, width: int, hidden: int, lm_width: int, visual_tokens: int = 1):
        super().__init__()
        self.width, self.lm_width, self.visual_tokens = width, lm_width, visual_tokens
        self.first = nn.Linear(width, hidden)
        self.second = nn.Linear(hidden, visual_tokens * lm_width)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Positions of each embedding, shape (m, visual tokens, lm width)."""
        stretched = embeddings * self.width**0.5
        hidden = nn.functional.gelu(self.first(stretched))
        return self.second(hidden).unflatten(-1, (self.visual_tokens, self.lm_width))


def make_projector(width: int, hidden: int, lm_width: int, visual_tokens: int, seed: int) -> Projector:
    """A projector whose first weights depend on `seed` alone, leaving others' random draws as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Projector(width, hidden, lm_width, visual_tokens)
