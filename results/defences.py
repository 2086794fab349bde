"""The study ``defences-under-skew`` in short: a row for each of its 6,000 runs; what docs/findings.md shows of it.

    python results/defences.py collect studies/defences-under-skew    # into results/defences-under-skew
    python results/defences.py leaderboard
    python results/defences.py cost
    python results/defences.py clients
    python results/defences.py figure defences.svg

``leaderboard``: what is left of each defence under the attack that is worst in each seed: the accuracy or, if that is
lower, the share of triggered images that the backdoor does not turn. Mean over seeds with its 95 % interval; the best
worst case over all spreads stands first.
``cost``: accuracy and worst class without an attack, minus the same without the defence, paired by seed.
``clients``: how often an honest client is down-weighted, all of them and the usual and unusual ones, without an attack.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from fedskew.analysis import estimate, results_table
from fedskew.analysis.contrasts import Contrast, per_seed
from fedskew.analysis.estimates import in_table_units
from fedskew.analysis.pays.treatment import Treated, TreatedRun, treated, weighed
from fedskew.analysis.pays.unusual import everybody, slope
from fedskew.analysis.scorecard import what_is_left
from fedskew.analysis.worst import worst_rows
from fedskew.report.evidence import Evidence
from fedskew.report.figures.audit import kept_plates
from fedskew.report.figures.files import save_scene
from fedskew.report.notes import read_counts, read_note
from fedskew.study.folder import StudyFolder
from fedskew.study.grid import Study, planned_runs
from fedskew.study.source import as_study, find_config

NAME = "defences-under-skew"
HERE = Path(__file__).resolve().parent / NAME
RUNS, CLIENTS = HERE / "runs.csv.gz", HERE / "clients.csv.gz"
KEPT = (
    *(
        "alpha",
        "attack",
        "defence",
        "seed",
        "run",
        "engine",
        "threat_model",
        "diverged",
        "skew_total_variation",
    ),
    *("accuracy", "bias", "worst_class_accuracy", "attack_success_rate", "clean_trigger_rate"),
    *("held_out_accuracy_mean", "held_out_accuracy_worst", "held_out_accuracy_worst_tenth"),
    *("detection_true_positive_rate", "detection_false_positive_rate", "down_weighted_honest"),
)
"""Columns of a ``results_table``."""
UNDEFENDED, NO_ATTACK = "no defence", "no attack"
USUAL, UNUSUAL = 0.3, 0.6
"""Total variation distances: clients below the one and from the other on are set beside each other."""


def study() -> Study:
    """The shipped study."""
    return as_study(find_config(NAME))


def collect(folder: StudyFolder) -> None:
    """Writes one row per complete run, and one per honest client of a run whose rule gave weights and had no attack."""
    HERE.mkdir(exist_ok=True)
    results = results_table(folder.planned, folder.path)
    rows = results[[column for column in KEPT if column in results]]
    _write(
        rows.sort_values(["seed", "alpha", "attack", "defence"], ascending=[True, False, True, True]), RUNS
    )
    clients: list[dict[str, Any]] = []
    for plan in folder.planned:
        if plan.cell["attack"] != NO_ATTACK or not folder.run_folder(plan).result.exists():
            continue
        weights = weighed(folder.run_folder(plan).read_records())
        found = read_counts(read_note(folder, plan)) if weights else None
        if found is not None:
            summary, counts = found
            named = {**plan.cell, "seed": plan.seed, "run": plan.identity}
            clients += [{**named, **vars(one)} for one in treated(weights, counts, summary.malicious)]
    _write(pd.DataFrame(clients), CLIENTS)
    print(f"{len(rows)} runs and {len(clients)} clients in {HERE}")


def _write(frame: pd.DataFrame, path: Path) -> None:
    """The same numbers give the same bytes."""
    frame.to_csv(path, index=False, float_format="%.6g", compression={"method": "gzip", "mtime": 0})


def runs() -> pd.DataFrame:
    """The collected runs."""
    return pd.read_csv(RUNS, keep_default_na=False, na_values=[""]).fillna(
        {"threat_model": "", "diverged": ""}
    )


def leaderboard() -> Iterator[str]:
    """One row per defence, one column per spread."""
    results = runs()
    results = results.assign(left=100 * what_is_left(results))
    attacked = results[results["attack"] != NO_ATTACK]
    worst = worst_rows(attacked, "attack", ["alpha", "defence", "seed"], "left", highest=False)
    found = {}
    for defence, rows in worst.groupby("defence", sort=False):
        cells = {
            a: estimate(group["left"].tolist(), bounds=(0.0, 100.0)) for a, group in rows.groupby("alpha")
        }
        found[str(defence)] = (
            cells,
            {a: group["attack"].mode().iloc[0] for a, group in rows.groupby("alpha")},
        )
    alphas = sorted(results["alpha"].unique(), reverse=True)
    yield _line(["defence", *(f"alpha {alpha:g}" for alpha in alphas)])
    yield _line(["---"] * (len(alphas) + 1))
    for defence, (cells, attacks) in sorted(
        found.items(), key=lambda item: -min(c.mean for c in item[1][0].values())
    ):
        shown = [
            f"{cells[a].mean:.0f} ({cells[a].low:.0f} to {cells[a].high:.0f}) {attacks[a]}" for a in alphas
        ]
        yield _line([defence, *shown])


def cost() -> Iterator[str]:
    """One row per defence, two columns per spread."""
    results, made = runs(), study()
    alphas = sorted(results["alpha"].unique(), reverse=True)
    yield _line(
        ["defence", *(f"{what}, alpha {a:g}" for a in alphas for what in ("accuracy", "worst class"))]
    )
    yield _line(["---"] * (2 * len(alphas) + 1))
    for defence in [label for label, _ in made.axes["defence"].points() if label != UNDEFENDED]:
        cells = []
        for alpha in alphas:
            for metric in ("accuracy", "worst_class_accuracy"):
                where = {"alpha": alpha, "attack": NO_ATTACK}
                pair = Contrast(("defence", UNDEFENDED, defence), where=where)
                effect = per_seed(results, made, in_table_units(results, metric), pair)
                one = estimate(list(effect.values.values()) if effect else [])
                cells.append(f"{one.mean:+.1f} ({one.low:+.1f} to {one.high:+.1f})")
        yield _line([str(defence), *cells])


def clients() -> Iterator[str]:
    """One row per defence that gives weights and spread."""
    rows = pd.read_csv(CLIENTS)
    header = [
        "defence",
        "alpha",
        "down-weighted",
        f"below {USUAL:g}",
        f"from {UNUSUAL:g} on",
        "per 0.1 of unusualness",
    ]
    yield _line(header)
    yield _line(["---"] * len(header))
    for (defence, alpha), group in rows.groupby(["defence", "alpha"], sort=False):
        every = [
            TreatedRun(str(run), int(seed), tuple(map(_client, some.to_dict("records"))))
            for (run, seed), some in group.groupby(["run", "seed"], sort=False)
        ]
        change = slope(every)
        parts = [_some(every, lambda u: u < USUAL), _some(every, lambda u: u >= UNUSUAL)]
        shown = [_rate(part) for part in (every, *parts)]
        steep = "–" if change is None else f"{change.effect:+.1f} ({change.low:+.1f} to {change.high:+.1f})"
        yield _line([str(defence), f"{alpha:g}", *shown, steep])


def _client(row: dict[Any, Any]) -> Treated:
    return Treated(
        *(row[name] for name in ("client", "unusualness", "rounds", "rejected", "down_weighted", "weight"))
    )


def _some(every: list[TreatedRun], wanted: Callable[[float], bool]) -> list[TreatedRun]:
    chosen = (TreatedRun(r.name, r.seed, tuple(c for c in r.clients if wanted(c.unusualness))) for r in every)
    return [run for run in chosen if run.clients]


def _rate(every: list[TreatedRun]) -> str:
    found = everybody(every).down_weighted
    return "–" if found.n < 3 else f"{found.mean:.0f} % ({found.low:.0f} to {found.high:.0f})"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def figure(path: Path) -> None:
    """The heat map of attacks x defences for each spread."""
    made = study()
    (plate,) = kept_plates(Evidence(HERE, made, planned_runs(made), runs(), {}, []))
    save_scene(plate.draw(), path)
    print(path)


def main() -> None:
    """What the command line names."""
    tables = {"leaderboard": leaderboard, "cost": cost, "clients": clients}
    match sys.argv[1:]:
        case ["collect", folder]:
            collect(StudyFolder.read(Path(folder)))
        case ["figure", path]:
            figure(Path(path))
        case [name] if name in tables:
            print("\n".join(tables[name]()))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
