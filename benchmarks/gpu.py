"""All measurements that need a GPU, in one command: correctness, speed of each engine, whole studies.

    python benchmarks/gpu.py --out results-gpu [--data DIR] [--studies] [--device cuda]

1. The tests that need a card (training/test_resident.py, test_recipes.py, test_gpu_runs.py), and a round with PyTorch's
   check that no step makes the host wait.
2. Sample visits per second of a round of ten clients, for each model, engine and number format, with and without
   captured graphs, with channels first and last, with groups of clients one after another and beside each other. The
   fastest exact one is what ``auto`` should take (fedskew.training.choose.STACK_BELOW).
3. With --data: nine runs (--trial) of four rounds, for each number of runs (--jobs) that share the card.
4. With --studies: the paper's 45 Fashion-MNIST runs and its 45 CIFAR-10 runs until their stopping rule ends them, with
   the fastest number of jobs; the wall-clock time of each, the shares of a round's phases, every run's last record as
   JSON lines.

Without NVIDIA's Multi-Process Service a card computes for one process at a time, and several jobs only overlap
the host's work with it. Where it may be started, run ``nvidia-cuda-mps-control -d`` first, so that jobs share the card.

Each result is written as soon as it is known, so an interrupted run keeps what it has. On a machine without
a GPU, ``--device cpu --images 500`` tests the script itself, in float32 only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fedskew.config import Adam, EngineName, Training
from fedskew.federation.device import open_device
from fedskew.models.build import fresh
from fedskew.models.cnn6 import cnn6
from fedskew.models.lenet import lenet
from fedskew.models.mlp import mlp
from fedskew.protocols import DatasetInfo
from fedskew.runs.folder import RunFolder
from fedskew.runs.session import commit, processor
from fedskew.seeding import stream
from fedskew.training.arithmetic import flatten
from fedskew.training.choose import choose
from fedskew.training.plan import ClientWork, plan
from fedskew.training.resident import ModuleArithmetic, ResidentEngine
from fedskew.training.resident.graphs import waiting_forbidden

ROOT = Path(__file__).resolve().parent.parent
CLASSES = tuple("0123456789")
CASES = {
    "LeNet 1x28x28": (lenet, DatasetInfo("f", CLASSES, (1, 28, 28), (0.286,), (0.353,)), 60_000, 256),
    "CNN 3x32x32": (cnn6, DatasetInfo("c", CLASSES, (3, 32, 32), (0.5,) * 3, (0.25,) * 3), 50_000, 256),
    "MLP 1x8x8": (mlp, DatasetInfo("d", CLASSES, (1, 8, 8), (0.3,), (0.37,)), 1_400, 32),
}


@dataclass(frozen=True)
class Variant:
    """A way to do a round.

    Attributes:
        capture: whether its steps are captured as graphs.
        channels_last: whether activations lie so.
        lanes: groups of clients beside each other.
    """

    engine: EngineName
    capture: bool = False
    channels_last: bool = False
    lanes: int = 1


VARIANTS = (
    Variant("torch"),
    Variant("graph"),
    Variant("graph", capture=True),
    Variant("graph", capture=True, lanes=2),
    Variant("graph", capture=True, lanes=4),
    Variant("graph", capture=True, lanes=8),
    Variant("graph", capture=True, channels_last=True),
    Variant("graph", capture=True, channels_last=True, lanes=2),
    Variant("graph", capture=True, channels_last=True, lanes=4),
    Variant("graph", capture=True, channels_last=True, lanes=8),
    Variant("stacked"),
    Variant("stacked", capture=True),
)


def cohort(images: int, training: Training) -> list[ClientWork]:
    """Ten clients of unequal size, as Dirichlet(1) makes them."""
    shares = stream(0, "benchmark").dirichlet([5.0] * 10)
    cuts = (np.cumsum(shares)[:-1] * images).astype(int)
    return plan(0, 1, range(10), np.split(np.arange(images), cuts), training)


def synchronised(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def runner_of(
    variant: Variant, module: nn.Module, info: DatasetInfo, x: Tensor, y: Tensor, training: Training
) -> Any:
    """The engine of a variant."""
    if variant.engine != "graph":
        runner: Any = choose(module, info, x, y, x.device, variant.engine, training).build(1)
        if isinstance(runner, ResidentEngine):
            runner.capture = variant.capture
        return runner
    arithmetic = ModuleArithmetic(module, info, x.device, channels_last=variant.channels_last)
    return ResidentEngine(arithmetic, x, y, training.precision, variant.capture, variant.lanes)


def speeds(device: torch.device, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Visits per second, and the largest difference of a round's deltas to the eager engine in float32."""
    rows = []
    gpu = device.type == "cuda"
    for name, (factory, info, images, batch) in CASES.items():
        if options.models not in name:
            continue
        total = min(images, options.images)
        generator = torch.Generator().manual_seed(0)
        x = torch.randint(0, 256, (total, *info.image_shape), dtype=torch.uint8, generator=generator).to(
            device
        )
        y = torch.randint(0, 10, (total,), generator=generator).to(device)
        module = fresh(factory, info, 0)
        weights = flatten(list(module.parameters())).to(device)
        eager: Any = None
        for number_format in options.formats if gpu else ["float32"]:
            training = Training(batch_size=batch, optimizer=Adam(state="persist"), precision=number_format)
            work = cohort(total, training)
            visits = sum(len(b) for job in work for b in job.batches)
            for variant in VARIANTS:
                if (variant.capture and not gpu) or variant.engine in options.without:
                    continue
                runner = runner_of(variant, module, info, x, y, training)
                for _ in range(3 if variant.capture else 1):  # captures what comes often enough
                    once = runner.train(weights, weights[:0], work, {})
                synchronised(device)
                seconds = []
                for _ in range(options.rounds):
                    begun = time.perf_counter()
                    again = runner.train(weights, weights[:0], work, {})
                    synchronised(device)
                    seconds.append(time.perf_counter() - begun)
                eager = once if eager is None else eager
                rows.append(
                    {
                        "model": name,
                        "precision": number_format,
                        **asdict(variant),
                        "graphs": runner.captured if isinstance(runner, ResidentEngine) else 0,
                        "seconds_per_round": statistics.median(seconds),
                        "visits_per_second": visits / statistics.median(seconds),
                        "largest_difference_to_first": float((once.deltas - eager.deltas).abs().max()),
                        "repeats_bit_identical": bool(torch.equal(once.deltas, again.deltas)),
                        "mean_delta": float(once.deltas.double().norm(dim=1).mean()),
                        "digest": hashlib.sha256(once.deltas.cpu().numpy().tobytes()).hexdigest()[:8],
                        "peak_memory_mib": torch.cuda.max_memory_allocated(device) / 2**20 if gpu else None,
                    }
                )
                print(json.dumps(rows[-1]), flush=True)
                del runner, once, again
                if gpu:
                    torch.cuda.empty_cache()
                    torch.cuda.reset_peak_memory_stats(device)
    return rows


def waits(device: torch.device) -> str:
    """Whether any step of a round makes the host wait; PyTorch raises at the first that does."""
    if device.type != "cuda":
        return "not a GPU"
    factory, info, _, batch = CASES["LeNet 1x28x28"]
    x = torch.randint(0, 256, (2_000, *info.image_shape), dtype=torch.uint8)
    y = torch.randint(0, 10, (2_000,))
    module, training = fresh(factory, info, 0), Training(batch_size=batch, optimizer=Adam(state="persist"))
    weights = flatten(list(module.parameters())).to(device)
    jobs = sorted(cohort(2_000, training), key=lambda job: -len(job.batches))
    said = []
    for engine in ("stacked", "graph"):
        runner: Any = choose(module, info, x, y, device, engine, training).build(1)
        group = runner._groups(jobs)[0]
        mine = [jobs[place] for place in group.places]
        states: list[Any] = [({}, {}) for _ in mine]
        for _ in range(3):  # captures
            runner._train_group(weights, weights[:0], mine, states, group)
        try:
            with waiting_forbidden():
                runner._train_group(weights, weights[:0], mine, states, group)
            said.append(f"{engine}: no step waits")
        except RuntimeError as error:
            said.append(f"{engine}: {str(error).splitlines()[0]}")
    return "; ".join(said)


def study(preset: str, out: Path, device: str, jobs: int, limit: float, only: list[str]) -> dict[str, Any]:
    """A shipped study from start to stop, or as far as it gets in the time."""
    command = [
        sys.executable,
        "-m",
        "fedskew",
        "study",
        preset,
        "--out",
        str(out / preset),
        "--device",
        device,
    ]
    command += ["--jobs", str(jobs), "--offline", "--quiet", *only]
    out.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    try:
        code = subprocess.run(command, timeout=limit, check=False).returncode
    except subprocess.TimeoutExpired:
        code = -1
    done = [run for run in RunFolder.all_below(out / preset) if run.result.exists()]
    with (out / f"{preset}.jsonl").open("w", encoding="utf-8") as file:
        for run in done:
            file.write(json.dumps({"run": run.name, **json.loads(run.result.read_text())}) + "\n")
    return {
        "study": preset,
        "jobs": jobs,
        "seconds": time.perf_counter() - begun,
        "complete_runs": len(done),
        "exit_code": code,
        "phases": phases(done),
    }


def phases(runs: list[RunFolder]) -> dict[str, float]:
    """Median seconds of a round's phases over all rounds of these runs."""
    seconds: dict[str, list[float]] = {}
    for run in runs:
        for line in run.timings.read_text().splitlines():
            for name, value in json.loads(line).items():
                if name != "round":
                    seconds.setdefault(name, []).append(value)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="root of the data sets, for --studies")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--images", type=int, default=10**9, help="at most so many training images")
    parser.add_argument("--models", default="", help="only models whose names contain this")
    parser.add_argument("--formats", nargs="+", default=["float32", "tf32", "bfloat16"])
    parser.add_argument("--without", nargs="+", default=[], help="engines to leave out")
    parser.add_argument("--no-tests", action="store_true")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds of each measurement")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 4, 8], help="runs that share the card")
    parser.add_argument(
        "--trial", default="paper-fashion-mnist", help="the preset that --jobs are tried with"
    )
    parser.add_argument("--studies", nargs="*", help="presets; none named: the paper's two")
    parser.add_argument("--study-limit", type=float, default=900.0, help="seconds for each study")
    parser.add_argument("--study-option", action="append", default=[], help="handed to fedskew study")
    options = parser.parse_args()
    device = open_device(options.device)  # with algorithms that repeat their results, as runs have them
    options.out.mkdir(parents=True, exist_ok=True)
    if options.data is not None:
        os.environ["FEDSKEW_DATA"] = str(options.data)
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        "torch": torch.__version__,
        "commit": commit(),
    }

    def keep(name: str, value: Any) -> None:
        found[name] = value
        (options.out / "gpu.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {json.dumps(value)}" if name != "speeds" else "speeds: done", flush=True)

    files = [
        str(ROOT / "tests" / "training" / f"test_{name}.py") for name in ("resident", "recipes", "gpu_runs")
    ]
    if not options.no_tests:
        # Another plug-in of pytest's warns beside xdist, and warnings are errors.
        tests = [sys.executable, "-m", "pytest", "-q", "-n", "8", "-p", "no:benchmark", *files]
        done = subprocess.run(tests, cwd=ROOT, capture_output=True, text=True, check=False)
        keep("tests", done.stdout.strip().splitlines()[-1] if done.returncode == 0 else done.stdout[-4000:])
        keep("waits", waits(device))
    keep("speeds", speeds(device, options))
    jobs = options.jobs[0]
    if options.data is not None:
        short = ["--set", "rounds=4", "--only", "seed=0"]
        tried = [
            study(options.trial, options.out / f"jobs-{n}", options.device, n, 120.0, short)
            for n in options.jobs
        ]
        keep("jobs", tried)
        jobs = min(tried, key=lambda row: (-row["complete_runs"], row["seconds"]))["jobs"]
    if options.studies is not None:
        for preset in options.studies or ["paper-fashion-mnist", "paper-cifar-10"]:
            keep(
                f"study {preset}",
                study(
                    preset,
                    options.out,
                    options.device,
                    jobs,
                    options.study_limit,
                    options.study_option,
                ),
            )


if __name__ == "__main__":
    main()
