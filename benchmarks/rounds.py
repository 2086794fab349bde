"""Where the time of a round goes, how much memory a run takes, and how long the command line takes to start.

Used by ``speed.py``. A run's memory is measured in a separate process, because peak memory never falls.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PHASES = ("training", "aggregation", "evaluation")
CASES = {
    # name: (model, image shape, training images, test images, rounds)
    "LeNet, 60,000 + 10,000 images": ("lenet", (1, 28, 28), 60_000, 10_000, 3),
    "6-layer CNN, 5,000 + 1,000 images": ("cnn6", (3, 32, 32), 5_000, 1_000, 2),
    "MLP, 1,437 + 360 images": ("mlp", (1, 8, 8), 1_437, 360, 10),
}
"""The paper's round: 10 clients, 2 epochs, a backdoor, the robust learning rate. The CNN has a tenth of the images, so
the share of its aggregation, whose work does not depend on them, is ten times that of a whole round."""


def split_of_a_round(case: str) -> dict[str, Any]:
    """Median share of each phase, seconds of a round, and the peak memory of the process."""
    context = mp.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_measure, args=(theirs, case))
    process.start()
    found: dict[str, Any] = ours.recv()
    process.join()
    return found


def _measure(pipe: Any, case: str) -> None:
    import torch

    from fedskew.config import Experiment
    from fedskew.protocols import Dataset, DatasetInfo
    from fedskew.simulation import simulate

    torch.set_num_threads(1)
    model, shape, train, test, rounds = CASES[case]
    generator = torch.Generator().manual_seed(0)

    def images(count: int) -> torch.Tensor:
        return torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=generator)

    def labels(count: int) -> torch.Tensor:
        return torch.randint(0, 10, (count,), generator=generator)

    info = DatasetInfo("synthetic", tuple("0123456789"), shape, (0.5,) * shape[0], (0.25,) * shape[0])
    experiment = Experiment.model_validate(
        {
            "rounds": rounds,
            "model": model,
            "split": {"name": "dirichlet", "alpha": 1.0, "remainder": "first"},
            "training": {"optimizer": {"name": "adam", "state": "persist"}},
            "adversaries": {"count": 1, "data": "sample", "fraction": 0.1},
            "attack": {"name": "backdoor", "target": 7, "poison_fraction": 0.5},
            "defence": {"learning_rate": {"name": "rlr", "theta": 4}},
        }
    )
    dataset = Dataset(info, images(train), labels(train), images(test), labels(test))
    seconds = [r.seconds for r in simulate(experiment, dataset=dataset)][1:]  # the first one warms up
    total = statistics.median(s["total"] for s in seconds)
    shares = {p: statistics.median(s[p] / s["total"] for s in seconds) for p in PHASES}
    pipe.send(
        {
            "seconds": total,
            **shares,
            "rest": 1 - sum(shares.values()),
            "peak_memory_mib": peak_memory_mib(),
            "test_images": 2 * test,
        }
    )


def peak_memory_mib() -> float:
    """The most memory this process has had resident. Not getrusage's number, which a child inherits from its parent."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return float("nan")


def start_up(turns: int = 11) -> dict[str, float]:
    """Median seconds from start to end of commands that compute nothing, and of a bare interpreter."""
    commands = {
        "python -c pass": ["-c", "pass"],
        "fedskew --help": ["-m", "fedskew", "--help"],
        "fedskew list": ["-m", "fedskew", "list"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(turns):
        for name, arguments in commands.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - begun)
    return {name: statistics.median(values) for name, values in seconds.items()}


def print_rounds(rounds: dict[str, dict[str, Any]], starts: dict[str, float]) -> None:
    """Both, for a reader."""
    print("\na round on one core: seconds, shares of its phases; peak memory of the process")
    for name, row in rounds.items():
        shares = "  ".join(f"{phase} {100 * row[phase]:.2f} %" for phase in (*PHASES, "rest"))
        print(f"  {name:<34} {row['seconds']:>8.2f} s  {shares}  {row['peak_memory_mib']:,.0f} MiB")
    print("\nstart-up: " + ", ".join(f"{name} {value:.2f} s" for name, value in starts.items()))


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    measured = {case: split_of_a_round(case) for case in CASES}
    beginnings = start_up()
    print_rounds(measured, beginnings)
    print(json.dumps({"rounds": measured, "start_up_seconds": beginnings}, indent=1))
