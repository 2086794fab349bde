"""The study of privacy under skew in short: a row for each run; what docs/findings.md shows of it.

    python results/privacy.py collect studies/privacy-under-skew    # into results/privacy-under-skew
    python results/privacy.py membership | source | labels
    python results/privacy.py defences
    python results/privacy.py figure privacy.svg

``membership``: without an attack on the model and without a defence, the AUC of each attack, pooled and matched.
``source``, ``labels``: the same for source inference and the mix of classes, beside what is known without the run.
``defences``: what each defence changes in what leaks, minus no defence, paired by seed.
Means over seeds with 95 % intervals; in ``defences`` "better" or "worse" is said where Student's p, corrected by
Holm's method for all cells, is below 0.05.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from fedskew.analysis import estimate, results_table
from fedskew.analysis.contrasts import Contrast, per_seed
from fedskew.analysis.significance import holm_corrected, student
from fedskew.evaluation.leakage_table import LEAKAGE
from fedskew.evaluation.metric_table import meaning
from fedskew.report.figures.files import own_settings, save_figure
from fedskew.report.figures.style import look
from fedskew.study.folder import StudyFolder
from fedskew.study.grid import Study
from fedskew.study.source import as_study, find_config

NAME = "privacy-under-skew"
RUNS = Path(__file__).resolve().parent / NAME / "runs.csv.gz"
KEPT = ("run", "seed", "alpha", "setting", "defence", "accuracy", "bias", "attack_success_rate", "epsilon")
UNDEFENDED, NO_ATTACK = "no defence", "no attack"
MEMBERSHIP = ("loss_threshold", "rmia", "delta_loss", "delta_cosine", "fed_mia")
LEADING = (
    ("delta_cosine_auc", "membership (delta cosine), matched"),
    ("source_inference_source_advantage", "source inference advantage"),
    ("label_inference_label_error", "label error"),
)


def study() -> Study:
    """The shipped study."""
    return as_study(find_config(NAME))


def collect(folder: StudyFolder) -> None:
    """Writes one row per complete run."""
    RUNS.parent.mkdir(exist_ok=True)
    results = results_table(folder.planned, folder.path)
    leaks = [column for column in results if any(column.endswith(f"_{end}") for end in LEAKAGE)]
    rows = results[[*(column for column in KEPT if column in results), *leaks]]
    rows.sort_values(["seed", "alpha", "setting", "defence"], ascending=[True, False, True, True]).to_csv(
        RUNS, index=False, float_format="%.6g", compression={"method": "gzip", "mtime": 0}
    )
    print(f"{len(rows)} runs in {RUNS}")


def runs() -> pd.DataFrame:
    """The collected runs."""
    return pd.read_csv(RUNS, keep_default_na=False, na_values=[""])


def spreads(results: pd.DataFrame) -> list[float]:
    """All alphas, evenly spread data first."""
    return sorted((float(alpha) for alpha in results["alpha"].unique()), reverse=True)


def undefended() -> pd.DataFrame:
    """The runs without an attack on the model and without a defence."""
    results = runs()
    return results[(results["setting"] == NO_ATTACK) & (results["defence"] == UNDEFENDED)]


def table(rows: Sequence[tuple[str, str]], first: str) -> Iterator[str]:
    """One row per (what it is called, metric), one column per spread."""
    results = undefended()
    alphas = spreads(results)
    yield _line([first, *(f"alpha {alpha:g}" for alpha in alphas)])
    yield _line(["---"] * (1 + len(alphas)))
    for name, metric in rows:
        cells = []
        for alpha in alphas:
            one = estimate(results.loc[results["alpha"] == alpha, metric].dropna().tolist())
            cells.append(f"{one.mean:.3f} ({one.low:.3f} to {one.high:.3f})")
        yield _line([name, *cells])


def membership() -> Iterator[str]:
    """Two rows per attack."""
    named = [(attack, attack.replace("_", " ")) for attack in MEMBERSHIP]
    rows = [
        pair
        for attack, name in named
        for pair in ((f"{name}, pooled", f"{attack}_auc_pooled"), (f"{name}, matched", f"{attack}_auc"))
    ]
    yield from table(rows, "AUC")


def source() -> Iterator[str]:
    """On members, on held-out images, and the difference."""
    attack = "source_inference_source"
    yield from table(
        [
            ("trained on", f"{attack}_accuracy"),
            ("held out", f"{attack}_accuracy_held_out"),
            ("difference", f"{attack}_advantage"),
        ],
        "share of images whose client is guessed",
    )


def label_mixes() -> Iterator[str]:
    """The attack's error beside the base rates."""
    attack = "label_inference_label_error"
    yield from table(
        [
            ("label inference", attack),
            ("the clients' mean mix", f"{attack}_global"),
            ("equal shares", f"{attack}_uniform"),
        ],
        "L1 distance to the client's mix",
    )


def defences() -> Iterator[str]:
    """One row per defence, at the most even and the most uneven spread."""
    results, made = runs(), study()
    ends = [spreads(results)[0], spreads(results)[-1]]
    columns = [(metric, name, alpha) for metric, name in LEADING for alpha in ends]
    others = [str(label) for label, _ in made.axes["defence"].points() if label != UNDEFENDED]
    yield _line(["defence", *(f"{name}, alpha {alpha:g}" for _, name, alpha in columns)])
    yield _line(["---"] * (1 + len(columns)))
    plain = undefended()
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


def figure(path: Path) -> None:
    """Accuracy, bias and backdoor, and what leaks, over the spread of the data, with 95 % intervals."""
    results = runs()
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
        labels = [str(label) for label, _ in study().axes["defence"].points()]
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
                    where = [x + 0.05 * (place - 1.5) for x in range(len(alphas))]
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
        drawn.legend(handles, names, loc="outside lower center", ncols=4, frameon=False)
        save_figure(drawn, path, dpi=150)
    print(path)


def main() -> None:
    """What the command line names."""
    tables = {"membership": membership, "source": source, "labels": label_mixes, "defences": defences}
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
