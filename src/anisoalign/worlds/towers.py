"""The two towers: a small convolutional network for pictures, one for captions, meeting on one sphere."""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .vocabulary import WORDS


@dataclass(frozen=True)
class TowerSettings:
    """Sizes of the two towers."""

    width: int = 256
    """Dimension d of the embeddings."""
    channels: tuple[int, int, int] = (32, 64, 128)
    """Channels of the picture tower's three convolutions; each halves the side."""
    word_width: int = 96
    words: int = len(WORDS)
    max_words: int = 32
    cone: float = 0.7
    """Norm of each tower's initial offset: the cone in which its rows start, and so the modality gap."""

    def to_dict(self) -> dict:
        """Return the settings as JSON values."""
        return asdict(self)


class PictureTower(nn.Module):
    """Pictures (n, 3, 32, 32), float in ±1, to unit rows (n, d)."""

    def __init__(self, settings: TowerSettings) -> None:
        super().__init__()
        a, b, c = settings.channels
        self.body = nn.Sequential(
            nn.Conv2d(3, a, 4, stride=2, padding=1),
            nn.BatchNorm2d(a),
            nn.GELU(),
            nn.Conv2d(a, b, 3, stride=2, padding=1),
            nn.BatchNorm2d(b),
            nn.GELU(),
            nn.Conv2d(b, c, 3, stride=2, padding=1),
            nn.BatchNorm2d(c),
            nn.GELU(),
            nn.Flatten(),
        )
        self.head = nn.Linear(16 * c, settings.width)
        self.norm = nn.LayerNorm(settings.width, elementwise_affine=False)
        self.offset = nn.Parameter(_cone(settings))

    def forward(self, pictures: Tensor) -> Tensor:
        """Embed pictures."""
        return _on_the_sphere(self.norm(self.head(self.body(pictures))), self.offset)


class CaptionTower(nn.Module):
    """Tokens (n, words), zero after a caption's end, to unit rows (n, d).

    Two convolutions over neighbouring words (which colour belongs to which shape), then mean and maximum.
    """

    def __init__(self, settings: TowerSettings) -> None:
        super().__init__()
        width = settings.word_width
        self.embedding = nn.Embedding(settings.words, width)
        self.place = nn.Parameter(0.1 * torch.randn(settings.max_words, width))
        self.first = nn.Conv1d(width, width, 3, padding=1)
        self.second = nn.Conv1d(width, width, 3, padding=1)
        self.head = nn.Linear(2 * width, settings.width)
        self.norm = nn.LayerNorm(settings.width, elementwise_affine=False)
        self.offset = nn.Parameter(_cone(settings))

    def forward(self, tokens: Tensor) -> Tensor:
        """Embed captions."""
        there = (tokens > 0).unsqueeze(1)
        hidden = (self.embedding(tokens) + self.place[: tokens.shape[1]]).transpose(1, 2) * there
        hidden = (hidden + functional.gelu(self.first(hidden))) * there
        hidden = (hidden + functional.gelu(self.second(hidden))) * there
        mean = hidden.sum(-1) / there.sum(-1).clamp(min=1)
        top = hidden.masked_fill(~there, -1e4).amax(-1)
        return _on_the_sphere(self.norm(self.head(torch.cat([mean, top], dim=1))), self.offset)


class TwoTowers(nn.Module):
    """Both towers, as trained together and as shipped."""

    def __init__(self, settings: TowerSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or TowerSettings()
        self.pictures = PictureTower(self.settings)
        self.captions = CaptionTower(self.settings)


def _cone(settings: TowerSettings) -> Tensor:
    return settings.cone * functional.normalize(torch.randn(settings.width), dim=0)


def _on_the_sphere(hidden: Tensor, offset: Tensor) -> Tensor:
    # after LayerNorm a row has norm sqrt(d): scaled to 1, so that the cone's norm is relative to it
    return functional.normalize(hidden / hidden.shape[-1] ** 0.5 + offset, dim=-1)
