"""A contact sheet of scenes with their captions: ``python benchmarks/world_figures.py``.

Writes ``docs/world.png``: pictures of the training domain above, of the shifted domain below.
"""

import sys
import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

from anisoalign.worlds import Scenes, caption, draw_scenes, render
from protocol import parser

COLUMNS = 7
LINES = 2
OUT = Path(__file__).parents[1] / "docs" / "world.png"


def main() -> int:
    parser(__doc__).parse_args()
    figure, axes = pyplot.subplots(2 * LINES, COLUMNS, figsize=(1.35 * COLUMNS, 1.95 * 2 * LINES))
    for number, domain in enumerate(("training", "shifted")):
        show(draw_scenes(LINES * COLUMNS, seed=0, domain=domain), axes[LINES * number : LINES * (number + 1)])
        axes[LINES * number, 0].set_title(domain, loc="left", fontsize=11, fontweight="bold")
    figure.tight_layout(pad=0.4)
    figure.savefig(OUT, dpi=80, metadata={"Software": None}, pil_kwargs={"optimize": True})
    print(f"wrote {OUT.name}, {OUT.stat().st_size / 1000:.0f} kB", file=sys.stderr)
    return 0


def show(scenes: Scenes, axes) -> None:
    """Draw each scene in one of the axes, its caption below; a wrong caption in red."""
    for scene, picture, ax in zip(scenes, render(scenes), axes.flat, strict=True):
        ax.imshow(picture, interpolation="nearest")
        ax.set_xticks([])
        ax.set_yticks([])
        said = textwrap.fill(caption(scene), 22)
        ax.set_xlabel(said, fontsize=6.5, color="black" if scene.told_as is None else "firebrick")


if __name__ == "__main__":
    sys.exit(main())
