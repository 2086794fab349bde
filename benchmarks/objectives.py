"""Time of a LeNet round with each built-in local objective beside the same round without one.

    python benchmarks/objectives.py [--repeats 5] [--json FILE]

A round's local training only: 10 clients with 6,000 images of 1x28x28 each in batches of 256, one epoch, the native
engine on one core, Adam; synthetic images. Rounds with and without an objective alternate, and what is shown is the
median of the ratios of neighbours, so that a busy machine disturbs both. An objective may cost 10 %; one that asks for
a second pass (``look``) costs about as much as the pass.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedskew.components.rules import build_rule
from fedskew.components.table import BUILT_IN
from fedskew.config import Component, Training
from fedskew.models.lenet import lenet
from fedskew.protocols import DatasetInfo, LocalObjective, State
from fedskew.runs.session import commit, processor
from fedskew.training.arithmetic import flatten
from fedskew.training.choose import choose
from fedskew.training.plan import plan
from fedskew.training.recipe import Recipe

OPTIONS: dict[str, dict[str, Any]] = {
    "fedprox": {"mu": 0.1},
    "feddyn": {"alpha": 0.1},
    "fedcurv": {"strength": 0.01},
}
"""Options that an objective needs."""
CLIENTS, IMAGES = 10, 6_000
INFO = DatasetInfo("synthetic", tuple("0123456789"), (1, 28, 28), (0.5,), (0.25,))


def objectives() -> dict[str, LocalObjective]:
    """All built-in ones, by name."""
    return {
        name: build_rule(
            "objective", Component.model_validate({"name": name, **OPTIONS.get(name, {})}), "objective"
        )
        for name in BUILT_IN["objective"]
    }


def rounds() -> Callable[[LocalObjective], float]:
    """(objective) -> seconds of the local training of a second round, in which clients keep what they have."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(
        0, 256, (CLIENTS * IMAGES, *INFO.image_shape), dtype=torch.uint8, generator=generator
    )
    labels = torch.randint(0, 10, (CLIENTS * IMAGES,), generator=generator)
    torch.manual_seed(0)
    module = lenet(INFO)
    training = Training(epochs=1)
    engine = choose(module, INFO, images, labels, torch.device("cpu"), "native", training).build(1)
    shards = np.split(np.arange(CLIENTS * IMAGES), CLIENTS)
    weights = flatten(list(module.parameters()))

    def measure(objective: LocalObjective) -> float:
        states: dict[int, State] = {}
        server = objective.server_init()
        seconds = 0.0
        for number in (1, 2):
            recipe = Recipe(training.optimizer, objective=objective, sent=objective.send(server))
            clients = range(CLIENTS) if number == 2 else range(2)  # the first only to have something kept
            work = plan(0, number, clients, shards, training, recipe)
            if objective.logits is not None:
                counts = torch.bincount(labels[:IMAGES], minlength=10)
                work = [replace(job, logit_map=objective.logits(counts)) for job in work]
            begun = time.perf_counter()
            result = engine.train(weights, torch.zeros(0), work, states)
            seconds = time.perf_counter() - begun
            states = {job.client: r.state for job, r in zip(work, result.reports, strict=True)}
            uploads = [report.uploads for report in result.reports]
            stacked = {name: torch.stack([one[name] for one in uploads]) for name in uploads[0]}
            server = objective.collect(server, stacked, CLIENTS)
        return seconds

    return measure


def main() -> None:
    """Prints a table and, if asked, writes its numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print(f"{processor()}, commit {commit()}, {given.repeats} repeats")
    measure, found = rounds(), {}
    there = objectives()
    bare = there.pop("none")
    measure(bare)
    print("| objective | a round without [s] | with [s] | more |\n| --- | --- | --- | --- |")
    for name, objective in there.items():
        pairs = [(measure(bare), measure(objective)) for _ in range(given.repeats)]
        without, with_it = (statistics.median(times) for times in zip(*pairs, strict=True))
        more = statistics.median(second / first for first, second in pairs) - 1
        found[name] = {"without": without, "with": with_it, "more": more}
        print(f"| {name} | {without:.2f} | {with_it:.2f} | {100 * more:+.0f} % |", flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
