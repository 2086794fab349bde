"""What each attack of the audit's thorough suite adds to a LeNet round, measured in one run.

    python benchmarks/attacks.py [--rounds 3] [--json FILE]

Ten clients, two of them adversaries, 60,000 synthetic images of 1x28x28, one local epoch of Adam, native engine on all
cores. Two times of each attack, medians over the rounds, of rounds in which the adversaries act: to *craft* their
updates, also against rules that cost more than a mean, since what knows the defence tries its updates on it; and
*training*, of all clients, as a multiple of that of the same round without an attack, which is measured beside each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fedskew.audit.defences import Population
from fedskew.audit.suite import Scene, of_level
from fedskew.components.completed import completed
from fedskew.config import Execution, Experiment, available_cores
from fedskew.federation.state import initial_state
from fedskew.federation.world import World, build_world
from fedskew.protocols import Dataset, DatasetInfo
from fedskew.runs.session import commit, processor
from fedskew.simulation import rounds

IMAGES, TESTS, CLIENTS, ADVERSARIES, TARGET = 60_000, 1_000, 10, 2, 7
DEFENCES: dict[str, dict[str, Any]] = {
    "no defence": {},
    "median": {"aggregator": "median"},
    "NNM and trimmed mean": {
        "transforms": [{"name": "nnm", "f": ADVERSARIES}],
        "aggregator": {"name": "trimmed-mean", "b": ADVERSARIES},
    },
}


def world_of(attack: Any, defence: dict[str, Any], count: int, data: Dataset) -> World:
    experiment = Experiment.model_validate(
        {
            "rounds": count,
            "clients": {"count": CLIENTS},
            "adversaries": {"count": ADVERSARIES, "data": "sample", "fraction": 1 / CLIENTS},
            "attack": attack,
            "defence": defence,
            "model": "lenet",
            "training": {"epochs": 1, "batch_size": 256, "optimizer": {"name": "adam", "lr": 0.001}},
            "stopping": "rounds",
        }
    )
    return build_world(completed(experiment), Execution(workers=available_cores()), data)


def seconds(world: World) -> dict[str, float]:
    """Median seconds of a round: to train and to craft."""
    crafting: list[float] = []

    def craft(*given: Any) -> Any:
        begun = time.perf_counter()
        made = world.attack.craft(*given)
        crafting.append(time.perf_counter() - begun)
        return made

    watched = replace(world, attack=replace(world.attack, craft=craft))
    training = [record.seconds["training"] for record in rounds(watched, initial_state(watched), [])]
    return {"training": statistics.median(training), "craft": statistics.median(crafting or [0.0])}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)

    def part(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        images = torch.randint(0, 256, (count, 1, 28, 28), dtype=torch.uint8, generator=generator)
        return images, torch.randint(0, 10, (count,), generator=generator)

    info = DatasetInfo("made-up", tuple("0123456789"), (1, 28, 28), (0.5,), (0.29,))
    data = Dataset(info, *part(IMAGES), *part(TESTS))
    there = f"{processor()}, {available_cores()} cores, PyTorch {torch.__version__}, commit {commit()}"
    results: dict[str, Any] = {"machine": there, "attacks": {}}
    print(f"{there}\n{'':<22} training" + "".join(f"  craft, {name}" for name in DEFENCES), flush=True)
    for label, attack in of_level("thorough", Scene(Population(CLIENTS, ADVERSARIES), TARGET)).items():
        plain = seconds(world_of("none", {}, options.rounds, data))["training"]
        found = {name: seconds(world_of(attack, one, options.rounds, data)) for name, one in DEFENCES.items()}
        ratio = found["no defence"]["training"] / plain
        crafts = {name: one["craft"] for name, one in found.items()}
        results["attacks"][label] = {"plain": plain, "training": ratio, "craft": crafts}
        shown = "".join(f"{1e3 * value:>{len(name) + 6}.1f} ms" for name, value in crafts.items())
        print(f"{label:<22} {ratio:>7.2f}x{shown}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
