"""The domains: how scenes are composed, disturbed and worded.

``training`` is what the two towers were trained on. ``shifted``, the default, is what they are used on: as
with every pretrained model, its images and its wording are not quite those of the training set.
"""

from dataclasses import dataclass

MENTIONS = ("colour", "shape", "size", "position", "fill", "background", "others")
"""What a caption may or may not mention; the columns of `Scenes.mentions`."""


@dataclass(frozen=True)
class Domain:
    """The law from which scenes and their captions are drawn.

    Ranges are (low, high) of a uniform law; rates are probabilities.
    """

    name: str
    counts: tuple[float, float, float]
    """Probabilities of 1, 2 and 3 objects."""
    fills: tuple[float, float, float, float]
    """Probabilities of a plain, striped, dotted and outlined main object."""
    terse_rates: tuple[float, ...]
    """How often a terse caption mentions each of `MENTIONS`."""
    detailed_rates: tuple[float, ...]
    """How often a detailed caption does."""
    detailed_share: float
    """How many captions are detailed."""
    rare_word_rate: float
    """How often a caption uses the rarer word of a pair."""
    list_rate: float
    """How often a caption is a list ("circle, red") and not a phrase ("a red circle")."""
    wrong_rate: float
    """How often a caption describes some other scene."""
    radius: tuple[float, float]
    """Radius of the main object, as a share of the image's width."""
    colour_jitter: float
    """Standard deviation of an object's colour around its name's colour, of 1."""
    noise: tuple[float, float]
    """Standard deviation of the pixel noise, of 1."""
    contrast: tuple[float, float]
    """Factor on the distance of each pixel from mid grey."""
    light: tuple[float, float]
    """Amount added to every pixel."""
    blur: tuple[float, float]
    """Weight of the 3 × 3 … 5 × 5 smoothed image in the picture, 0 sharp to 2 twice smoothed."""
    gradient: float
    """Largest slope of the lighting across the image, of 1."""


TRAINING = Domain(
    name="training",
    counts=(0.5, 0.3, 0.2),
    fills=(0.55, 0.15, 0.15, 0.15),
    terse_rates=(0.96, 0.93, 0.13, 0.0, 0.02, 0.0, 0.35),
    detailed_rates=(0.96, 0.93, 0.7, 0.4, 0.45, 0.4, 0.9),
    detailed_share=0.3,
    rare_word_rate=0.15,
    list_rate=0.15,
    wrong_rate=0.1,
    radius=(0.22, 0.38),
    colour_jitter=0.06,
    noise=(0.01, 0.06),
    contrast=(0.65, 1.0),
    light=(-0.08, 0.08),
    blur=(0.0, 0.6),
    gradient=0.25,
)

SHIFTED = Domain(
    name="shifted",
    counts=(0.7, 0.3, 0.0),
    fills=(0.55, 0.15, 0.15, 0.15),
    terse_rates=(0.96, 0.93, 0.13, 0.0, 0.02, 0.0, 0.35),
    detailed_rates=(0.96, 0.93, 0.7, 0.4, 0.45, 0.4, 0.9),
    detailed_share=0.4,
    rare_word_rate=0.5,
    list_rate=0.6,
    wrong_rate=0.08,
    radius=(0.2, 0.36),
    colour_jitter=0.08,
    noise=(0.02, 0.06),
    contrast=(0.5, 0.85),
    light=(-0.05, 0.2),
    blur=(0.4, 1.4),
    gradient=0.3,
)

_DOMAINS = {domain.name: domain for domain in (SHIFTED, TRAINING)}

DOMAINS = tuple(_DOMAINS)
"""Names of the domains; the first is the default."""


def domain_named(name: str) -> Domain:
    """Return the domain of that name.

    Raises
    ------
    ValueError
        If there is none; the message lists those that there are.
    """
    if name not in _DOMAINS:
        raise ValueError(f"no domain named {name!r}; there are {', '.join(DOMAINS)}")
    return _DOMAINS[name]
