"""The tables and the figure of docs/findings.md, from the records beside this file and from nothing else.

    python results/weights.py paper
    python results/weights.py interventions
    python results/weights.py figure docs/weights.svg

``paper``: the paper's Fashion-MNIST runs, weighted by n_k and with equal weights, paired by seed.
The common round is the last that all runs of a setting have; its number is in square brackets. Jump of the test loss:
how far it moves from round to round, beyond its trend, from round 10 to the common round.
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

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fedskew.analysis import estimate
from fedskew.report.figures.style import MUTED, figure_style, look
from fedskew.report.figures.svg import save
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

    def jump(self, last: int) -> float:
        """How far the test loss moves from round to round beyond its trend, in rounds 10 to ``last``.

        The standard deviation from second differences, sqrt(mean(d^2) / 6).
        """
        return math.sqrt(float(np.mean(np.diff(self.test_loss[9:last], n=2) ** 2)) / 6)


def honest_steps(sizes: Sequence[int], malicious: Sequence[int], weights: str) -> float:
    """Optimiser steps of an honest client, averaged with its weight; over rounds where the weights change."""
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
    folder, found = StudyFolder.read(HERE / study), []
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
    "| jump of the test loss | rounds | backdoor accuracy in the common round | at the end"
)


def measured(run: Run, common: int) -> tuple[float, ...]:
    """The columns of both tables."""
    steps = (run.steps, run.best, run.best * run.steps)
    return (*steps, run.jump(common), run.rounds, run.backdoor[common - 1], run.backdoor[-1])


DIGITS = (1, 1, 0, 3, 1, 1, 1)


def means(runs: Sequence[Run], common: int) -> list[str]:
    """Mean and standard deviation over seeds."""
    columns = zip(*(measured(run, common) for run in runs), strict=True)
    found = [estimate(column) for column in columns]
    return [f"{e.mean:.{d}f} ± {e.std:.{d}f}" for e, d in zip(found, DIGITS, strict=True)]


def differences(runs: Sequence[Run], others: Sequence[Run], common: int) -> list[str]:
    """The second minus the first, paired by seed, with its 95 % interval."""
    first = {run.seed: measured(run, common) for run in runs}
    rows = [np.subtract(measured(run, common), first[run.seed]) for run in others if run.seed in first]
    found = [estimate(column) for column in zip(*rows, strict=True)]
    return [
        f"{e.mean:+.{d}f} ({e.low:+.{d}f} to {e.high:+.{d}f})" for e, d in zip(found, DIGITS, strict=True)
    ]


def table(before: str, blocks: dict[tuple[str, ...], dict[str, list[Run]]]) -> str:
    """Of each cell its weights, and the differences of each to the first.

    Args:
        before: headings of the first columns; the last says which cells differ in alpha alone.
        blocks: what stands in these columns -> weights -> runs.
    """
    header = f"| {before} | {HEADER} |"
    lines = [header, "| --- " * (header.count("|") - 1) + "|"]
    for where, cell in blocks.items():
        alike = [runs for other, cell in blocks.items() if other[0] == where[0] for runs in cell.values()]
        common = min(run.rounds for runs in alike for run in runs)
        rows = [[*where, name, str(len(runs)), *means(runs, common)] for name, runs in cell.items()]
        (first, base), *rest = cell.items()
        for name, runs in rest:
            shown = differences(base, runs, common)
            rows.append([*where, f"*{name}, minus {first}*", str(len(runs)), *shown])
        for row in rows:
            row[-2] += f" [{common}]"
        lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)


def paper() -> str:
    """The cells of the paper's tables, but those under RLR, whose runs end early where RLR does not let them learn."""
    blocks = {
        (setting, f"{alpha:g}"): {
            WEIGHTED: runs_of("paper-fashion-mnist-weighted", {"alpha": alpha, "setting": setting}, WEIGHTED),
            EQUAL: runs_of("paper-fashion-mnist", {"alpha": alpha, "setting": setting}, EQUAL),
        }
        for setting in ("no attack", "backdoor")
        for alpha in (1.0, 0.5, 0.25)
    }
    return table("setting | alpha", blocks)


def interventions() -> str:
    """Every cell of the study that has its runs."""
    study = "average-weights-fashion-mnist"
    blocks: dict[tuple[str, ...], dict[str, list[Run]]] = {}
    for plan in StudyFolder.read(HERE / study).planned:
        data, weights = plan.cell["data"], plan.cell["weights"]
        if weights not in blocks.setdefault((data,), {}):
            blocks[data,][weights] = runs_of(study, {"data": data, "weights": weights}, weights)
    return table("data", blocks)


def figure(path: Path) -> None:
    """Three panels of undefended runs."""
    study, sizes = "average-weights-fashion-mnist", "sizes differ, labels do not"
    names = (WEIGHTED, EQUAL, SHUFFLED, ROTATED, REVERSED)
    looks = {weights: look(number) for number, weights in enumerate(names)}
    with figure_style():
        drawn = Figure(figsize=(9.4, 3.3), layout="constrained")
        over_rounds, lowest, ends = drawn.subplots(1, 3)
        every = []
        for weights, paper_study in (
            (WEIGHTED, "paper-fashion-mnist-weighted"),
            (EQUAL, "paper-fashion-mnist"),
        ):
            style = looks[weights]
            here = runs_of(study, {"data": DIRICHLET, "weights": weights}, weights)
            common = min(run.rounds for run in here)
            course = np.mean([run.backdoor[:common] for run in here], axis=0)
            over_rounds.plot(np.arange(1, common + 1), course, color=style.colour)
            ended = [(run.rounds, run.backdoor[-1]) for run in here]
            over_rounds.plot(*zip(*ended, strict=True), style.marker, color=style.colour)
            for hollow, runs in (
                (False, runs_of(paper_study, {"setting": "backdoor"}, weights)),
                (True, runs_of(study, {"data": sizes, "weights": weights}, weights)),
            ):
                face = "white" if hollow else style.colour
                points = [(run.steps, run.best) for run in runs]
                lowest.plot(
                    *zip(*points, strict=True), style.marker, color=style.colour, markerfacecolor=face
                )
                every += runs
        total = math.exp(np.mean([math.log(run.steps * run.best) for run in every]))
        steps = np.linspace(min(run.steps for run in every) - 1, max(run.steps for run in every) + 1, 100)
        lowest.plot(steps, total / steps, color=MUTED, linewidth=1, zorder=0)
        text = f"line: steps x rounds = {total:,.0f}\nhollow: only the sizes differ"
        lowest.annotate(text, (0.98, 0.97), xycoords="axes fraction", ha="right", va="top", color=MUTED)
        for weights, style in looks.items():
            here = runs_of(study, {"data": DIRICHLET, "weights": weights}, weights)
            points = [(run.rounds, run.backdoor[-1]) for run in here]
            ends.plot(*zip(*points, strict=True), style.marker, color=style.colour, label=weights)
        over_rounds.set(title="backdoor accuracy [%], ends marked", xlabel="round")
        lowest.set(title="round of the lowest test loss", xlabel="honest steps per round")
        ends.set(title="backdoor accuracy at the end [%]", xlabel="rounds")
        drawn.legend(loc="outside lower center", ncols=5, title="weights of the honest clients")
        save(drawn, path, dpi=150)


def main() -> None:
    """Prints a table or draws the figure."""
    match sys.argv[1:]:
        case ["paper"]:
            print(paper())
        case ["interventions"]:
            print(interventions())
        case ["figure", path]:
            figure(Path(path))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
