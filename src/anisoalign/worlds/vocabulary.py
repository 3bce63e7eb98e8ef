"""The words of the world: what a scene can hold and how a caption may name it.

Every attribute is a tuple of *names*; an index into the tuple is what arrays hold. The second tuple of a pair
lists the rarer word for the same thing, in the same order.
"""

COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")
RARE_COLOURS = ("crimson", "amber", "golden", "emerald", "turquoise", "azure", "violet", "rose")

SHAPES = ("circle", "square", "triangle", "diamond", "cross", "ring", "star", "crescent")
RARE_SHAPES = ("disc", "box", "wedge", "rhombus", "plus", "hoop", "sparkle", "moon")

SIZES = ("small", "medium", "large")
RARE_SIZES = ("little", "middling", "big")

COLUMNS = ("left", "centre", "right")
LINES = ("upper", "middle", "lower")

FILLS = ("plain", "striped", "dotted", "outlined")
BACKGROUNDS = ("black", "grey", "white", "brown", "navy", "beige")

LABEL_NAMES = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)
"""Name of each of the 64 labels: colour and shape of the main object, ``8 * colour + shape``."""

PADDING, UNKNOWN = "<pad>", "<unk>"

_FUNCTION_WORDS = (
    "a an and background beside image in is item near note object of on picture scan see shape sketch "
    "surface the there we with"
)

WORDS = (
    PADDING,
    UNKNOWN,
    *sorted(
        {
            *COLOURS,
            *RARE_COLOURS,
            *SHAPES,
            *RARE_SHAPES,
            *SIZES,
            *RARE_SIZES,
            *COLUMNS,
            *LINES,
            *FILLS,
            *BACKGROUNDS,
            *_FUNCTION_WORDS.split(),
        }
    ),
)
"""Every word a caption can contain; the position of a word is its token."""
