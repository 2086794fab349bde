"""The tables and the figure of docs/findings.md, from the records beside this file and from nothing else.

    python results/weights.py paper
    python results/weights.py trends
    python results/weights.py hundred
    python results/weights.py interventions
    python results/weights.py figure docs/weights.svg

``paper``: the paper's Fashion-MNIST runs, weighted by n_k and with equal weights, paired by seed.
In differences, the last shared round is that of the shorter run of each pair. Jump of the test loss: how far it moves
from round to round, beyond its trend, in rounds 10 to 28.
``trends``: how rounds and backdoor accuracy change as alpha falls, with both weights.
``hundred``: undefended runs at their stop and continued to round 100, with both weights, three seeds.
``interventions``: undefended runs at alpha = 0.25 with other weights for the honest clients, and on a split whose sizes
alone differ.
``figure``: undefended runs: the backdoor over rounds and when runs end (alpha = 0.25); when the test loss is lowest
(every alpha); how strong the backdoor is at the end (alpha = 0.25, all weights).

Honest steps per round: sum_k w_k tau_k over the honest clients, with w_k the weight of client k in the average and
tau_k = 2 ceil(n_k / 256) its optimiser steps. It says how much local training a round takes into the global model; Wang
et al. (FedNova, 2020, section 3) call the sum over all clients the effective number of steps.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fedskew.analysis import estimate
from fedskew.analysis.estimates import Estimate
from fedskew.report.figures.files import own_settings, save_figure
from fedskew.report.figures.style import INK, MUTED, look
from fedskew.runs.folder import RunFolder
from fedskew.study.folder import StudyFolder

HERE = Path(__file__).resolve().parent
BATCH, EPOCHS = 256, 2
WEIGHTED, EQUAL, SHUFFLED = "n_k", "equal", "n_k, shuffled"
ROTATED, REVERSED = "n_k, rotated", "n_k, reversed"
DIRICHLET = "Dirichlet, alpha = 0.25"
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """What the tables need of a run; shares in percent, one value per round."""

    seed: int
    backdoor: Vector
    test_loss: Vector
    steps: float

    @property
    def rounds(self) -> int:
        """How many it had."""
        return len(self.backdoor)

    @property
    def best(self) -> int:
        """The round with the lowest test loss."""
        return int(self.test_loss.argmin()) + 1

    @property
    def jump(self) -> float:
        """How far the test loss moves from round to round beyond its trend, in rounds 10 to 28, which all runs have.

        The standard deviation from second differences, sqrt(mean(d^2) / 6).
        """
        return math.sqrt(float(np.mean(np.diff(self.test_loss[9:28], n=2) ** 2)) / 6)


def honest_steps(sizes: Sequence[int], malicious: Sequence[int], weights: str) -> float:
    """The sum of w_k tau_k over the honest clients; where the weights change, its mean over rounds.

    With an adversary the weights of the honest clients sum to less than 1.
    """
    n = np.asarray(sizes, dtype=np.float64)
    honest = np.setdiff1d(np.arange(len(n)), malicious)
    steps = EPOCHS * np.ceil(n[honest] / BATCH)
    if weights == EQUAL:
        return float(steps.sum() / len(n))
    given = n[honest] / n.sum()
    if weights == SHUFFLED:
        given = np.full(len(honest), given.mean())
    elif weights == ROTATED:
        given = np.roll(given, -1)
    elif weights == REVERSED:
        order = np.argsort(n[honest], kind="stable")
        given[order] = given[order[::-1]]
    return float(given @ steps)


def runs_of(study: str, where: dict[str, Any], weights: str) -> list[Run]:
    """The complete runs of a cell, by seed."""
    folder, found = StudyFolder.read(HERE / f"{study}.tar.xz"), []
    for plan in folder.planned:
        here = RunFolder.below(folder.path, plan.identity)
        if not where.items() <= plan.cell.items() or not here.result.exists():
            continue
        records = here.read_records()
        clients = json.loads(here.clients.read_text(encoding="utf-8"))
        sizes = [sum(counts) for counts in clients["label_counts"]]
        found.append(
            Run(
                plan.seed,
                np.array([100 * record.metrics["backdoor_accuracy"] for record in records]),
                np.array([record.metrics["test_loss"] for record in records]),
                honest_steps(sizes, clients["malicious"], weights),
            )
        )
    return sorted(found, key=lambda run: run.seed)


HEADER = (
    "weights | seeds | honest steps per round | round of the lowest test loss | honest steps until then "
    "| jump of the test loss | rounds | backdoor accuracy at the end | in the last shared round"
)
DIGITS = (1, 1, 0, 3, 1, 1, 1)


def at_the_end(run: Run) -> tuple[float, ...]:
    """The columns but the last."""
    return (run.steps, run.best, run.best * run.steps, run.jump, run.rounds, run.backdoor[-1])


def means(runs: Sequence[Run]) -> list[str]:
    """Mean and standard deviation over seeds; two runs are needed to share a round."""
    found = [estimate(column) for column in zip(*map(at_the_end, runs), strict=True)]
    return [f"{e.mean:.{d}f} ± {e.std:.{d}f}" for e, d in zip(found, DIGITS, strict=False)] + ["–"]


def differences(runs: Sequence[Run], others: Sequence[Run]) -> list[str]:
    """The second minus the first, paired by seed, with its 95 % interval."""
    first = {run.seed: run for run in runs}
    rows = []
    for run in others:
        if (base := first.get(run.seed)) is not None:
            last = min(base.rounds, run.rounds) - 1
            ends = np.subtract(at_the_end(run), at_the_end(base))
            rows.append([*ends, run.backdoor[last] - base.backdoor[last]])
    found = [estimate(column) for column in zip(*rows, strict=True)]
    return [shown(e, d) for e, d in zip(found, DIGITS, strict=True)]


def shown(found: Estimate, digits: int = 1) -> str:
    """A difference with its 95 % interval."""
    return f"{found.mean:+.{digits}f} ({found.low:+.{digits}f} to {found.high:+.{digits}f})"


def table(before: str, blocks: dict[tuple[str, ...], dict[str, list[Run]]]) -> str:
    """Of each cell its weights, and the differences of each to the first.

    Args:
        before: headings of the first columns.
        blocks: what stands in these columns -> weights -> runs.
    """
    header = f"| {before} | {HEADER} |"
    lines = [header, "| --- " * (header.count("|") - 1) + "|"]
    for where, cell in blocks.items():
        (first, base), *rest = cell.items()
        rows = [[*where, name, str(len(runs)), *means(runs)] for name, runs in cell.items()]
        rows += [
            [*where, f"*{name}, minus {first}*", str(len(runs)), *differences(base, runs)]
            for name, runs in rest
        ]
        lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)


ALPHAS, SETTINGS = (1.0, 0.5, 0.25), ("no attack", "backdoor", "backdoor + RLR")
PAPER_STUDIES = {WEIGHTED: "paper-fashion-mnist-weighted", EQUAL: "paper-fashion-mnist"}


def paper() -> str:
    """The cells of the paper's tables."""
    blocks = {
        (setting, f"{alpha:g}"): {
            weights: runs_of(study, {"alpha": alpha, "setting": setting}, weights)
            for weights, study in PAPER_STUDIES.items()
        }
        for setting in SETTINGS
        for alpha in ALPHAS
    }
    return table("setting | alpha", blocks)


def trends() -> str:
    """Per halving of alpha, the least-squares slope of each seed; and what equal weights change, over all alphas."""
    lines = [
        "| setting | | rounds | backdoor accuracy at the end |",
        "| --- | --- | --- | --- |",
    ]
    for setting in SETTINGS:
        runs = {
            weights: [runs_of(study, {"alpha": alpha, "setting": setting}, weights) for alpha in ALPHAS]
            for weights, study in PAPER_STUDIES.items()
        }
        values = {
            weights: np.array([[(run.rounds, run.backdoor[-1]) for run in cell] for cell in cells])
            for weights, cells in runs.items()
        }  # [alphas, seeds, metrics]
        slopes = {weights: (found[-1] - found[0]) / (len(ALPHAS) - 1) for weights, found in values.items()}
        rows = {f"per halving of alpha, {weights}": slope for weights, slope in slopes.items()}
        rows["difference of the two"] = slopes[EQUAL] - slopes[WEIGHTED]
        rows["equal minus n_k, mean over alpha"] = (values[EQUAL] - values[WEIGHTED]).mean(axis=0)
        for name, seeds in rows.items():
            lines.append(f"| {setting} | {name} | {' | '.join(shown(estimate(list(x))) for x in seeds.T)} |")
    return "\n".join(lines)


def hundred() -> str:
    """Undefended backdoor accuracy at the stop of the runs, and in round 100 of the same runs continued."""
    studies = {WEIGHTED: "sensitivities-fashion-mnist-weighted", EQUAL: "sensitivities-fashion-mnist"}
    lines = [
        "| alpha | weights | seeds | at the stop | after 100 rounds |",
        "| --- | --- | --- | --- | --- |",
    ]
    for alpha in (1.0, 0.25):
        found = {}
        for weights, study in studies.items():
            where = {"alpha": alpha, "setting": "backdoor"}
            first, _ = StudyFolder.read(HERE / f"{study}.tar.xz").study.axes["choice"].points()[0]
            pairs = [
                runs_of(study, where | {"choice": choice}, weights)
                for choice in (first, "100 rounds, no early stop")
            ]
            found[weights] = np.array([[run.backdoor[-1] for run in runs] for runs in pairs])
            cells = [f"{e.mean:.1f} ± {e.std:.1f}" for e in map(estimate, found[weights].tolist())]
            lines.append(f"| {alpha:g} | {weights} | {len(pairs[0])} | {' | '.join(cells)} |")
        more = [shown(estimate(row)) for row in (found[EQUAL] - found[WEIGHTED]).tolist()]
        lines.append(f"| {alpha:g} | *equal, minus n_k* | {len(found[EQUAL].T)} | {' | '.join(more)} |")
    return "\n".join(lines)


def interventions() -> str:
    """Every cell of the study that has its runs."""
    study = "average-weights-fashion-mnist"
    blocks: dict[tuple[str, ...], dict[str, list[Run]]] = {}
    for plan in StudyFolder.read(HERE / f"{study}.tar.xz").planned:
        data, weights = plan.cell["data"], plan.cell["weights"]
        if weights not in blocks.setdefault((data,), {}):
            blocks[data,][weights] = runs_of(study, {"data": data, "weights": weights}, weights)
    return table("data", blocks)


STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.5,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "axes.facecolor": "none",
}
"""How the figure looks: like those of a report."""


def figure(path: Path) -> None:
    """Three panels of undefended runs."""
    study, sizes = "average-weights-fashion-mnist", "sizes differ, labels do not"
    names = (WEIGHTED, EQUAL, SHUFFLED, ROTATED, REVERSED)
    looks = {weights: look(number) for number, weights in enumerate(names)}
    with own_settings(), mpl.rc_context(STYLE):
        drawn = Figure(figsize=(9.4, 3.3), layout="constrained")
        over_rounds, lowest, ends = drawn.subplots(1, 3)
        every = []
        for weights, style in looks.items():
            here = runs_of(study, {"data": DIRICHLET, "weights": weights}, weights)
            ended = list(zip(*((run.rounds, run.backdoor[-1]) for run in here), strict=True))
            ends.plot(*ended, style.marker, color=style.colour, label=weights)
            drawn_in = [(here, style.colour)]
            if weights in PAPER_STUDIES:
                common = min(run.rounds for run in here)
                course = np.mean([run.backdoor[:common] for run in here], axis=0)
                over_rounds.plot(np.arange(1, common + 1), course, color=style.colour)
                over_rounds.plot(*ended, style.marker, color=style.colour)
                of_paper = runs_of(PAPER_STUDIES[weights], {"setting": "backdoor"}, weights)
                of_sizes = runs_of(study, {"data": sizes, "weights": weights}, weights)
                drawn_in = [(of_paper, style.colour), (of_sizes, "white")]
                every += of_paper + of_sizes
            for runs, face in drawn_in:
                points = zip(*((run.steps, run.best) for run in runs), strict=True)
                lowest.plot(*points, style.marker, color=style.colour, markerfacecolor=face)
        total = math.exp(np.mean([math.log(run.steps * run.best) for run in every]))
        steps = np.linspace(30, max(run.steps for run in every) + 1, 100)
        lowest.plot(steps, total / steps, color=MUTED, linewidth=1, zorder=0)
        text = f"line: steps x rounds = {total:,.0f}\nhollow: only the sizes differ"
        lowest.annotate(text, (0.98, 0.97), xycoords="axes fraction", ha="right", va="top", color=MUTED)
        over_rounds.set(title="backdoor accuracy [%], ends marked", xlabel="round")
        lowest.set(title="round of the lowest test loss", xlabel="honest steps per round")
        ends.set(title="backdoor accuracy at the end [%]", xlabel="rounds")
        drawn.legend(loc="outside lower center", ncols=5, title="weights of the honest clients")
        save_figure(drawn, path, dpi=150)


def main() -> None:
    """Prints a table or draws the figure."""
    match sys.argv[1:]:
        case ["paper"]:
            print(paper())
        case ["trends"]:
            print(trends())
        case ["hundred"]:
            print(hundred())
        case ["interventions"]:
            print(interventions())
        case ["figure", path]:
            figure(Path(path))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
