"""The studies of privacy under skew in short: a row for each run; what docs/findings.md shows of them.

    python results/privacy.py collect studies/privacy-under-skew    # into results/privacy-under-skew
    python results/privacy.py membership | source | labels [STUDY]
    python results/privacy.py defences [STUDY]
    python results/privacy.py figure privacy.svg [STUDY]

STUDY is ``privacy-under-skew`` unless said otherwise, or ``privacy-fashion-mnist``.

``membership``: without an attack on the model and without a defence, the AUC of each attack, pooled and matched.
``source``, ``labels``: the same for source inference and the mix of classes, beside what is known without the run.
``defences``: what each defence changes in what leaks, minus no defence, paired by seed.
Means over seeds with 95 % intervals; in ``defences`` "better" or "worse" is said where Student's p, corrected by
Holm's method for all cells, is below 0.05.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from collected import write_rows
from matplotlib.figure import Figure

from fedskew.analysis import estimate, results_table
from fedskew.analysis.contrasts import Contrast, per_seed
from fedskew.analysis.significance import holm_corrected, student
from fedskew.evaluation.leakage_table import LEAKAGE
from fedskew.evaluation.metric_table import meaning
from fedskew.report.figures.files import own_settings, save_figure
from fedskew.report.figures.style import look
from fedskew.study.folder import StudyFolder
from fedskew.study.grid import Study, planned_runs
from fedskew.study.source import as_study, find_config

NAME = "privacy-under-skew"
HERE = Path(__file__).resolve().parent
RUNS = "runs.csv.gz"
KEPT = ("run", "seed", "alpha", "setting", "defence", "accuracy", "bias", "attack_success_rate", "epsilon")
OTHERWISE = ("_auc_of_distribution", "_tpr_at_1", "_tpr_at_01")
"""Metrics of attacks that were defined otherwise when some of the runs were done."""
UNDEFENDED, NO_ATTACK = "no defence", "no attack"
MEMBERSHIP = ("loss_threshold", "rmia", "delta_loss", "delta_cosine", "fed_mia")
LEADING = (
    ("delta_cosine_auc", "membership (delta cosine), matched"),
    ("source_inference_source_advantage", "source inference advantage"),
    ("label_inference_label_error", "label error"),
)


def study(name: str = NAME) -> Study:
    """A study by its preset or by its file beside this one."""
    path = HERE / f"{name}.toml"
    return as_study(find_config(str(path) if path.exists() else name))


def collect(folder: StudyFolder) -> None:
    """Adds one row per complete run."""
    path = HERE / folder.study.name / RUNS
    path.parent.mkdir(exist_ok=True)
    results = results_table(folder.planned, folder.path)
    leaks = [column for column in results if any(column.endswith(f"_{end}") for end in LEAKAGE)]
    leaks = [column for column in leaks if not column.endswith(OTHERWISE)]
    rows = results[[*(column for column in KEPT if column in results), *leaks]]
    order = ["seed", "alpha", "setting", "defence"]
    print(f"{write_rows(rows, path, study(folder.study.name), order, down=['alpha'])} runs in {path}")


def runs(name: str = NAME) -> pd.DataFrame:
    """The collected runs of a study: of each defence those seeds that have all its cells, so that means over seeds are
    over the same ones."""
    rows = pd.read_csv(HERE / name / RUNS, keep_default_na=False, na_values=[""], dtype={"run": "string"})
    cells = Counter((str(plan.cell["defence"]), plan.seed) for plan in planned_runs(study(name)))
    there = Counter(zip(rows["defence"], rows["seed"], strict=True))
    whole = [there[key] == cells[key] for key in zip(rows["defence"], rows["seed"], strict=True)]
    return rows[whole]


def _done(name: str) -> list[str]:
    """The defences with runs, in the study's order."""
    there = set(runs(name)["defence"])
    return [str(label) for label, _ in study(name).axes["defence"].points() if label in there]


def spreads(results: pd.DataFrame) -> list[float]:
    """All alphas, evenly spread data first."""
    return sorted((float(alpha) for alpha in results["alpha"].unique()), reverse=True)


def undefended(name: str = NAME) -> pd.DataFrame:
    """The runs without an attack on the model and without a defence."""
    results = runs(name)
    return results[(results["setting"] == NO_ATTACK) & (results["defence"] == UNDEFENDED)]


def table(study: str, rows: Sequence[tuple[str, str]], first: str) -> Iterator[str]:
    """One row per (what it is called, metric), one column per spread."""
    results = undefended(study)
    alphas = spreads(results)
    yield _line([first, *(f"alpha {alpha:g}" for alpha in alphas)])
    yield _line(["---"] * (1 + len(alphas)))
    for name, metric in rows:
        cells = []
        for alpha in alphas:
            one = estimate(results.loc[results["alpha"] == alpha, metric].dropna().tolist())
            cells.append(f"{one.mean:.3f} ({one.low:.3f} to {one.high:.3f})")
        yield _line([name, *cells])


def membership(name: str = NAME) -> Iterator[str]:
    """Two rows per attack."""
    named = [(attack, attack.replace("_", " ")) for attack in MEMBERSHIP]
    rows = [
        pair
        for attack, called in named
        for pair in ((f"{called}, pooled", f"{attack}_auc_pooled"), (f"{called}, matched", f"{attack}_auc"))
    ]
    yield from table(name, rows, "AUC")


def source(name: str = NAME) -> Iterator[str]:
    """On members, on held-out images, and the difference."""
    attack = "source_inference_source"
    yield from table(
        name,
        [
            ("trained on", f"{attack}_accuracy"),
            ("held out", f"{attack}_accuracy_held_out"),
            ("difference", f"{attack}_advantage"),
        ],
        "share of images whose client is guessed",
    )


def label_mixes(name: str = NAME) -> Iterator[str]:
    """The attack's error beside the base rates."""
    attack = "label_inference_label_error"
    yield from table(
        name,
        [
            ("label inference", attack),
            ("the clients' mean mix", f"{attack}_global"),
            ("equal shares", f"{attack}_uniform"),
        ],
        "L1 distance to the client's mix",
    )


def defences(name: str = NAME) -> Iterator[str]:
    """One row per defence, at the most even and the most uneven spread."""
    results, made = runs(name), study(name)
    ends = [spreads(results)[0], spreads(results)[-1]]
    columns = [(metric, called, alpha) for metric, called in LEADING for alpha in ends]
    others = [label for label in _done(name) if label != UNDEFENDED]
    yield _line(["defence", *(f"{called}, alpha {alpha:g}" for _, called, alpha in columns)])
    yield _line(["---"] * (1 + len(columns)))
    plain = undefended(name)
    means = [estimate(plain.loc[plain["alpha"] == alpha, metric].tolist()) for metric, _, alpha in columns]
    yield _line([f"*{UNDEFENDED}*", *(f"{one.mean:.3f} ({one.low:.3f} to {one.high:.3f})" for one in means)])
    values = []
    for defence in others:
        for metric, _, alpha in columns:
            pair = Contrast(("defence", UNDEFENDED, defence), where={"alpha": alpha, "setting": NO_ATTACK})
            effect = per_seed(results, made, results[metric], pair)
            values.append(list(effect.values.values()) if effect else [])
    corrected = iter(holm_corrected([student(each) for each in values]))
    rest = iter(values)
    for defence in others:
        cells = []
        for metric, _, _ in columns:
            one, p_value = estimate(next(rest)), next(corrected)
            text = f"{one.mean:+.3f} ({one.low:+.3f} to {one.high:+.3f})"
            if p_value < 0.05:
                good = (one.mean > 0) == (meaning(metric).better == "higher")
                text += f" **{'better' if good else 'worse'}**"
            cells.append(text)
        yield _line([defence, *cells])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def figure(path: Path, name: str = NAME) -> None:
    """Accuracy, bias and backdoor, and what leaks, over the spread of the data, with 95 % intervals."""
    results = runs(name)
    alphas = spreads(results)
    calm = results[results["setting"] == NO_ATTACK]
    attacked = results[results["setting"] == "backdoor"]
    with own_settings(), mpl.rc_context({"font.size": 9.0, "axes.titlesize": 9.5}):
        drawn = Figure(figsize=(9.0, 5.6), layout="constrained")
        panels = drawn.subplots(2, 3).flatten()
        asked = [
            ("accuracy [%]", calm, "accuracy", 100.0, None),
            ("bias [%]", calm, "bias", 100.0, None),
            ("backdoor success [%]", attacked, "attack_success_rate", 100.0, None),
            ("membership AUC (delta cosine)", calm, "delta_cosine_auc", 1.0, "delta_cosine_auc_pooled"),
            (
                "source inference accuracy",
                calm,
                "source_inference_source_accuracy",
                1.0,
                "source_inference_source_accuracy_held_out",
            ),
            (
                "label error (L1)",
                calm,
                "label_inference_label_error",
                1.0,
                "label_inference_label_error_global",
            ),
        ]
        beside = {3: "dotted: pooled", 4: "dotted: on held-out images", 5: "dotted: knowing nothing"}
        labels = _done(name)
        for number, (axes, (title, rows, metric, scale, other)) in enumerate(zip(panels, asked, strict=True)):
            for place, defence in enumerate(labels):
                style = look(place)
                for column, line in ((metric, "-"), (other, ":")):
                    if column is None or (line == ":" and place):
                        continue
                    here = rows[rows["defence"] == defence]
                    bounds = (0.0, scale) if scale > 1 else (-math.inf, math.inf)
                    found = [
                        estimate((scale * here.loc[here["alpha"] == a, column]).tolist(), bounds=bounds)
                        for a in alphas
                    ]
                    middle = [one.mean for one in found]
                    reach = [[m - o.low for m, o in zip(middle, found, strict=True)]]
                    reach.append([o.high - m for m, o in zip(middle, found, strict=True)])
                    where = [x + 0.05 * (place - (len(labels) - 1) / 2) for x in range(len(alphas))]
                    label = defence if line == "-" else None
                    axes.errorbar(
                        where,
                        middle,
                        reach,
                        color=style.colour,
                        marker=style.marker,
                        ls=line,
                        label=label,
                        ms=4,
                    )
            axes.set(title=title + (f"\n({beside[number]})" if number in beside else ""))
            axes.set_xticks(range(len(alphas)), [f"{alpha:g}" for alpha in alphas])
            if number > 2:
                axes.set(xlabel="alpha of the Dirichlet split")
        handles, names = panels[0].get_legend_handles_labels()
        drawn.legend(handles, names, loc="outside lower center", ncols=len(labels), frameon=False)
        save_figure(drawn, path, dpi=150)
    print(path)


def main() -> None:
    """What the command line names."""
    tables = {"membership": membership, "source": source, "labels": label_mixes, "defences": defences}
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
