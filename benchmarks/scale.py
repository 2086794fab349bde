"""What large studies and large models cost outside of training: time of this process's own processor, peak memory.

    python benchmarks/scale.py runs [--runs 10000] [--keep FOLDER]
    python benchmarks/scale.py models [--parameters 1000000 10000000] [--clients 10]

``runs``: a study of 4 splits, 5 attacks, 10 defences and so many seeds. One run of it is really done (digits, 3
rounds); its folder is copied under the name and with the config of every other, so every file is there and is of the
usual size. Each step is what a command does: ``plan`` derives the runs from study.toml, ``parts`` is --only and
--shard, ``checks`` and ``missing`` are what ``fedskew study`` does before its first run and in the end, ``table`` and
``reasons`` what it prints, ``display`` what its progress costs, ``watch`` is a look at all folders, ``report`` is
``fedskew report``. ``models``: server rules on a matrix of random updates.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ATTACKS = {
    "none": {},
    "sign-flip": {"adversaries.count": 2, "attack": "sign-flip"},
    "alie": {"adversaries.count": 2, "attack": {"name": "alie", "z": 1.5}},
    "ipm": {"adversaries.count": 2, "attack": {"name": "ipm", "eps": 0.5}},
    "label-flip": {"adversaries.count": 2, "attack": "label-flip"},
}
DEFENCES: dict[str, dict[str, Any]] = {
    "mean": {},
    "median": {"defence.aggregator": "median"},
    **{
        f"clip {norm}": {"defence.transforms": [{"name": "clip", "norm": norm}]}
        for norm in (0.5, 1, 2, 4, 8, 16, 32, 64)
    },
}


def peak() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


@contextmanager
def step(name: str) -> Iterator[None]:
    """Prints what the block took."""
    used, begun = time.process_time(), time.perf_counter()
    yield
    spent = {
        "cpu_seconds": time.process_time() - used,
        "seconds": time.perf_counter() - begun,
        "peak_mb": peak(),
    }
    print(json.dumps({"step": name, **{key: round(value, 3) for key, value in spent.items()}}), flush=True)


def content(seeds: int) -> dict[str, Any]:
    """The study, as its file says it."""
    return {
        "name": "scale",
        "seeds": list(range(seeds)),
        "base": {
            "rounds": 3,
            "data": "digits",
            "split": "dirichlet",
            "model": {"name": "mlp", "hidden": [16]},
            "clients": {"count": 10},
            "stopping": "rounds",
            "training": {"epochs": 1},
        },
        "axes": {
            "alpha": {"field": "split.alpha", "values": [10.0, 1.0, 0.3, 0.1]},
            "attack": {"variants": ATTACKS},
            "defence": {"variants": DEFENCES},
        },
        "claims": [
            {"text": "bias rises as alpha falls", "metric": "bias", "direction": "rises", "over": "alpha"},
            {
                "text": "the median costs accuracy",
                "metric": "accuracy",
                "direction": "falls",
                "compare": {"defence": ["mean", "median"]},
            },
        ],
    }


def runs(count: int, place: Path) -> None:
    """The steps of a study of so many runs, in a folder."""
    with step("import"):
        from fedskew.analysis import reasons_of_each
        from fedskew.config import Execution, to_plain
        from fedskew.config.build import build
        from fedskew.config.origin import Origin
        from fedskew.config.toml_io import write_toml
        from fedskew.report.tables.study import study_tables
        from fedskew.report.write import write_report
        from fedskew.runs.events import Ended, RoundDone, Started
        from fedskew.runs.execute import execute
        from fedskew.study.folder import StudyFolder
        from fedskew.study.grid import Study, planned_runs
        from fedskew.study.impossible import prepare_data, refuse_impossible
        from fedskew.study.missing import missing_runs, relatives
        from fedskew.study.select import select
        from fedskew.study.shard import Shard
        from fedskew.study.source import Source
        from fedskew.study.watch import Watcher
        from fedskew.terminal.progress import TimeLeft

    plain = content(max(1, count // 200))
    record = build(Study, plain)
    with step("plan"):
        planned = planned_runs(record)
    with step("identities"):
        distinct = {plan.identity for plan in planned}
    print(json.dumps({"runs": len(planned), "distinct": len(distinct)}))
    with step("parts"):
        select(planned, ["seed=0"])
        Shard(3, 20).part_of(planned)
    with step("open"):
        folder = StudyFolder.open(place, record, Source(plain, Origin("scale"), "scale"))
    with step("checks"):
        refuse_impossible(place, planned)
    with step("data and splits"):
        prepare_data(planned, Execution(download=False))
    with step("missing, nothing done"):
        missing_runs(folder, planned)
    with step("relatives"):
        relatives(place, planned)
    execute(folder.run_folder(planned[0]), planned[0].completed, Execution(download=False))
    first = folder.run_folder(planned[0])
    with step("faking"):
        for plan in planned[1:]:
            run = folder.run_folder(plan)
            if run.path.exists():
                continue
            shutil.copytree(first.path, run.path)
            run.config.write_text(write_toml(to_plain(plan.experiment)))
    size = sum(path.stat().st_size for path in first.path.iterdir())
    print(json.dumps({"bytes_per_run": size, "files_per_run": len(list(first.path.iterdir()))}))
    with step("missing, everything done"):
        missing_runs(folder, planned)
    watcher = Watcher(str(place))
    for name in ("first", "second"):
        with step(f"watch, {name} look"):
            watcher.look()
    with step("display of 10 events"):
        estimate = TimeLeft([plan.experiment.rounds for plan in planned], 64)
        for task in range(len(planned)):
            estimate.see(Started(task) if task % 2 else Ended(task, 3, None))
        for task in range(1, 21, 2):
            estimate.see(RoundDone(task, 1, {}))
            estimate.text(task)
    with step("table"):
        study_tables(folder.study, folder.planned, folder.path, "text")
    with step("reasons"):
        reasons_of_each(folder.planned, folder.path)
    with step("report"):
        write_report(folder)


def models(sizes: list[int], clients: int) -> None:
    """Rules on [clients, parameters]."""
    import torch

    import fedskew

    torch.set_num_threads(1)
    for size in sizes:
        deltas = torch.randn(clients, size, generator=torch.Generator().manual_seed(0))
        print(json.dumps({"parameters": size, "clients": clients, "matrix_mb": deltas.nbytes / 1e6}))
        for rule, options in {"mean": {}, "median": {}, "trimmed-mean": {"b": 2}, "krum": {"f": 2}}.items():
            with step(f"{rule}, {size:,} parameters"):
                fedskew.aggregate(rule, deltas, **options)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_subparsers(dest="what", required=True)
    of_runs = what.add_parser("runs")
    of_runs.add_argument("--runs", type=int, default=10_000)
    of_runs.add_argument("--keep", type=Path, help="the study's folder, which is then kept")
    of_models = what.add_parser("models")
    of_models.add_argument("--parameters", type=int, nargs="+", default=[1_000_000, 10_000_000])
    of_models.add_argument("--clients", type=int, default=10)
    given = parser.parse_args()
    if given.what == "models":
        models(given.parameters, given.clients)
        return
    with tempfile.TemporaryDirectory() as scratch:
        runs(given.runs, given.keep or Path(scratch) / "study")


if __name__ == "__main__":
    sys.exit(main())
