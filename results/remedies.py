"""The studies of remedies in short: a row for each run; what docs/findings.md shows of them.

    python results/remedies.py collect studies/remedies-under-skew ...    # into results/remedies
    python results/remedies.py tuning
    python results/remedies.py even | attacked | defended | personal [STUDY]
    python results/remedies.py sharing | norms | own | fair | channel
    python results/remedies.py figure fair.svg

``tuning``: mean validation accuracy of each value that was tried; the one that was taken comes first.
``even``: what each remedy changes without an attack, ``attacked``: under the backdoor, ``defended``: under the backdoor
with RLR. Remedy minus FedAvg, paired by seed, in percentage points with 95 % intervals; "better" or "worse" is said
where Student's p, corrected by Holm's method for all cells of the table, is below 0.05. STUDY: ``remedies-under-skew``
unless given, or ``remedies-fashion-mnist``.
``personal``: the clients' own models of Ditto and fine-tuning, and what they have more than the global one.
``sharing``, ``norms``: what data sharing changes, and normalisation layers in a small CNN; as above.
``own``: accuracy where clients keep their batch normalisation for themselves, and where they share it.
``fair``: what q-FedAvg, AFL and TERM do to the worst client and to the backdoor, minus equal weights; as above.
``channel``: accuracy and backdoor where adversaries scale what they upload under SCAFFOLD.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from collected import write_rows
from matplotlib.figure import Figure

from fedskew.analysis import estimate, results_table
from fedskew.analysis.contrasts import Contrast, per_seed
from fedskew.analysis.estimates import in_table_units
from fedskew.analysis.significance import holm_corrected, student
from fedskew.evaluation.metric_table import meaning
from fedskew.report.figures.files import own_settings, save_figure
from fedskew.report.figures.style import MUTED, look
from fedskew.study.folder import StudyFolder
from fedskew.study.grid import Study, excluded
from fedskew.study.source import as_study, find_config

HERE = Path(__file__).resolve().parent
PLACE = HERE / "remedies"
KEPT = (
    *("run", "seed", "accuracy", "bias", "worst_class_accuracy", "attack_success_rate", "clean_trigger_rate"),
    *("validation_accuracy", "held_out_accuracy_mean", "held_out_accuracy_worst", "diverged"),
    *("personal_accuracy_mean", "personal_accuracy_worst", "personal_attack_success_rate"),
)
"""Columns of a ``results_table``, besides the axes."""
MAIN, TUNING, FAIR, CHANNEL = "remedies-under-skew", "remedies-tuning", "fair-objectives", "scaffold-channel"
SHARING, NORMS, OWN_NORMS = "data-sharing-under-skew", "norms-under-skew", "own-norms-under-skew"
PLAIN = "fedavg"
ALPHAS = (1.0, 0.25, 0.1)
COLUMNS = {
    "even": (
        "no attack",
        [(m, a) for m in ("accuracy", "bias", "held_out_accuracy_worst") for a in (0.25, 0.1)],
    ),
    "attacked": (
        "backdoor",
        [*(("attack_success_rate", a) for a in ALPHAS), ("held_out_accuracy_worst", 0.1)],
    ),
    "defended": (
        "backdoor + RLR",
        [*(("attack_success_rate", a) for a in ALPHAS), *(("accuracy", a) for a in (0.25, 0.1))],
    ),
}
NAMES = {"attack_success_rate": "backdoor", "held_out_accuracy_worst": "worst client"}
"""What metrics are called in the tables."""
FAR = 4.5
"""Percentage points from equal weights, from which a point of the figure has its option written beside it."""
PERSONAL = ("ditto", "fine-tuning")
"""Remedies that leave the global model as it is; what they change is the clients' own models."""


def study(name: str) -> Study:
    """A study by its preset or by its file beside this one."""
    path = HERE / f"{name}.toml"
    return as_study(find_config(str(path) if path.exists() else name))


def collect(folder: StudyFolder) -> None:
    """Adds one row per complete run."""
    PLACE.mkdir(exist_ok=True)
    results, axes = results_table(folder.planned, folder.path), list(folder.study.axes)
    rows = results[[*axes, *(column for column in KEPT if column in results)]]
    path = PLACE / f"{folder.study.name}.csv.gz"
    print(f"{write_rows(rows, path, study(folder.study.name), ['seed', *axes])} runs in {path}")


def runs(name: str) -> pd.DataFrame:
    """The collected runs of a study."""
    return pd.read_csv(PLACE / f"{name}.csv.gz", keep_default_na=False, na_values=[""])


def labels(name: str, axis: str) -> list[str]:
    """The points of an axis, in order."""
    return [str(label) for label, _ in study(name).axes[axis].points()]


def tuning() -> Iterator[str]:
    """One row per remedy that has an option."""
    found: dict[str, list[tuple[float, str]]] = {}
    results = runs(TUNING)
    for label in labels(TUNING, "remedy"):
        remedy, _, value = label.rpartition(" ")
        if remedy:
            metric = "personal_accuracy_mean" if remedy in PERSONAL else "validation_accuracy"
            mean = float(results.loc[results["remedy"] == label, metric].mean())
            found.setdefault(remedy, []).append((mean, value))
    yield _line(["remedy", "taken", "others"])
    yield _line(["---"] * 3)
    for remedy, tried in found.items():
        first, *others = (f"{value} ({100 * mean:.1f} %)" for mean, value in best_first(tried))
        yield _line([remedy, first, ", ".join(others)])


def best_first(tried: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """(mean, value), the highest mean first; of equal means, the value that was tried first."""
    return sorted(tried, key=lambda pair: -pair[0])


def effects(kind: str, name: str = MAIN) -> Iterator[str]:
    """One row per remedy: FedAvg itself, then the others minus FedAvg."""
    setting, columns = COLUMNS[kind]
    made, results = study(name), runs(name)
    where = [{"alpha": alpha, "setting": setting} for _, alpha in columns]
    yield from _table(
        made,
        results,
        ("remedy", PLAIN),
        [
            r
            for r in labels(name, "remedy")
            if r != PLAIN and not excluded(made, {"alpha": ALPHAS[0], "setting": setting, "remedy": r})
        ],
        [
            (metric, f"{_called(metric)}, alpha {alpha:g}", place)
            for (metric, alpha), place in zip(columns, where, strict=True)
        ],
        leave_out=PERSONAL,
    )


def personal(name: str = MAIN) -> Iterator[str]:
    """One row per kind of personal model and spread: the clients' own models, and the same run's global one on the
    same images."""
    results = runs(name)
    header = ["models", "alpha", "mean over clients", "minus global", "worst client", "minus global"]
    yield _line([*header, "backdoor", "with RLR"])
    yield _line(["---"] * 8)
    places = [(remedy, alpha) for remedy in PERSONAL for alpha in ALPHAS]
    found, gains = {}, []
    for place in places:
        here = results[(results["remedy"] == place[0]) & (results["alpha"] == place[1])]
        found[place] = {str(setting): rows for setting, rows in here.groupby("setting")}
        calm = found[place]["no attack"]
        for what in ("mean", "worst"):
            own, shared = (calm[f"{kind}_accuracy_{what}"] for kind in ("personal", "held_out"))
            gains.append((100 * (own - shared)).tolist())
    corrected = holm_corrected([student(each) for each in gains])
    changes = iter(_change(*pair) for pair in zip(gains, ["accuracy"] * len(gains), corrected, strict=True))
    for remedy, alpha in places:
        rows = found[remedy, alpha]
        cells = []
        for what in ("mean", "worst"):
            cells += [_mean(rows["no attack"], f"personal_accuracy_{what}"), next(changes)]
        success = [_mean(rows[s], "personal_attack_success_rate") for s in ("backdoor", "backdoor + RLR")]
        yield _line([remedy, f"{alpha:g}", *cells, *success])


def other(name: str, axis: str, alphas: Sequence[float]) -> Iterator[str]:
    """One row per point of an axis: the first itself, then the others minus it."""
    columns = [
        (metric, f"{_called(metric)}, {setting}, alpha {alpha:g}", {"alpha": alpha, "setting": setting})
        for metric, setting in (
            ("accuracy", "no attack"),
            ("bias", "no attack"),
            ("attack_success_rate", "backdoor"),
            ("attack_success_rate", "backdoor + RLR"),
        )
        for alpha in alphas
    ]
    first, *others = labels(name, axis)
    yield from _table(study(name), runs(name), (axis, first), others, columns)


def own_norms() -> Iterator[str]:
    """One row per spread: shared layers; what own ones change for the clients, and for the global model."""
    results = runs(OWN_NORMS)
    asked = [
        ("mean over clients", "no attack", "personal_accuracy_mean", "held_out_accuracy_mean"),
        ("worst client", "no attack", "personal_accuracy_worst", "held_out_accuracy_worst"),
        ("global model", "no attack", "accuracy", "accuracy"),
        ("backdoor in the global model", "backdoor", "attack_success_rate", "attack_success_rate"),
    ]
    heads = [f"{name}, {what}" for name, *_ in asked for what in ("shared", "own")]
    yield _line(["alpha", *heads])
    yield _line(["---"] * (1 + len(heads)))
    found: list[list[float]] = []
    shared: list[str] = []
    for alpha in (1.0, 0.1):
        for _, setting, mine, theirs in asked:
            here = results[(results["alpha"] == alpha) & (results["setting"] == setting)].sort_values("seed")
            plain, own = (here[here["personal"] == kind] for kind in ("none", "fedbn"))
            shared.append(_mean(plain, theirs))
            gains = 100 * (own[mine].to_numpy() - plain[theirs].to_numpy())
            found.append(gains.tolist())
    corrected = holm_corrected([student(each) for each in found])
    for row, alpha in enumerate((1.0, 0.1)):
        cells = []
        for column, (_, _, metric, _) in enumerate(asked):
            at = row * len(asked) + column
            cells += [shared[at], _change(found[at], metric, corrected[at])]
        yield _line([f"{alpha:g}", *cells])


def fair() -> Iterator[str]:
    """One row per objective."""
    columns = [
        (metric, f"{_called(metric)}, alpha {alpha:g}", {"alpha": alpha, "setting": setting})
        for metric, setting in (
            ("held_out_accuracy_worst", "no attack"),
            ("bias", "no attack"),
            ("attack_success_rate", "backdoor"),
        )
        for alpha in (0.25, 0.1)
    ]
    first, *others = labels(FAIR, "objective")
    yield from _table(study(FAIR), runs(FAIR), ("objective", first), others, columns)


def channel() -> Iterator[str]:
    """One row per case."""
    results = runs(CHANNEL)
    places = [(a, alpha) for a in ("mean", "median") for alpha in (1.0, 0.1)]
    yield _line(
        [
            "case",
            *(f"{a}, alpha {alpha:g}: {what}" for a, alpha in places for what in ("accuracy", "backdoor")),
        ]
    )
    yield _line(["---"] * (1 + 2 * len(places)))
    for case in labels(CHANNEL, "case"):
        cells = []
        for aggregator, alpha in places:
            here = results[
                (results["case"] == case)
                & (results["aggregator"] == aggregator)
                & (results["alpha"] == alpha)
            ]
            cells += [_mean(here, "accuracy"), _mean(here, "attack_success_rate")]
        yield _line([case, *cells])


def _table(
    made: Study,
    results: pd.DataFrame,
    base: tuple[str, str],
    others: Sequence[str],
    columns: Sequence[tuple[str, str, dict[str, Any]]],
    leave_out: Sequence[str] = (),
) -> Iterator[str]:
    """The base's means, then what the others change: ``columns`` are (metric, heading, where)."""
    axis, plain = base
    yield _line([axis, *(heading for _, heading, _ in columns)])
    yield _line(["---"] * (1 + len(columns)))
    at = results[results[axis] == plain]
    means = []
    for metric, _, where in columns:
        here = at
        for name, label in where.items():
            here = here[here[name] == label]
        means.append(_mean(here, metric))
    yield _line([f"*{plain}*", *means])
    shown = [name for name in others if name not in leave_out]
    values: list[list[float]] = []
    for name in shown:
        for metric, _, where in columns:
            effect = per_seed(
                results, made, in_table_units(results, metric), Contrast((axis, plain, name), where=where)
            )
            values.append(list(effect.values.values()) if effect else [])
    corrected = iter(holm_corrected([student(each) for each in values]))
    rest = iter(values)
    for name in shown:
        cells = [_change(next(rest), metric, next(corrected)) for metric, _, _ in columns]
        yield _line([name, *cells])


def _change(values: Sequence[float], metric: str, p_value: float) -> str:
    one = estimate(values)
    if not one.n:
        return "–"
    text = f"{one.mean:+.1f} ({one.low:+.1f} to {one.high:+.1f})"
    if not p_value < 0.05:
        return text
    good = (one.mean > 0) == (meaning(metric).better == "higher")
    return f"{text} **{'better' if good else 'worse'}**"


def _mean(rows: pd.DataFrame, metric: str) -> str:
    values = in_table_units(rows, metric).dropna().tolist() if metric in rows else []
    if not values:
        return "–"
    one = estimate(values, bounds=(0.0, 100.0))
    return f"{one.mean:.1f} ({one.low:.1f} to {one.high:.1f})"


def _called(metric: str) -> str:
    return NAMES.get(metric, meaning(metric).label)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def figure(path: Path) -> None:
    """Worst client without an attack against success of the backdoor, for each value of the objectives' options."""
    results = runs(FAIR)
    groups: dict[str, list[str]] = {}
    for label in labels(FAIR, "objective"):
        groups.setdefault(label.split()[0], []).append(label)
    plain = groups.pop("equal")[0]
    with own_settings(), mpl.rc_context({"font.size": 9.0, "axes.titlesize": 9.5}):
        drawn = Figure(figsize=(8.4, 3.6), layout="constrained")
        for axes, alpha in zip(drawn.subplots(1, 2, sharey=True), (0.25, 0.1), strict=True):
            here = results[results["alpha"] == alpha]

            def point(label: str, here: pd.DataFrame = here) -> tuple[float, float]:
                of = here[here["objective"] == label]
                calm, attacked = of[of["setting"] == "no attack"], of[of["setting"] == "backdoor"]
                return (
                    100 * float(calm["held_out_accuracy_worst"].mean()),
                    100 * float(attacked["attack_success_rate"].mean()),
                )

            for number, (name, own) in enumerate(groups.items()):
                style = look(number)
                drawn_as: Any = {"color": style.colour, "label": name, "alpha": 0.8}
                axes.plot(*zip(*map(point, own), strict=True), style.marker + "-", **drawn_as)
                for turn, label in enumerate(own):
                    # Near the equal weights, where most points lie, letters would cover each other.
                    if math.dist(point(label), point(plain)) > FAR:
                        axes.annotate(
                            label.removeprefix(f"{name} "),
                            point(label),
                            (5, -11 if turn % 2 else 5),
                            textcoords="offset points",
                            fontsize=8,
                        )
            axes.plot(*point(plain), "*", color=MUTED, markersize=10, label=plain)
            axes.set(title=f"alpha = {alpha:g}", xlabel="worst client without an attack [%]")
            axes.margins(0.12)
            axes.grid(visible=False)
        drawn.axes[0].set(ylabel="backdoor success [%]")
        handles, names = drawn.axes[0].get_legend_handles_labels()
        drawn.legend(handles, names, loc="outside lower center", ncols=4, frameon=False)
        save_figure(drawn, path, dpi=150)
    print(path)


def main() -> None:
    """What the command line names."""
    tables = {
        "tuning": tuning,
        "sharing": lambda: other(SHARING, "sharing", (0.25, 0.1)),
        "norms": lambda: other(NORMS, "norm", (1.0, 0.1)),
        "own": own_norms,
        "fair": fair,
        "channel": channel,
    }
    match sys.argv[1:]:
        case ["collect", *folders] if folders:
            for folder in folders:
                collect(StudyFolder.read(Path(folder)))
        case ["figure", path]:
            figure(Path(path))
        case ["personal", *of] if len(of) < 2:
            print("\n".join(personal(*of)))
        case [name, *of] if name in COLUMNS and len(of) < 2:
            print("\n".join(effects(name, *of)))
        case [name] if name in tables:
            print("\n".join(tables[name]()))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
