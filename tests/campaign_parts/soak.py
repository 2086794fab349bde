"""A study of very many cells: memory, open files and time per run must be flat.

The processes are looked at while it runs. Of each quantity the median of the last tenth of the runs is compared with
that of the second tenth (the first has the start), and a straight line is fitted through all after the first tenth
(Theil and Sen: the median of all slopes, which outliers do not move). A quantity has grown where both the one and the
line, over the whole study, rise by more than ``ALLOWED`` of the median: noise seldom does both. Time is the processors'
own, which other work on the machine does not lengthen much.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import theilslopes

from campaign_parts.outcomes import Campaign, Outcome
from campaign_parts.session import Process, Session
from campaign_parts.subject import Place

PART = "soak"
EVERY = 0.5
"""Seconds between two looks."""
FEWEST = 20
"""Looks with fewer of which nothing is said."""
ALLOWED = {
    "memory of a worker, MB": 0.05,
    "memory of the parent, MB": 0.05,
    "open files": 0.0,
    "seconds per run": 0.15,
}
"""By how much each may grow, as a share."""
_CELLS = """
name = "soak"
seeds = [0]
[base]
rounds = 2
data = "digits"
model = {{ name = "mlp", hidden = [4] }}
clients = {{ count = 3 }}
training = {{ epochs = 1, batch_size = 256 }}
[axes.lr]
field = "training.optimizer.lr"
values = [{values}]
"""


@dataclass(frozen=True)
class Look:
    """What was seen at one time.

    Attributes:
        done: runs.
        worker, parent: memory of the largest worker and of the parent, in MB.
        files: open in all of them.
        seconds: processor time of all of them so far.
    """

    done: int
    worker: float
    parent: float
    files: int
    seconds: float


def soak(campaign: Campaign, place: Place, cells: int) -> None:
    """Does the study and looks at its processes."""
    trial = f"{cells} cells"
    if campaign.is_over() or not campaign.is_due(PART, trial):
        return
    place.cleared()
    config = place.root / "soak.toml"
    config.write_text(
        _CELLS.format(values=", ".join(f"{1e-3 + 1e-6 * number:.6f}" for number in range(cells)))
    )
    command = [argument for argument in place.study_command(config) if argument != "--quiet"]
    session = place.begin(command)
    looks = list[Look]()
    while session.runs():
        look = _look(session)
        if look is not None and 0 < look.done < cells and (not looks or look.done > looks[-1].done):
            looks.append(look)
        time.sleep(EVERY)
    ended = session.end()
    problems = [
        *ended.trouble,
        *([] if ended.code == 0 else [f"it ended with {ended.code}: {ended.err[-200:]}"]),
    ]
    if len(looks) < FEWEST:
        campaign.add(
            Outcome(
                PART,
                trial,
                trial,
                f"{len(looks)} looks: too few to say what grows",
                problems,
                reached=bool(problems),
            )
        )
        return
    told, grown = growth(looks, cells)
    campaign.add(Outcome(PART, trial, trial, told, problems + grown))


def _look(session: Session) -> Look | None:
    """What there is to see; None where a process ended in this moment."""
    found = re.findall(r"^\[(\d+)/\d+\]", session.said()[-2000:], re.MULTILINE)
    members = [process for process in session.members() if process.is_python]
    try:
        memory = {process.pid: _memory(process) for process in members}
        files = sum(len(os.listdir(f"/proc/{process.pid}/fd")) for process in members)  # noqa: PTH208
        seconds = sum(map(_seconds, members))
        parent = memory.pop(session.pid)
    except (OSError, KeyError):
        return None
    return Look(int(found[-1]) if found else 0, max(memory.values(), default=0.0), parent, files, seconds)


def _memory(process: Process) -> float:
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def _seconds(process: Process) -> float:
    after = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after[11]) + int(after[12])) / os.sysconf("SC_CLK_TCK")


def growth(looks: list[Look], cells: int) -> tuple[str, list[str]]:
    """The figures in words, and which of them are not flat."""
    done = np.array([look.done for look in looks], dtype=float)
    seconds = np.array([look.seconds for look in looks])
    between = (done[1:] + done[:-1]) / 2
    quantities = {
        "memory of a worker, MB": (done, np.array([look.worker for look in looks])),
        "memory of the parent, MB": (done, np.array([look.parent for look in looks])),
        "open files": (done, np.array([look.files for look in looks], dtype=float)),
        "seconds per run": (between, np.diff(seconds) / np.diff(done)),
    }
    words, grown = [f"{len(looks)} looks"], []
    for name, (at, values) in quantities.items():
        second = np.median(values[(at >= 0.1 * cells) & (at < 0.2 * cells)])
        last = np.median(values[at >= 0.9 * cells])
        late = at >= 0.1 * cells
        slope = float(theilslopes(values[late], at[late])[0]) * cells
        middle = float(np.median(values[late]))
        words.append(f"{name}: {second:.4g} in the second tenth, {last:.4g} in the last, trend {slope:+.3g}")
        most = ALLOWED[name] * middle
        if min(last - second, slope) > most:
            grown.append(
                f"{name} grew from {second:.4g} to {last:.4g}, trend {slope:+.3g}; at most {most:.3g} is allowed"
            )
    return "; ".join(words), grown
