"""The tables of docs/reproduction.md, from the records beside this file and from nothing else.

    python results/tables.py beside paper-fashion-mnist
    python results/tables.py agreement paper-fashion-mnist
    python results/tables.py claims paper-fashion-mnist
    python results/tables.py endings paper-fashion-mnist
    python results/tables.py sensitivities sensitivities-fashion-mnist
    python results/tables.py spread sensitivities-fashion-mnist
    python results/tables.py updates sensitivities-fashion-mnist
    python results/tables.py precision precision-fashion-mnist | precision-cifar-10

``beside``: the paper's numbers and ours, a column for each alpha.
``agreement``: which entries of the paper's tables lie within two combined standard deviations of ours, and which means
differ (Welch's t-test, Holm's correction).
``claims``: the paper's claims and the study's own with effect, interval and verdict.
``endings``: when the runs stop; the backdoor accuracy in a round that all runs of a setting have, and how fast it still
rises at the end; the spread of accuracy and bias from round to round beside that from seed to seed.
``sensitivities``: what each choice that the paper leaves open changes, as differences to the authors' code, paired by
seed; and two choices that need no runs of their own: the best round (lowest test loss) instead of the last, and the
backdoor's success on images that are not of its target class anyway.
``spread``: how much of the spread between seeds is that of the splits: seeds with a split of their own, and with
one split for all.
``updates``: norms of the honest and the malicious updates and the cosines between them, over the last rounds.
``precision``: float32 and bfloat16, and their difference, paired by seed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from fedskew.analysis import cells, estimate, judge, pooled_difference, results_table, summary_table
from fedskew.analysis.estimates import in_table_units
from fedskew.errors import FedskewError
from fedskew.evaluation.metric_table import meaning
from fedskew.papers import claims_of
from fedskew.papers.ozdayi_kantarcioglu import beside_paper
from fedskew.protocols import RoundRecord
from fedskew.runs.folder import RunFolder
from fedskew.study.folder import StudyFolder

HERE = Path(__file__).resolve().parent
ONE_SPLIT = "one split for all seeds"
"""A choice whose mean says nothing (with seed 0 it is the baseline) and whose spread says all (``spread``)."""
SHOWN = ("accuracy", "bias", "backdoor_accuracy", "rounds")


def agreement(folder: StudyFolder) -> str:
    """Entry by entry: the paper's, ours, and the difference in combined standard deviations."""
    results = results_table(folder.planned, folder.path)
    summary = summary_table(results, folder.study, ["accuracy", "bias", "backdoor_accuracy"])
    assert folder.study.reference is not None, "a study of the paper"
    rows = beside_paper(summary, folder.study.reference)
    known = rows[rows["z"].notna()]
    agree, distinct = (
        f"{int((some['z'].abs() <= 2).sum())} of {len(some)}"
        for some in (known, known.drop_duplicates(["alpha", "setting", "metric"]))
    )
    lines = [
        f"{agree} entries agree within two combined standard deviations; {distinct}, each counted once where it stands "
        f"in two tables. The paper has {len(rows)} for this data set.",
        "",
        "| tables | alpha | setting | metric | paper | ours | seeds | difference / combined std | p, corrected |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    places = rows.groupby(["alpha", "setting", "metric"])["table"].agg(", ".join)
    for row in rows.drop_duplicates(["alpha", "setting", "metric"]).to_dict("records"):
        if not row["seeds"]:
            continue
        row["table"] = places[row["alpha"], row["setting"], row["metric"]]
        ours = f"{row['ours']:.2f} ± {row['ours_std']:.2f}" if row["seeds"] > 1 else f"{row['ours']:.2f}"
        far = "" if pd.isna(row["z"]) else f"{row['z']:+.1f}" + ("" if abs(row["z"]) <= 2 else " **differs**")
        p = "" if pd.isna(row["p_value"]) else f"{row['p_value']:.2g}, {row['p_holm']:.2g}"
        lines.append(
            f"| {row['table']} | {row['alpha']:g} | {row['setting']} | {row['metric'].replace('_', ' ')} "
            f"| {row['paper']:.2f} ± {row['paper_std']:.2f} | {ours} | {row['seeds']} | {far} | {p} |"
        )
    return "\n".join(lines)


def beside(folder: StudyFolder) -> str:
    """Setting and metric by alpha: the paper's, then ours."""
    metrics = ["accuracy", "bias", "backdoor_accuracy"]
    summary = summary_table(results_table(folder.planned, folder.path), folder.study, metrics)
    assert folder.study.reference is not None, "a study of the paper"
    rows = beside_paper(summary, folder.study.reference).drop_duplicates(["alpha", "setting", "metric"])
    alphas = list(dict.fromkeys(rows["alpha"]))
    seeds = sorted({int(n) for n in rows["seeds"]})
    lines = [
        f"Percent, mean ± standard deviation; the paper's over 5 runs, ours over {' to '.join(map(str, seeds))} seeds.",
        "",
        "| setting | metric | " + " | ".join(f"alpha {a:g}: paper | ours" for a in alphas) + " |",
        "| --- | --- |" + " --- | --- |" * len(alphas),
    ]
    for (setting, metric), group in rows.groupby(["setting", "metric"], sort=False):
        cells = []
        for alpha in alphas:
            row = group[group["alpha"] == alpha].iloc[0]
            ours = f"{row['ours']:.2f} ± {row['ours_std']:.2f}" if row["seeds"] > 1 else f"{row['ours']:.2f}"
            cells += [f"{row['paper']:.2f} ± {row['paper_std']:.2f}", ours if row["seeds"] else ""]
        lines.append(f"| {setting} | {str(metric).replace('_', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def claims(folder: StudyFolder) -> str:
    """One row per claim."""
    lines = ["| claim | verdict | effect (95 % interval) | p, corrected |", "| --- | --- | --- | --- |"]
    for one in judge(folder.study, results_table(folder.planned, folder.path), claims_of(folder.study)):
        verdict = f"**{one.verdict}**" if one.verdict != "not decided" else one.verdict
        verdict = f"**{one.depends}**" if one.depends else verdict
        effect = (
            f"{one.effect:+.2f} ({one.low:+.2f} to {one.high:+.2f}) {one.unit.replace('percentage ', '')}"
        )
        lines.append(f"| {one.claim.text} | {verdict} | {effect} | {one.p_value:.2g}, {one.p_holm:.2g} |")
    return "\n".join(lines)


LAST = 10
"""Rounds that ``endings`` looks at: as many as the authors' rule waits for a better one."""


def endings(folder: StudyFolder) -> str:
    """One row per cell; percent or percentage points."""
    lines = [
        "Mean ± standard deviation over seeds. Common round: the last that all runs of a setting have. "
        f"Rise: of the backdoor accuracy over the last {LAST} rounds. Within: the standard deviation over the last "
        f"{LAST} rounds of a run, mean over runs. Between: over seeds, in the last round.",
        "",
        "| alpha | setting | seeds | rounds | backdoor accuracy: common round | last round | rise "
        "| accuracy: within, between | bias: within, between |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    results = results_table(folder.planned, folder.path)
    shortest = {str(setting): int(rows["rounds"].min()) for setting, rows in results.groupby("setting")}
    for (alpha, setting), rows in results.groupby(["alpha", "setting"], sort=False):
        runs = [RunFolder.below(folder.path, run).read_records() for run in rows["run"]]
        backdoor = [[100 * record.metrics["backdoor_accuracy"] for record in run] for run in runs]
        common = shortest[str(setting)]
        cells = [
            alpha,
            setting,
            len(runs),
            _spread([len(run) for run in runs], 1),
            f"{_spread([one[common - 1] for one in backdoor])} ({common})",
            _spread([one[-1] for one in backdoor]),
            _spread([one[-1] - one[max(-LAST - 1, -len(one))] for one in backdoor]),
            _within_between(runs, "accuracy"),
            _within_between(runs, "bias"),
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _within_between(runs: list[list[RoundRecord]], metric: str) -> str:
    values = [[100 * record.metrics[metric] for record in run[-LAST:]] for run in runs]
    within = sum(pd.Series(one).std() for one in values) / len(values)
    between = pd.Series([one[-1] for one in values]).std()
    return f"{within:.2f}, " + ("–" if pd.isna(between) else f"{between:.2f}")


def _spread(values: list[float], digits: int = 2) -> str:
    """Mean and standard deviation; of one value itself."""
    found = estimate(values)
    return f"{found.mean:.{digits}f}" + (f" ± {found.std:.{digits}f}" if found.n > 1 else "")


def sensitivities(folder: StudyFolder) -> str:
    """One row per choice and cell: difference to the baseline with its 95 % interval."""
    study, results = folder.study, results_table(folder.planned, folder.path)
    choices = [label for label, _ in study.axes["choice"].points()]
    baseline = choices[0]
    lines = [
        f"Differences to {baseline} in percentage points (rounds: number of rounds), mean over seeds and 95 % "
        "interval; the first row of each cell is its own mean ± standard deviation.",
        "",
        "| alpha | setting | choice | seeds | " + " | ".join(m.replace("_", " ") for m in SHOWN) + " |",
        "| --- | --- | --- | --- |" + " --- |" * len(SHOWN),
    ]
    for alpha, _ in study.axes["alpha"].points():
        for setting, _ in study.axes["setting"].points():
            where = {"alpha": alpha, "setting": setting}
            cell = results[(results["alpha"] == alpha) & (results["setting"] == setting)]
            base = cell[cell["choice"] == baseline]
            if base.empty:
                continue
            means = [_mean(base, metric) for metric in SHOWN]
            lines.append(_line(alpha, setting, f"*{baseline}*", len(base), means))
            for choice in choices:
                if choice in (baseline, ONE_SPLIT) or not (cell["choice"] == choice).any():
                    continue
                found = [
                    pooled_difference(results, study, metric, "choice", baseline, choice, where)
                    for metric in SHOWN
                ]
                seeds = max((d.n for d in found if d is not None), default=0)
                shown = ["" if d is None else _interval(d.effect, d.low, d.high) for d in found]
                lines.append(_line(alpha, setting, choice, seeds, shown))
            for choice, change in AFTERWARDS.items():
                lines.append(_line(alpha, setting, choice, len(base), _afterwards(folder, base, change)))
    return "\n".join(lines)


def spread(folder: StudyFolder) -> str:
    """Standard deviations over seeds: each seed with its own split, and all with that of seed 0."""
    results = results_table(folder.planned, folder.path)
    metrics = SHOWN[:3]
    baseline, _ = folder.study.axes["choice"].points()[0]
    lines = [
        "Standard deviation over seeds, percentage points: a split of its own for each, one split for all.",
        "",
        "| alpha | setting | seeds | " + " | ".join(m.replace("_", " ") for m in metrics) + " |",
        "| --- | --- | --- |" + " --- |" * len(metrics),
    ]
    for (alpha, setting), cell in results.groupby(["alpha", "setting"], sort=False):
        own, one = (cell[cell["choice"] == choice] for choice in (baseline, ONE_SPLIT))
        if len(own) > 1 and len(one) > 1:
            pairs = [f"{100 * own[metric].std():.2f}, {100 * one[metric].std():.2f}" for metric in metrics]
            lines.append(f"| {alpha} | {setting} | {len(own)}, {len(one)} | {' | '.join(pairs)} |")
    return "\n".join(lines)


def updates(folder: StudyFolder) -> str:
    """One row per attacked cell: means over the last rounds of each run, then over seeds."""
    results = results_table(folder.planned, folder.path)
    axes = list(folder.study.axes)
    metrics = (
        "update_norm_honest",
        "update_norm_malicious",
        "cosine_honest_honest",
        "cosine_honest_malicious",
    )
    lines = [
        f"Mean over the last {LAST} rounds, mean ± standard deviation over seeds; norms are Euclidean.",
        "",
        f"| {' | '.join(axes)} | seeds | " + " | ".join(m.replace("_", " ") for m in metrics) + " |",
        "| --- |" + " --- |" * (len(axes) + len(metrics)),
    ]
    for cell, rows in cells(results, folder.study):
        runs = [RunFolder.below(folder.path, run).read_records()[-LAST:] for run in rows["run"]]
        if not all("update_norm_malicious" in record.metrics for run in runs for record in run):
            continue
        means = [
            _spread([sum(record.metrics[m] for record in run) / len(run) for run in runs]) for m in metrics
        ]
        lines.append(f"| {' | '.join(map(str, cell.values()))} | {len(runs)} | {' | '.join(means)} |")
    return "\n".join(lines)


def precision(folder: StudyFolder) -> str:
    """One row per cell and metric: both formats, mean and standard deviation, and bfloat16 minus float32."""
    results = results_table(folder.planned, folder.path)
    lines = [
        "| alpha | setting | metric | seeds | float32 | bfloat16 | difference (95 % interval) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (alpha, setting), rows in results.groupby(["alpha", "setting"], sort=False):
        for metric in ("accuracy", "bias", "backdoor_accuracy"):
            values = rows.assign(value=in_table_units(rows, metric)).pivot(
                index="seed", columns="precision", values="value"
            )
            known = values.dropna()
            if known.empty:
                continue
            both = [_spread(known[name].tolist()) for name in ("float32", "bfloat16")]
            found = estimate((known["bfloat16"] - known["float32"]).tolist())
            change = _interval(found.mean, found.low, found.high)
            words = meaning(metric).label
            lines.append(
                f"| {alpha:g} | {setting} | {words} | {found.n} | {both[0]} | {both[1]} | {change} |"
            )
    return "\n".join(lines)


def _best_round(records: list[RoundRecord]) -> dict[str, float]:
    best = min(records, key=lambda record: record.metrics["test_loss"])
    return {**best.metrics, "rounds": float(best.round)}


def _without_target(records: list[RoundRecord]) -> dict[str, float]:
    last = records[-1].metrics
    return {**last, "backdoor_accuracy": last["attack_success_rate"], "rounds": float(len(records))}


AFTERWARDS: dict[str, Callable[[list[RoundRecord]], dict[str, float]]] = {
    "best round instead of the last": _best_round,
    "images of the target class not counted": _without_target,
}
"""Choices that are made when a run is over; differences to the same runs as they were measured."""


def _afterwards(
    folder: StudyFolder, base: pd.DataFrame, change: Callable[[list[RoundRecord]], dict[str, float]]
) -> list[str]:
    found: dict[str, list[float]] = {metric: [] for metric in SHOWN}
    for row in base.to_dict("records"):
        other = change(RunFolder.below(folder.path, str(row["run"])).read_records())
        for metric in SHOWN:
            found[metric].append(_scaled(other[metric], metric) - _scaled(row[metric], metric))
    estimates = [estimate(found[metric]) for metric in SHOWN]
    return [_interval(e.mean, e.low, e.high) for e in estimates]


def _scaled(value: Any, metric: str) -> float:
    return float(value) * (1 if metric == "rounds" else 100)


def _mean(rows: pd.DataFrame, metric: str) -> str:
    return _spread([_scaled(value, metric) for value in rows[metric]])


def _interval(effect: float, low: float, high: float) -> str:
    if abs(effect) < 5e-3 and not high - low > 1e-2:
        return "0"
    return f"{effect:+.2f}" if pd.isna(low) else f"{effect:+.2f} ({low:+.2f} to {high:+.2f})"


def _line(alpha: Any, setting: str, choice: str, seeds: int, cells: list[str]) -> str:
    return f"| {alpha} | {setting} | {choice} | {seeds} | " + " | ".join(cells) + " |"


def main() -> None:
    """Prints one of them."""
    tables = (beside, agreement, claims, endings, sensitivities, spread, updates, precision)
    kinds = {table.__name__: table for table in tables}
    if len(sys.argv) != 3 or sys.argv[1] not in kinds:
        raise SystemExit(__doc__)
    given = Path(sys.argv[2])
    study = given if given.exists() else HERE / f"{given}.tar.xz"
    try:
        print(kinds[sys.argv[1]](StudyFolder.read(study)))
    except FedskewError as error:
        raise SystemExit(f"error: {error.message}") from None


if __name__ == "__main__":
    main()
