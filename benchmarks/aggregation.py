"""Time of every built-in server rule on cohorts of real size, and its share of a round measured in the same run.

    python benchmarks/aggregation.py [--repeats 5] [--json FILE]

The rounds are those of the paper's two models, by the native engine on all cores, on synthetic images in the number and
shape of the real data sets: LeNet with 10 clients and 60,000 images of 1x28x28, the 6-layer CNN with 100 clients and
50,000 images of 3x32x32; two local epochs, one client in ten a backdoor adversary, RLR. Each round evaluates 20,000
images, 10,000 clean and 10,000 triggered, with all metrics. Rules run on one thread, as in a run; medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fedskew.aggregation.matrix import finite_rows
from fedskew.components.binding import resolve
from fedskew.components.completed import completed
from fedskew.components.rules import build_rule
from fedskew.components.table import BUILT_IN
from fedskew.config import Component, Execution, Experiment, available_cores
from fedskew.evaluation.updates import update_metrics
from fedskew.federation.state import empty_states, initial_state
from fedskew.federation.world import build_world
from fedskew.protocols import ClientUpdates, Dataset, DatasetInfo, ParameterLayout, ServerView
from fedskew.runs.session import commit, processor
from fedskew.seeding import stream
from fedskew.simulation import rounds

OPTIONS: dict[str, dict[str, Any]] = {
    "clip": {"norm": 1.0},
    "noise": {"std": 1e-3},
    "nnm": {"f": 1},
    "arc": {"f": 1},
    "trimmed-mean": {"b": 1},
    "meamed": {"f": 1},
    "krum": {"f": 1},
    "multi-krum": {"f": 1, "m": 9},
    "bulyan": {"f": 1},
    "mda": {"f": 1},
    "sign-majority": {"step": 1e-3},
    "sparse-fed": {"share": 0.1},
    "dnc": {"f": 1},
    "dp-fedavg": {"clip": 1.0, "noise_multiplier": 1.0},
    "q-fedavg": {"q": 1.0, "lipschitz": 1.0},
    "afl": {"gamma": 0.1},
    "term": {"t": 1.0},
    "fedmgda": {"epsilon": 0.1},
    "rlr": {"theta": 4},
}
"""Options that a rule needs; a rule with required options that has none here is an error."""


@dataclass(frozen=True)
class Case:
    name: str
    model: str
    shape: tuple[int, int, int]
    images: int
    clients: int
    parameters: int
    rounds: int


CASES = [
    Case("LeNet, 10 clients", "lenet", (1, 28, 28), 60_000, 10, 61_706, 3),
    Case("6-layer CNN, 100 clients", "cnn6", (3, 32, 32), 50_000, 100, 537_610, 1),
]


def rules() -> dict[str, Callable[[ClientUpdates, ServerView], object]]:
    """Everything the server does to the matrix of updates, by name."""

    def component(name: str) -> Component:
        return Component.model_validate({"name": name, **OPTIONS.get(name, {})})

    def aggregator(name: str) -> Callable[[ClientUpdates, ServerView], object]:
        rule = build_rule("aggregator", component(name))
        return lambda updates, view: rule.apply(updates, view, rule.init())

    def transform(name: str) -> Callable[[ClientUpdates, ServerView], object]:
        rule = build_rule("transform", component(name))
        return lambda updates, view: rule.apply(updates, view, rule.init(), stream(0, "transform", 1, 0))

    def learning_rate(name: str) -> Callable[[ClientUpdates, ServerView], object]:
        rule = resolve("learning-rate", component(name))
        return lambda updates, view: rule(updates, 1.0)

    return {
        **{f"aggregator {name}": aggregator(name) for name in BUILT_IN["aggregator"]},
        **{f"transform {name}": transform(name) for name in BUILT_IN["transform"]},
        **{f"learning rate {name}": learning_rate(name) for name in BUILT_IN["learning-rate"]},
        "check for finite numbers": lambda updates, view: finite_rows(updates.deltas),
        "lengths and angles": lambda updates, view: update_metrics(
            updates, range(0, len(updates.client_ids), 10)
        ),
    }


def rule_seconds(case: Case, repeats: int) -> dict[str, float]:
    """Seconds of each rule on a cohort's updates: a common direction and noise, as training gives them."""
    generator = torch.Generator().manual_seed(0)
    deltas = torch.randn(case.clients, case.parameters, generator=generator)
    deltas.add_(torch.randn(case.parameters, generator=generator)).mul_(1e-2)
    sizes = torch.randint(100, 1000, (case.clients,), generator=generator)
    updates = ClientUpdates(
        deltas,
        sizes,
        torch.arange(case.clients),
        steps=1 + sizes // 100,
        start_losses=torch.rand(case.clients, dtype=torch.float64, generator=generator),
    )
    weights, root = torch.randn(2, case.parameters, generator=generator)
    view = ServerView(1, weights, ParameterLayout((), ()), case.clients, root_update=root)
    found = {}
    for name, rule in rules().items():
        rule(updates, view)
        times = []
        for _ in range(repeats):
            begun = time.perf_counter()
            rule(updates, view)
            times.append(time.perf_counter() - begun)
        found[name] = statistics.median(times)
    return found


def round_seconds(case: Case) -> dict[str, float]:
    """Seconds of each phase of a whole round."""
    generator = torch.Generator().manual_seed(0)

    def part(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        images = torch.randint(0, 256, (count, *case.shape), dtype=torch.uint8, generator=generator)
        return images, torch.randint(0, 10, (count,), generator=generator)

    channels = case.shape[0]
    info = DatasetInfo("made-up", tuple("0123456789"), case.shape, (0.5,) * channels, (0.29,) * channels)
    experiment = Experiment.model_validate(
        {
            "rounds": case.rounds,
            "clients": {"count": case.clients},
            "split": {"name": "dirichlet", "alpha": 1.0},
            "adversaries": {"count": case.clients // 10},
            "attack": {"name": "backdoor", "target": 7, "poison_fraction": 0.5},
            "model": case.model,
            "training": {"epochs": 2, "batch_size": 256, "optimizer": {"name": "adam", "state": "persist"}},
            "defence": {"learning_rate": {"name": "rlr", "theta": case.clients * 0.4}},
            "stopping": "rounds",
        }
    )
    execution = Execution(engine="native", workers=available_cores())
    world = build_world(completed(experiment), execution, Dataset(info, *part(case.images), *part(10_000)))
    if world.layout.total != case.parameters:
        raise SystemExit(f"{case.model} has {world.layout.total} parameters, not {case.parameters}")
    spent: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        state = initial_state(world, empty_states(world, "auto", Path(folder)))
        for record in rounds(world, state, []):
            state.clients.settle()
            for phase, seconds in record.seconds.items():
                spent.setdefault(phase, []).append(seconds)
    return {phase: statistics.median(times) for phase, times in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="of each rule")
    parser.add_argument("--model", choices=[case.model for case in CASES], help="only its case")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, Any] = {
        "machine": f"{processor()}, {available_cores()} cores",
        "torch": torch.__version__,
        "commit": commit(),
        "cases": [],
    }
    print(f"{results['machine']}, PyTorch {torch.__version__}, commit {results['commit']}")
    for case in [case for case in CASES if options.model in (None, case.model)]:
        seconds, phases = rule_seconds(case, options.repeats), round_seconds(case)
        whole = phases["total"]
        results["cases"].append({"case": case.name, "rules": seconds, "round": phases})
        print(f"\n{case.name}, {case.clients} x {case.parameters:,}; a round takes {whole:.2f} s")
        for name, value in {**{f"  {p}": s for p, s in phases.items() if p != "total"}, **seconds}.items():
            print(f"  {name:<28} {value:>9.4f} s {100 * value / whole:>7.2f} % of the round", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
