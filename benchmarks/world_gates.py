"""The gates of the embedded world: ``python benchmarks/world_gates.py``.

Prints, for each domain, mean ± standard error over scene seeds of everything that the world promises, and
writes ``world_gates.json`` beside this file. With ``--train-seeds`` it also trains towers from those seeds
and measures them alike, which shows how much is owed to the luck of one training run.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from anisoalign.worlds import DOMAINS, RenderedWorld
from anisoalign.worlds.gates import gap_gates, to_dict, transfer_gates
from anisoalign.worlds.train import TrainSettings, train
from protocol import write

PROMISES = {
    "centroid_gap": "0.5 – 1.0",
    "paired_cosine": "0.15 – 0.5",
    "residual_anisotropy": "≥ 10",
    "effective_dimension": "≤ 0.35",
    "recall_at_10": "≥ 0.4",
    "raw": "",
    "realign": "≥ raw + 0.03",
    "oracle": "> realign",
    "real": "≥ oracle, ≥ realign + 0.02",
}


def measure(world: RenderedWorld, domain: str, seeds: list[int], rows: int) -> list[dict]:
    """One flat object of measurements, and of broken promises, for each scene seed."""
    results = []
    for seed in seeds:
        pairs = world.embed(rows=rows, seed=seed, domain=domain)
        gap, transfer = gap_gates(pairs), transfer_gates(pairs, seed)
        results.append({"seed": seed, **to_dict(gap, transfer), "broken": gap.broken() + transfer.broken()})
        print(f"{domain} seed {seed}: {results[-1]['broken'] or 'all promises kept'}", file=sys.stderr)
    return results


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """Mean and its standard error; the error of a single value is 0."""
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return float(np.mean(values)), float(error)


def table(results: list[dict]) -> str:
    """Markdown: one line a measurement."""
    lines = ["| | mean ± s.e. | promised |", "|---|---|---|"]
    for name in [name for name in results[0] if name not in ("seed", "broken")]:
        mean, error = mean_and_error([result[name] for result in results])
        lines.append(f"| {name} | {mean:.3f} ± {error:.3f} | {PROMISES.get(name, '')} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(101, 107)), help="scene seeds")
    parser.add_argument("--rows", type=int, default=10_000, help="pairs for each scene seed")
    parser.add_argument("--train-seeds", type=int, nargs="*", default=[], help="also train from these seeds")
    parser.add_argument("--steps", type=int, default=TrainSettings.steps, help="steps of that training")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    given = parser.parse_args()

    world = RenderedWorld.load()
    record = {"schema_version": 1, "rows": given.rows, "weights": world.provenance, "domains": {}}
    if given.out.exists():  # what this run does not measure again stays
        record["trained_anew"] = json.loads(given.out.read_text()).get("trained_anew", {})
    for domain in DOMAINS:
        results = measure(world, domain, given.seeds, given.rows)
        record["domains"][domain] = results
        print(f"\n{domain}, shipped weights, {given.rows} pairs of each scene seed of {given.seeds}")
        print(table(results), flush=True)
        write(given.out, record)
    for seed in given.train_seeds:
        anew = RenderedWorld(train(TrainSettings(seed=seed, steps=given.steps)))
        results = measure(anew, DOMAINS[0], given.seeds, given.rows)
        record.setdefault("trained_anew", {})[str(seed)] = results
        print(f"\n{DOMAINS[0]}, trained anew from seed {seed}\n{table(results)}", flush=True)
        write(given.out, record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
