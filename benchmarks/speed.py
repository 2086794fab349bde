"""Sample visits per second of each engine and of a plain loop, and the machine's matrix-product rate, in one run; then
where a round's time goes, peak memory, and the start-up time of the command line (``rounds.py``).

    python benchmarks/speed.py [--seconds 4] [--json FILE]

Absolute times drift on a shared machine, so everything is measured in turns within one run; ratios are what is
claimed. A visit is one forward and backward pass of one training image; its FLOP count is nominal (two per
multiply-add; forward, gradient by the weights and, after the first layer, gradient by the input).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing as mp
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rounds
import torch
from rounds import print_rounds, split_of_a_round, start_up
from torch import nn
from torch.nn import functional

from fedskew.config import Adam, Training
from fedskew.config.execution import available_cores
from fedskew.models.build import fresh
from fedskew.models.cnn6 import cnn6
from fedskew.models.lenet import lenet
from fedskew.models.mlp import mlp
from fedskew.protocols import DatasetInfo
from fedskew.runs.session import commit, processor
from fedskew.training.arithmetic import flatten
from fedskew.training.choose import choose
from fedskew.training.native import build, codegen, compiler
from fedskew.training.native.plan import make_plan
from fedskew.training.native.work import work_of_a_step
from fedskew.training.plan import plan

CLASSES = tuple("0123456789")


@dataclass(frozen=True)
class Case:
    name: str
    info: DatasetInfo
    model: Callable[[DatasetInfo], nn.Module]
    batch: int
    images: int
    convolutions: bool = False
    """Has it 3x3 convolutions of many channels?"""


CASES = [
    Case("LeNet, 1x28x28", DatasetInfo("f", CLASSES, (1, 28, 28), (0.286,), (0.353,)), lenet, 256, 2048),
    Case(
        "6-layer CNN, 3x32x32",
        DatasetInfo("c", CLASSES, (3, 32, 32), (0.5,) * 3, (0.25,) * 3),
        cnn6,
        256,
        512,
        convolutions=True,
    ),
    Case("MLP 64, 1x8x8", DatasetInfo("d", CLASSES, (1, 8, 8), (0.3,), (0.37,)), mlp, 32, 2048),
]


def flop_per_visit(module: nn.Module, info: DatasetInfo) -> float:
    """Nominal floating-point operations of one forward and backward pass of one image."""
    return work_of_a_step(make_plan(module, info.image_shape), batch=1)


def data(case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(
        0, 256, (case.images, *case.info.image_shape), dtype=torch.uint8, generator=generator
    )
    return images, torch.randint(0, 10, (case.images,), generator=generator)


def matrix_rate() -> float:
    """GFLOP/s of one large single-threaded matrix product."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    begun = time.perf_counter()
    torch.mm(a, b)
    return 2 * 1024**3 / (time.perf_counter() - begun) / 1e9


def multiply_add_rate() -> float:
    """GFLOP/s of multiply-adds alone, on one core: what kernels can reach at most."""
    library = compiler.load("""#include "vector.h"
        float run(long n) {
            vf sums[12], a = splat(0.999f), b = splat(1e-9f), total = {0};
            for (int k = 0; k < 12; k++) sums[k] = splat(k); /* different ones, or one would do for all */
            for (long i = 0; i < n; i++) UNROLL for (int k = 0; k < 12; k++) sums[k] = mad(sums[k], a, b);
            for (int k = 0; k < 12; k++) total += sums[k];
            return total[0];
        }
        int lanes(void) { return LANES; }""")
    library.run.argtypes, library.run.restype = [ctypes.c_long], ctypes.c_float
    steps = 20_000_000
    begun = time.process_time()
    library.run(steps)
    return float(steps * 12 * library.lanes() * 2 / (time.process_time() - begun) / 1e9)


def eager_round(case: Case) -> Callable[[], int]:
    """What a reader of the paper would write: resident tensors, torch.optim.Adam, batch after batch."""
    images, labels = data(case)
    module = fresh(case.model, case.info, 0).train()
    optimizer = torch.optim.Adam(module.parameters())
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (case.info.mean, case.info.std))

    def once() -> int:
        for batch in torch.split(torch.randperm(case.images), case.batch):
            optimizer.zero_grad()
            functional.cross_entropy(
                module((images[batch].float() / 255 - mean) / std), labels[batch]
            ).backward()
            optimizer.step()
        return case.images

    return once


def engine_round(case: Case, kind: str, workers: int) -> Callable[[], int]:
    """One round of fedskew's own engine: a client per worker.

    Args:
        kind: an engine, and after a blank ``bfloat16``, or ``direct`` for kernels without minimal filtering.
    """
    engine, _, how = kind.partition(" ")
    if how == "direct":
        codegen.minimal = lambda layer: False
    images, labels = data(case)
    module = fresh(case.model, case.info, 0)
    training = Training(
        epochs=1,
        batch_size=case.batch,
        optimizer=Adam(state="persist"),
        precision="bfloat16" if how == "bfloat16" else "float32",
    )
    choice = choose(module, case.info, images, labels, torch.device("cpu"), engine, training)  # type: ignore[arg-type]
    runner = choice.build(workers)
    weights = flatten(list(module.parameters()))
    shards = [torch.arange(case.images).numpy()] * max(2, workers)
    work = plan(0, 1, range(len(shards)), shards, training)[:workers]

    def once() -> int:
        runner.train(weights, torch.zeros(0), work, {})
        return case.images * workers

    return once


def rate(once: Callable[[], int], seconds: float) -> float:
    """Visits per second over at least the given time."""
    begun, visits = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        visits += once()
    return visits / (time.perf_counter() - begun)


def _process(pipe: Any, case: int, kind: str) -> None:
    torch.set_num_threads(1)
    once = matrix_once if kind == "matrix" else prepare(CASES[case], kind, 1)
    once()
    pipe.send("ready")
    while (seconds := pipe.recv()) is not None:
        pipe.send(rate(once, seconds))


def matrix_once() -> int:
    """One matrix product, counted in FLOP."""
    torch.mm(_A, _A)
    return 2 * 1024**3


_A = torch.ones(1024, 1024)


def prepare(case: Case, kind: str, workers: int) -> Callable[[], int]:
    return eager_round(case) if kind == "eager" else engine_round(case, kind, workers)


class Processes:
    """The same thing in one single-threaded process per core, as ``fedskew study`` does it."""

    def __init__(self, case: int, kind: str, cores: int) -> None:
        context = mp.get_context("spawn")
        self.pipes = []
        for _ in range(cores):
            ours, theirs = context.Pipe()
            context.Process(target=_process, args=(theirs, case, kind), daemon=True).start()
            self.pipes.append(ours)
        for pipe in self.pipes:
            pipe.recv()

    def rate(self, seconds: float) -> float:
        for pipe in self.pipes:
            pipe.send(seconds)
        return sum(pipe.recv() for pipe in self.pipes)

    def stop(self) -> None:
        for pipe in self.pipes:
            pipe.send(None)


def measure(number: int, seconds: float, turns: int, cores: int) -> dict[str, Any]:
    """All rates of one model, in turns; medians."""
    case = CASES[number]
    flop = flop_per_visit(fresh(case.model, case.info, 0), case.info)
    kinds = ["matrix", "eager", "native", "torch"]
    if case.convolutions:  # the others have no layer for which it makes a difference
        kinds += ["native direct", "torch bfloat16"]
        module = fresh(case.model, case.info, 0)
        if not build(module, case.info.image_shape, case.info.mean, case.info.std, half=True).why_not_half():
            kinds.append("native bfloat16")
    pools = {kind: Processes(number, kind, cores) for kind in kinds}
    inside = {
        f"{kind}, one run on {cores} threads": prepare(case, kind, cores) for kind in ("native", "torch")
    }
    inside |= {f"{kind}, for GPUs, on one thread": prepare(case, kind, 1) for kind in ("stacked", "graph")}
    plain = eager_round(case)
    found: dict[str, list[float]] = {}
    for _ in range(turns):
        for kind, pool in pools.items():
            found.setdefault(f"{kind}, {cores} processes", []).append(pool.rate(seconds))
        found.setdefault("native, 1 process", []).append(_alone(pools["native"], seconds))
        for kind, once in inside.items():
            found.setdefault(kind, []).append(rate(once, seconds))
        torch.set_num_threads(cores)
        found.setdefault(f"eager, {cores} threads", []).append(rate(plain, seconds))
        torch.set_num_threads(1)
    for pool in pools.values():
        pool.stop()
    medians = {name: statistics.median(values) for name, values in found.items()}
    peak = medians.pop(f"matrix, {cores} processes") / 1e9
    eager = medians[f"eager, {cores} threads"]
    return {
        "model": case.name,
        "mflop_per_visit": flop / 1e6,
        "matrix_gflops": peak,
        "rows": {
            name: {
                "visits_per_second": value,
                "share_of_matrix_rate": value * flop / 1e9 / peak,
                "times_plain_loop": value / eager,
            }
            for name, value in medians.items()
        },
    }


def _alone(pool: Processes, seconds: float) -> float:
    pool.pipes[0].send(seconds)
    return float(pool.pipes[0].recv())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cores = available_cores()
    results = {
        "machine": f"{processor()}, {cores} cores",
        "torch": torch.__version__,
        "commit": commit(),
        "multiply_add_gflops": statistics.median(multiply_add_rate() for _ in range(5)),
        "models": [measure(n, options.seconds, options.turns, cores) for n in range(len(CASES))],
        "rounds": {case: split_of_a_round(case) for case in rounds.CASES},
        "start_up_seconds": start_up(),
    }
    print(f"{results['machine']}, PyTorch {torch.__version__}, commit {results['commit']}\n")
    print(f"multiply-adds alone, one core: {results['multiply_add_gflops']:.0f} GFLOP/s\n")
    for model in results["models"]:
        print(
            f"{model['model']}: {model['mflop_per_visit']:.2f} MFLOP per visit; "
            f"matrix product on {cores} cores: {model['matrix_gflops']:.0f} GFLOP/s"
        )
        for name, row in model["rows"].items():
            print(
                f"  {name:<30} {row['visits_per_second']:>10,.0f} visits/s"
                f"  {100 * row['share_of_matrix_rate']:>5.0f} % of the matrix rate"
                f"  {row['times_plain_loop']:>6.2f} x the plain loop"
            )
    print_rounds(results["rounds"], results["start_up_seconds"])
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
