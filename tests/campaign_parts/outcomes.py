"""What a campaign has tried and found: kept line by line, so that it can be continued, and told in a table."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedskew.runs.session import commit, processor

BEGIN, END = "<!-- campaign: made by tests/campaign.py -->\n", "<!-- end of campaign -->\n"


@dataclass(frozen=True)
class Outcome:
    """A trial.

    Attributes:
        part: of the campaign.
        trial: its name there, which says all that is needed to repeat it.
        group: the row of the table that it counts in.
        detail: what was done exactly.
        problems: what went wrong; empty if it passed.
        count: how many inputs it had.
        wrong: how many of these did not pass, where they were more than one.
        reached: whether what was to be tried did happen.
    """

    part: str
    trial: str
    group: str
    detail: str = ""
    problems: list[str] = field(default_factory=list)
    count: int = 1
    wrong: int = 0
    reached: bool = True

    @property
    def verdict(self) -> str:
        """In a word."""
        return "FAILED" if self.problems else "passed" if self.reached else "not reached"


class Campaign:
    """What is known of a campaign, in a folder.

    Args:
        folder: made if it is missing. It holds the outcomes of one commit and seed.
        seed: of all that is drawn.
        minutes: after which no trial is begun; None: no limit.
        trials: do these, also if they were done before, and no others; empty: all that were not.

    Raises:
        SystemExit: the folder is of another commit or seed.
    """

    def __init__(
        self, folder: Path, seed: int, minutes: float | None = None, trials: Sequence[str] = ()
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.seed, self.trials = folder.resolve(), seed, trials
        self._deadline = None if minutes is None else time.monotonic() + 60 * minutes
        self._log, about = folder / "outcomes.jsonl", folder / "about.json"
        here = {"commit": commit() or "unknown", "processor": processor(), "seed": seed}
        if about.exists() and (there := json.loads(about.read_text())) != here:
            raise SystemExit(
                f"{folder} is of another campaign: {there}, and this is {here}; choose another --out"
            )
        about.write_text(json.dumps(here))
        self.about: dict[str, Any] = here
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        self.outcomes = [Outcome(**json.loads(line)) for line in lines]
        self._known = {(outcome.part, outcome.trial) for outcome in self.outcomes}

    def is_over(self) -> bool:
        """Whether its time is."""
        return self._deadline is not None and time.monotonic() > self._deadline

    def is_due(self, part: str, trial: str) -> bool:
        """Whether this trial is to be done."""
        return trial in self.trials if self.trials else (part, trial) not in self._known

    def of(self, part: str) -> list[Outcome]:
        """The trials of a part."""
        return [outcome for outcome in self.outcomes if outcome.part == part]

    def add(self, outcome: Outcome) -> None:
        """Keeps and tells what came of a trial."""
        with self._log.open("a") as log:
            log.write(json.dumps(asdict(outcome)) + "\n")
        self.outcomes.append(outcome)
        self._known.add((outcome.part, outcome.trial))
        when = datetime.now(UTC).strftime("%H:%M:%S")
        print(f"{when} {outcome.part} {outcome.trial}: {outcome.verdict}; {outcome.detail}", flush=True)
        for problem in outcome.problems:
            print(f"    {problem}", flush=True)

    @property
    def failed(self) -> list[Outcome]:
        """The trials that did not pass."""
        return [outcome for outcome in self.outcomes if outcome.problems]

    def table(self, command: str) -> str:
        """All of it as Markdown."""
        groups = dict[tuple[str, str], list[Outcome]]()
        for outcome in sorted(self.outcomes, key=lambda outcome: (outcome.part, outcome.group)):
            groups.setdefault((outcome.part, outcome.group), []).append(outcome)
        rows = [_row(part, group, found) for (part, group), found in groups.items()]
        told = [f"- {outcome.group}: {outcome.detail}." for outcome in self.of("soak")]
        day = datetime.now(UTC).date().isoformat()
        about = (
            f"`{command}`, {day}, commit {self.about['commit']}, {self.about['processor']}, seed {self.seed}:"
        )
        head = ["| part | what | tried | passed | failed |", "| --- | --- | --- | --- | --- |"]
        return "\n".join([about, "", *head, *rows, *([""] if told else []), *told]) + "\n"


def _row(part: str, group: str, found: Sequence[Outcome]) -> str:
    tried = sum(outcome.count for outcome in found if outcome.reached)
    bad = sum(outcome.wrong or bool(outcome.problems) for outcome in found)
    return f"| {part} | {group} | {tried:,} | {tried - bad:,} | {bad:,} |"


def with_block(page: str, table: str) -> str:
    """A page in which the table has replaced the one before.

    Raises:
        SystemExit: the page has no place for it.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"the page has no lines {BEGIN.strip()!r} and {END.strip()!r} for the table")
    return f"{before}{begin}\n{table}\n{end}{after}"
