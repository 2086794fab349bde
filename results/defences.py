"""The studies of defences in short: a row for each run; what docs/findings.md shows of them.

    python results/defences.py collect studies/defences-under-skew    # into results/defences-under-skew
    python results/defences.py leaderboard [STUDY]
    python results/defences.py cost [STUDY]
    python results/defences.py clients [STUDY]
    python results/defences.py backdoor [STUDY]
    python results/defences.py figure defences.svg [STUDY]

STUDY is ``defences-under-skew`` unless said otherwise, or ``defences-fashion-mnist``.

``leaderboard``: what is left of each defence under the attack that is worst in each seed: the accuracy or, if that is
lower, the share of triggered images that the backdoor does not turn. Mean over seeds with its 95 % interval; the best
worst case over all spreads stands first.
``cost``: accuracy and worst class without an attack, minus the same without the defence, paired by seed (percentage
points).
``figure``: the same under the worst attack, without one and under each as heat maps.
``backdoor``: the backdoor's success without a defence, then with it minus the same without (paired by seed).
``clients``: without an attack, in how many rounds honest clients are down-weighted, and by how many percentage points
more if a client's labels are 0.1 (total variation distance) further from those of all clients.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from collected import write_rows
from matplotlib.figure import Figure

from fedskew.analysis import Estimate, estimate, results_table
from fedskew.analysis.contrasts import Contrast, per_seed
from fedskew.analysis.estimates import in_table_units
from fedskew.analysis.pays.treatment import Treated, TreatedRun, treated, weighed
from fedskew.analysis.pays.unusual import everybody, slope
from fedskew.analysis.scorecard import what_is_left
from fedskew.analysis.worst import worst_rows
from fedskew.report.figures.files import own_settings, save_figure
from fedskew.study.folder import StudyFolder
from fedskew.study.grid import Study
from fedskew.study.notes import read_counts, read_note
from fedskew.study.source import as_study, find_config

NAME = "defences-under-skew"
HERE = Path(__file__).resolve().parent
RUNS, CLIENTS = "runs.csv.gz", "clients.csv.gz"
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
SHOWN = {NAME: (100.0, 0.25, 0.1)}
"""Spreads at which costs are shown; of other studies, all."""


def study(name: str = NAME) -> Study:
    """A study by its preset or by its file beside this one."""
    path = HERE / f"{name}.toml"
    return as_study(find_config(str(path) if path.exists() else name))


def collect(folder: StudyFolder) -> None:
    """Adds one row per complete run, and one per honest client of a run whose rule gave weights and had no attack."""
    place = HERE / folder.study.name
    place.mkdir(exist_ok=True)
    results = results_table(folder.planned, folder.path)
    rows = results[[column for column in KEPT if column in results]]
    made = study(folder.study.name)
    order = ["seed", "alpha", "attack", "defence"]
    total = write_rows(rows, place / RUNS, made, order, down=["alpha"])
    clients: list[dict[str, Any]] = []
    for plan in folder.planned:
        if plan.cell["attack"] != NO_ATTACK or not folder.run_folder(plan).result.exists():
            continue
        weights = weighed(folder.run_folder(plan).read_records())
        found = read_counts(read_note(folder.run_folder(plan), plan)) if weights else None
        if found is not None:
            summary, counts = found
            named = {**plan.cell, "seed": plan.seed, "run": plan.identity}
            clients += [{**named, **vars(one)} for one in treated(weights, counts, summary.malicious)]
    order += ["client"]
    in_all = write_rows(pd.DataFrame(clients), place / CLIENTS, made, order, down=["alpha"])
    print(f"{total} runs and {in_all} clients in {place}")


def runs(name: str = NAME) -> pd.DataFrame:
    """The collected runs of a study."""
    texts = {"threat_model": "string", "diverged": "string"}
    return pd.read_csv(HERE / name / RUNS, keep_default_na=False, na_values=[""], dtype=texts).fillna(
        {"threat_model": "", "diverged": ""}
    )


@dataclass(frozen=True)
class Kept:
    """What is left of one defence under the attack that is worst in each seed, by alpha."""

    defence: str
    left: dict[float, Estimate]
    attack: dict[float, str]
    clean: dict[float, Estimate]

    @property
    def worst(self) -> float:
        """The mean at the spread where least is left."""
        return min(one.mean for one in self.left.values())


def ranked(name: str = NAME) -> list[Kept]:
    """All defences, the one with the best worst case first."""
    results = runs(name)
    results = results.assign(left=100 * what_is_left(results))
    clean, attacked = results[results["attack"] == NO_ATTACK], results[results["attack"] != NO_ATTACK]
    worst = worst_rows(attacked, "attack", ["alpha", "defence", "seed"], "left", highest=False)
    found = []
    for defence, rows in worst.groupby("defence", sort=False):
        calm = clean[clean["defence"] == defence]
        found.append(
            Kept(
                str(defence),
                _left(rows),
                {a: group["attack"].mode().iloc[0] for a, group in rows.groupby("alpha")},
                _left(calm),
            )
        )
    return sorted(found, key=lambda kept: -kept.worst)


def _left(rows: pd.DataFrame) -> dict[float, Estimate]:
    groups = rows.groupby("alpha", sort=False)
    return {float(a): estimate(group["left"].tolist(), bounds=(0.0, 100.0)) for a, group in groups}


def spreads(name: str = NAME) -> list[float]:
    """All alphas, evenly spread data first."""
    return sorted((float(alpha) for alpha in runs(name)["alpha"].unique()), reverse=True)


def leaderboard(name: str = NAME) -> Iterator[str]:
    """One row per defence, one column per spread."""
    alphas = spreads(name)
    yield _line(["defence", *(f"alpha {alpha:g}" for alpha in alphas)])
    yield _line(["---"] * (len(alphas) + 1))
    for kept in ranked(name):
        shown = [
            f"{kept.left[a].mean:.0f} ({kept.left[a].low:.0f} to {kept.left[a].high:.0f}) {kept.attack[a]}"
            for a in alphas
        ]
        yield _line([kept.defence, *shown])


def cost(name: str = NAME) -> Iterator[str]:
    """One row per defence, the cheapest for the worst class at the most uneven spread first."""
    results, made = runs(name), study(name)
    shown_at = SHOWN.get(name, spreads(name))
    columns = [(alpha, metric) for alpha in shown_at for metric in ("accuracy", "worst_class_accuracy")]
    yield _line(
        ["defence", *(f"{'accuracy' if m == 'accuracy' else 'worst class'}, alpha {a:g}" for a, m in columns)]
    )
    yield _line(["---"] * (len(columns) + 1))
    lines = []
    for defence in [label for label, _ in made.axes["defence"].points() if label != UNDEFENDED]:
        found = []
        for alpha, metric in columns:
            pair = Contrast(("defence", UNDEFENDED, defence), where={"alpha": alpha, "attack": NO_ATTACK})
            effect = per_seed(results, made, in_table_units(results, metric), pair)
            found.append(estimate(list(effect.values.values()) if effect else []))
        shown = [f"{one.mean:+.1f} ({one.low:+.1f} to {one.high:+.1f})" for one in found]
        lines.append((found[-1].mean, _line([str(defence), *shown])))
    yield from (line for _, line in sorted(lines, key=lambda pair: -pair[0]))


def backdoor(name: str = NAME) -> Iterator[str]:
    """One row per defence, one column per spread; the one that helps most on the most uneven data first."""
    results, made = runs(name), study(name)
    alphas, metric = spreads(name), "attack_success_rate"
    yield _line(["defence", *(f"alpha {alpha:g}" for alpha in alphas)])
    yield _line(["---"] * (1 + len(alphas)))
    attacked = results[results["attack"] == "backdoor"]
    plain = attacked[attacked["defence"] == UNDEFENDED]
    without = [
        estimate(in_table_units(plain[plain["alpha"] == alpha], metric).tolist(), bounds=(0.0, 100.0))
        for alpha in alphas
    ]
    yield _line(
        [f"*{UNDEFENDED}*", *(f"{one.mean:.0f} ({one.low:.0f} to {one.high:.0f})" for one in without)]
    )
    lines = []
    for defence in [label for label, _ in made.axes["defence"].points() if label != UNDEFENDED]:
        found = []
        for alpha in alphas:
            pair = Contrast(("defence", UNDEFENDED, defence), where={"alpha": alpha, "attack": "backdoor"})
            effect = per_seed(results, made, in_table_units(results, metric), pair)
            found.append(estimate(list(effect.values.values()) if effect else []))
        shown = [f"{one.mean:+.0f} ({one.low:+.0f} to {one.high:+.0f})" for one in found]
        lines.append((found[-1].mean, _line([str(defence), *shown])))
    yield from (line for _, line in sorted(lines, key=lambda pair: pair[0]))


def clients(name: str = NAME) -> Iterator[str]:
    """One row per defence that gives weights, one column per uneven spread."""
    rows = pd.read_csv(HERE / name / CLIENTS)
    alphas = [alpha for alpha in spreads(name) if alpha <= 1]
    yield _line(["defence", "down-weighted", *(f"alpha {alpha:g}" for alpha in alphas)])
    yield _line(["---"] * (2 + len(alphas)))
    weighing = {str(defence): mine for defence, mine in rows.groupby("defence")}
    for defence, mine in (
        (label, weighing[label]) for label, _ in study(name).axes["defence"].points() if label in weighing
    ):
        uneven = {alpha: _treated(mine[mine["alpha"] == alpha]) for alpha in alphas}
        rates = [everybody(every).down_weighted.mean for every in uneven.values()]
        low, high = (f"{rate:.0f}" for rate in (min(rates), max(rates)))
        cells = []
        for every in uneven.values():
            change = slope(every)
            cells.append(
                "–" if change is None else f"{change.effect:+.1f} ({change.low:+.1f} to {change.high:+.1f})"
            )
        yield _line([str(defence), f"{low} %" if low == high else f"{low} to {high} %", *cells])


def _treated(rows: pd.DataFrame) -> list[TreatedRun]:
    return [
        TreatedRun(str(run), int(seed), tuple(map(_client, some.to_dict("records"))))
        for (run, seed), some in rows.groupby(["run", "seed"], sort=False)
    ]


def _client(row: dict[Any, Any]) -> Treated:
    return Treated(
        *(row[name] for name in ("client", "unusualness", "rounds", "rejected", "down_weighted", "weight"))
    )


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def heat_maps(name: str = NAME) -> dict[str, dict[str, dict[float, Estimate]]]:
    """What is left of each defence: title -> defence -> alpha, under the worst attack, without one, and under each."""
    results = runs(name)
    results = results.assign(left=100 * what_is_left(results))
    maps = {"worst in each seed": {kept.defence: kept.left for kept in ranked(name)}}
    for attack, _ in study(name).axes["attack"].points():
        rows = results[results["attack"] == attack].groupby("defence", sort=False)
        maps[str(attack)] = {str(defence): _left(each) for defence, each in rows}
    return maps


def figure(path: Path, name: str = NAME) -> None:
    """The maps side by side, defences x spreads; the defence with the best worst case first."""
    defences, alphas, maps = [kept.defence for kept in ranked(name)], spreads(name), heat_maps(name)
    with own_settings(), mpl.rc_context({"font.size": 8.0, "axes.titlesize": 9.0}):
        drawn = Figure(figsize=(1.4 + 1.6 * len(maps), 1.2 + 0.23 * len(defences)), layout="constrained")
        for axes, (title, cells) in zip(drawn.subplots(1, len(maps), sharey=True), maps.items(), strict=True):
            means = [[cells[defence][alpha].mean for alpha in alphas] for defence in defences]
            axes.imshow(means, vmin=0, vmax=100, cmap="viridis", aspect="auto")
            for row, line in enumerate(means):
                for column, mean in enumerate(line):
                    colour = "white" if mean < 60 else "black"
                    axes.text(column, row, f"{mean:.0f}", ha="center", va="center", color=colour, fontsize=8)
            axes.set(title=title, xlabel="alpha")
            axes.set_xticks(range(len(alphas)), [f"{alpha:g}" for alpha in alphas])
            axes.set_yticks(range(len(defences)), defences)
            axes.tick_params(length=0)
            axes.grid(visible=False)
        save_figure(drawn, path, dpi=150)


def main() -> None:
    """What the command line names."""
    tables = {"leaderboard": leaderboard, "cost": cost, "clients": clients, "backdoor": backdoor}
    match sys.argv[1:]:
        case ["collect", folder]:
            collect(StudyFolder.read(Path(folder)))
        case ["figure", path, *of] if len(of) < 2:
            figure(Path(path), *of)
        case [table, *of] if table in tables and len(of) < 2:
            print("\n".join(tables[table](*of)))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
