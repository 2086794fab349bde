"""Memory and time of a run over the size of its population, at a fixed number of sampled clients.

    python benchmarks/population.py [--clients 100 1000 10000 100000] [--rounds 5] [--json FILE]

A million synthetic images of 8x8 are divided by Dirichlet(0.5) among each population, one client in a hundred is
malicious, 100 clients are sampled per round, their Adam moments persist, and every round ends with a checkpoint as
in ``fedskew run``. Each population runs in a separate process, whose resident memory is read at four points:

    data       everything imported, the images made
    start-up   its peak until the first round
    resident   between start-up and the first round: data, index arrays, model
    rounds     its peak during the rounds

The rounds take the last minus the one before it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SAMPLED = 100


def resident(mark: str = "VmRSS") -> float:
    """This process's resident memory in MB, now (VmRSS) or at most so far (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(mark):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"no {mark} in /proc/self/status")


def forget_peak() -> None:
    """Sets the high-water mark to what is resident now (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def dataset(images: int) -> Any:
    """Ten classes whose images differ in their mean, uint8 [images, 1, 8, 8], and 2,000 to test on."""
    import torch

    from fedskew.protocols import Dataset, DatasetInfo

    generator = torch.Generator().manual_seed(0)

    def part(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.randint(0, 10, (count,), generator=generator)
        pixels = torch.randint(0, 128, (count, 1, 8, 8), dtype=torch.uint8, generator=generator)
        return pixels.add_((12 * labels).to(torch.uint8)[:, None, None, None]), labels

    info = DatasetInfo("made-up", tuple("0123456789"), (1, 8, 8), (0.46,), (0.2,))
    return Dataset(info, *part(images), *part(2000))


def one(clients: int, images: int, rounds: int, folder: Path) -> dict[str, Any]:
    """The measurements of one population, in this process."""
    from fedskew.components.completed import completed
    from fedskew.config import Experiment
    from fedskew.config.execution import Execution
    from fedskew.federation.state import empty_states, initial_state
    from fedskew.federation.world import build_world
    from fedskew.runs.checkpoint import save_checkpoint
    from fedskew.runs.clients import ClientsSummary
    from fedskew.runs.folder import RunFolder
    from fedskew.simulation import rounds as run

    experiment = Experiment.model_validate(
        {
            "rounds": rounds,
            "clients": {"count": clients, "fraction": SAMPLED / clients},
            "split": {"name": "dirichlet", "alpha": 0.5},
            "adversaries": {"count": clients // 100},
            "attack": {"name": "backdoor", "target": 7, "poison_fraction": 0.5},
            "training": {"epochs": 1, "batch_size": 32, "optimizer": {"name": "adam", "state": "persist"}},
            "defence": {"learning_rate": {"name": "rlr", "theta": 10}},
            "stopping": "rounds",
        }
    )
    data = dataset(images)
    found: dict[str, Any] = {"clients": clients, "data_mb": resident()}
    forget_peak()
    begun = time.perf_counter()
    world = build_world(completed(experiment), Execution(), data)
    files = RunFolder(folder)
    state = initial_state(world, empty_states(world, "auto", files.client_states))
    ClientsSummary.of(world)
    loop = run(world, state, [])
    found |= {"startup_seconds": time.perf_counter() - begun, "startup_mb": resident("VmHWM")}
    forget_peak()
    found["resident_mb"] = resident()
    spent: dict[str, list[float]] = {}
    for record in loop:
        begun = time.perf_counter()
        save_checkpoint(files.checkpoint, state)
        for phase, seconds in {**record.seconds, "checkpoint": time.perf_counter() - begun}.items():
            spent.setdefault(phase, []).append(seconds)
    found["rounds_mb"] = resident("VmHWM")
    shards = world.population.shards
    found |= {
        "seconds": {phase: statistics.median(values) for phase, values in spent.items()},
        "store": type(state.clients).__name__,
        "clients_with_state": len(state.clients),
        "state_mb": sum(path.stat().st_size for path in files.client_states.glob("*")) / 1e6,
        "checkpoint_mb": files.checkpoint.stat().st_size / 1e6,
        "index_mb": sum(shard.nbytes + sys.getsizeof(shard) for shard in shards) / 1e6,
        "parameters": world.layout.total,
        "visits_per_round": sum(len(shards[k]) for k in record.cohort),
        "accuracy": record.metrics["accuracy"],
    }
    begun = time.perf_counter()
    world.skew()
    return found | {"skew_seconds": time.perf_counter() - begun}


def table(rows: list[dict[str, Any]]) -> str:
    """The measurements as text, one column per population."""
    lines: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("clients", lambda r: f"{r['clients']:,}"),
        ("start-up, s", lambda r: f"{r['startup_seconds']:.2f}"),
        ("round, s", lambda r: f"{r['seconds']['total'] + r['seconds']['checkpoint']:.3f}"),
        *[
            (f"  {phase}", lambda r, phase=phase: f"{r['seconds'][phase]:.3f}")
            for phase in ("training", "aggregation", "client state", "evaluation", "checkpoint")
        ],
        ("visits per round", lambda r: f"{r['visits_per_round']:,}"),
        ("resident: data, MB", lambda r: f"{r['data_mb']:.0f}"),
        ("resident: start-up at most", lambda r: f"{r['startup_mb']:.0f}"),
        ("resident: before round 1", lambda r: f"{r['resident_mb']:.0f}"),
        ("resident: rounds at most", lambda r: f"{r['rounds_mb']:.0f}"),
        ("a round takes, MB", lambda r: f"{r['rounds_mb'] - r['resident_mb']:.0f}"),
        ("index arrays, MB", lambda r: f"{r['index_mb']:.0f}"),
        ("client state", lambda r: r["store"].removesuffix("States").lower()),
        ("  clients with state", lambda r: f"{r['clients_with_state']:,}"),
        ("  files, MB", lambda r: f"{r['state_mb']:.1f}"),
        ("checkpoint, MB", lambda r: f"{r['checkpoint_mb']:.2f}"),
    ]
    return "\n".join(f"{name:<28}" + "".join(f"{show(row):>12}" for row in rows) for name, show in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clients", type=int, nargs="+", default=[100, 1_000, 10_000, 100_000])
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        print(json.dumps(one(options.clients[0], options.images, options.rounds, options.here)))
        return
    rows = []
    for clients in options.clients:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--clients", clients, "--images", options.images]
            command += ["--rounds", options.rounds, "--here", folder]
            rows.append(json.loads(subprocess.check_output([str(part) for part in command])))
    from fedskew.config.execution import available_cores
    from fedskew.runs.session import commit, processor

    results = {
        "machine": f"{processor()}, {available_cores()} cores",
        "commit": commit(),
        "sampled": SAMPLED,
        "images": options.images,
        "rounds": options.rounds,
        "populations": rows,
    }
    print(f"{results['machine']}, commit {results['commit']}; {SAMPLED} of the clients in each round\n")
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
