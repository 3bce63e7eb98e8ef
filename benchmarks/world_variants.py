"""What the world owes to each of its ingredients: ``python benchmarks/world_variants.py``.

Trains the two towers once for each variant, with one ingredient taken out of the training scenes and of the
shifted domain alike, measures the gates on scene seeds 1 and 2, prints a table and writes
``world_variants.json`` beside this file.
"""

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from anisoalign.worlds import RenderedWorld, WorldPairs
from anisoalign.worlds.domains import MENTIONS, SHIFTED, TRAINING, Domain
from anisoalign.worlds.gates import gap_gates, to_dict, transfer_gates
from anisoalign.worlds.towers import TowerSettings
from anisoalign.worlds.train import TrainSettings, train
from protocol import write

SEEDS = (1, 2)
SHOWN = ("centroid_gap", "paired_cosine", "residual_anisotropy", "effective_dimension", "recall_at_10")
SHOWN += ("raw", "realign", "transport_1.0", "oracle", "real")


@dataclass(frozen=True)
class Variant:
    """The laws of training and use, and the training itself."""

    training: Domain = TRAINING
    used: Domain = SHIFTED
    cone: float = TowerSettings.cone
    scenes: int | None = None

    def world(self) -> RenderedWorld:
        """Return the world with its towers trained anew, or with the shipped ones where they are the same."""
        if replace(self, used=SHIFTED) == Variant():
            return RenderedWorld.load()
        sizes = TowerSettings(cone=self.cone)
        return RenderedWorld(train(TrainSettings(scenes=self.scenes), law=self.training, sizes=sizes))


def without(**changes) -> Variant:
    """Change the training domain and the shifted one alike."""
    return Variant(training=replace(TRAINING, **changes), used=replace(SHIFTED, **changes))


EVEN = tuple(0.6 for _ in MENTIONS)

VARIANTS = {
    "as shipped": Variant(),
    "used on scenes like the training ones": Variant(used=TRAINING),
    "trained on 39,936 scenes, seen ten times": Variant(scenes=78 * TrainSettings.batch),
    "every attribute mentioned at a rate of 0.6": without(terse_rates=EVEN, detailed_rates=EVEN),
    "towers start without cones": Variant(cone=0.0),
}


def measure(variant: Variant, rows: int) -> dict[str, float]:
    """Return the mean of each measurement over the scene seeds."""
    world = variant.world()
    return mean([gates(world.embed(rows, seed, variant.used), seed) for seed in SEEDS])


def gates(pairs: WorldPairs, seed: int) -> dict[str, float]:
    return to_dict(gap_gates(pairs), transfer_gates(pairs, seed))


def mean(results: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([result[name] for result in results])) for name in results[0]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000, help="pairs for each scene seed")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    given = parser.parse_args()

    record = {"schema_version": 1, "rows": given.rows, "scene_seeds": SEEDS, "variants": {}}
    if given.out.exists():  # what this run does not measure again stays
        record["variants"] = json.loads(given.out.read_text())["variants"]
    print("| |" + "|".join(SHOWN) + "|\n|---|" + "---|" * len(SHOWN))
    for name in given.only:
        record["variants"][name] = result = measure(VARIANTS[name], given.rows)
        print(f"| {name} |" + "|".join(f"{result[key]:.3f}" for key in SHOWN) + "|", flush=True)
        write(given.out, record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
