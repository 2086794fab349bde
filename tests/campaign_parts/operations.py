"""The n-th operation on a file goes wrong, n from the first to the last, for a study and for its report: an error, half
of a write, or a kill in this very moment."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping

from campaign_parts.faults import KINDS, Fault, Faults, Seen
from campaign_parts.outcomes import Campaign, Outcome
from campaign_parts.session import Ended
from campaign_parts.subject import Place, differences, digests, recovered
from fedskew.training.native.plan import Unsupported

PART = "operations"


def sweep(campaign: Campaign, place: Place, most: int) -> None:
    """Lets operations go wrong, at most so many, evenly drawn from all that there are."""
    try:
        faults = Faults.build(campaign.folder)
    except Unsupported as error:
        print(f"operations: skipped, since {error}", flush=True)
        return
    expected, counted = _undisturbed(place, faults)
    for name, seen in counted.items():
        print(f"operations of a {name}: {dict(seen.counts)}", flush=True)
    every = [
        (name, Fault(operation, kind, nth))
        for name, seen in counted.items()
        for operation, count in seen.counts.items()
        for kind in KINDS[operation]
        for nth in range(1, count + 1)
    ]
    every += [
        (name, Fault("write", "ENOSPC", nth, onwards=True))  # a disk that is full stays full
        for name, seen in counted.items()
        for nth in range(1, seen.counts["write"] + 1)
    ]
    random.Random(f"{campaign.seed} operations").shuffle(every)
    for name, fault in every if campaign.trials else every[:most]:
        if campaign.is_over():
            return
        if campaign.is_due(PART, f"{name} {fault}"):
            campaign.add(_trial(place, faults, name, fault, expected[name]))
            if campaign.outcomes[-1].problems:
                place.keep_failed(campaign.folder / "failed" / f"{name} {fault}".replace(" ", "-"))


def _commands(place: Place, name: str) -> list[list[str]]:
    return [place.study_command()] + [place.report_command()] * (name == "report")


def _undisturbed(place: Place, faults: Faults) -> tuple[dict[str, Mapping[str, str]], dict[str, Seen]]:
    """What there is in the end, and which operations there were, of a study and of a report. The study is
    kept."""
    place.cleared().do(place.study_command())  # compiles the kernels
    place.cleared()
    expected, counted = dict[str, Mapping[str, str]](), dict[str, Seen]()
    for name in ("study", "report"):
        ended = place.do(_commands(place, name)[-1], place.environment() | faults.around(place.study))
        if ended.code != 0 or ended.trouble:
            raise SystemExit(f"the undisturbed {name} did not end well: {ended}")
        expected[name], counted[name] = digests(place.study), faults.seen()
        if name == "study":
            place.keep_whole()
    return expected, counted


def _trial(place: Place, faults: Faults, name: str, fault: Fault, expected: Mapping[str, str]) -> Outcome:
    place.cleared()
    commands = _commands(place, name)
    if name == "report":
        shutil.copytree(place.whole, place.study)
    ended = place.do(commands[-1], place.environment() | faults.around(place.study, fault))
    seen = faults.seen()
    problems = _how_it_ended(ended, fault)
    if ended.code == 0:  # then what it made must be right, whatever it had to leave behind
        problems += [p for p in differences(expected, place.study) if "should not" not in p]
    problems += recovered(place, commands, expected)
    group = f"{fault.operation}: {fault.kind}{' from then on' * fault.onwards}"
    path = seen.path.removeprefix(f"{place.study}/")
    return Outcome(
        PART, f"{name} {fault}", group, f"{path}, ended with {ended.code}", problems, reached=bool(seen.hits)
    )


def _how_it_ended(ended: Ended, fault: Fault) -> list[str]:
    """What is wrong with how a command ended, which met a fault."""
    found = list(ended.trouble)
    if ended.code in (0, -9) and (ended.code == 0 or fault.kind in ("kill", "torn")):
        return found
    if ended.code not in (1, 2):
        found.append(f"it ended with {ended.code}; expected 0, 1 or 2")
    elif not any(line.startswith("error: ") or " runs failed:" in line for line in ended.err.splitlines()):
        found.append(f"it ended with {ended.code} and no sentence that says why: {ended.err.strip()[-200:]}")
    return found
