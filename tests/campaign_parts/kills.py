"""SIGKILL at random moments: of a worker, the parent, or all processes of a study, of its report, or while kernels are
compiled. The same command afterwards must give the bytes of an undisturbed study."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from campaign_parts.outcomes import Campaign, Outcome
from campaign_parts.session import LIMIT, Session
from campaign_parts.subject import Place, digests, recovered

PART = "kills"
STAGES = ("study", "study", "report", "study", "compilation")
TARGETS = ("group", "parent", "worker")
PAUSE = 0.005
"""Seconds between two looks at whether a sign is there."""


@dataclass(frozen=True)
class Stage:
    """What is killed.

    Attributes:
        commands: the one that is killed comes last; all of them are done again in the end.
        sign: a pattern in the trial's folder: when something fits, the command has begun to work.
        whole, working: how long the undisturbed command took, all of it and from the sign on, in seconds.
        expected: what is in the study's folder in the end.
    """

    commands: tuple[tuple[str, ...], ...]
    sign: str
    whole: float
    working: float
    expected: Mapping[str, str]


def kill(campaign: Campaign, place: Place, kills: int) -> None:
    """Does trials until there were so many kills."""
    names = STAGES if place.engine == "native" else [name for name in STAGES if name != "compilation"]
    done, number, stages = 0, 0, dict[str, Stage]()
    while done < kills and not campaign.is_over():
        name, target = names[number % len(names)], TARGETS[number // len(names) % len(TARGETS)]
        rng = random.Random(f"{campaign.seed} kill {number}")
        strikes = rng.choice((1, 1, 2, 3)) if name == "study" else 1
        done, number = done + strikes, number + 1
        if not campaign.is_due(PART, str(number)):
            continue
        if not stages:
            stages |= measured(place)
        campaign.add(_trial(place, stages[name], name, target, strikes, rng, str(number)))
        if campaign.outcomes[-1].problems:
            place.keep_failed(campaign.folder / "failed" / f"kill-{number}")


def measured(place: Place) -> dict[str, Stage]:
    """Each stage, done once without a kill; the study is kept."""
    place.cleared().do(place.study_command())  # compiles the kernels, and reads much into the system's memory
    study, report = tuple(place.study_command()), tuple(place.report_command())
    found = {}
    place.cleared()
    found["study"] = _stage(place, (study,), "study/runs/*/config.toml")
    place.keep_whole()
    found["report"] = _stage(place, (study, report), "study/report/*")
    own = place.cleared().with_own_cache()
    compiled = _stage(own, (study,), "cache/fedskew/native/.*")
    found["compilation"] = replace(compiled, expected=found["study"].expected)
    for name, stage in found.items():
        print(f"undisturbed {name}: {stage.whole:.1f} s, {stage.working:.1f} s of it at work", flush=True)
    return found


def _stage(place: Place, commands: tuple[tuple[str, ...], ...], sign: str) -> Stage:
    begun = time.monotonic()
    session = place.begin(commands[-1])
    at_work = _wait_for(session, place, sign)
    ended, over = session.end(), time.monotonic()
    if ended.code != 0 or ended.trouble:
        raise SystemExit(f"the undisturbed `fedskew {commands[-1][0]}` did not end well: {ended}")
    return Stage(commands, sign, over - begun, over - at_work, digests(place.study))


def _wait_for(session: Session, place: Place, sign: str) -> float:
    """When the sign was there, or the command had ended."""
    deadline = time.monotonic() + LIMIT
    while session.runs() and time.monotonic() < deadline and not any(place.root.glob(sign)):
        time.sleep(PAUSE)
    return time.monotonic()


def _trial(
    place: Place, stage: Stage, name: str, target: str, strikes: int, rng: random.Random, trial: str
) -> Outcome:
    place.cleared()
    if name == "compilation":
        place = place.with_own_cache()
    if name == "report":
        shutil.copytree(place.whole, place.study)
    told, problems = [], []
    for _ in range(strikes):
        session = place.begin(stage.commands[-1])
        at_work, share = rng.random() < 0.8, rng.random()
        if at_work:
            _wait_for(session, place, stage.sign)
        seconds = share * (stage.working if at_work else stage.whole)
        time.sleep(seconds)
        struck = session.strike(target, rng)
        told.append(
            f"{struck or 'nothing left'}, {seconds:.2f} s after {'its first file' if at_work else 'start'}"
        )
        problems += session.end().trouble
    problems += recovered(place, stage.commands, stage.expected)
    return Outcome(PART, trial, f"SIGKILL of a {name}'s {target}", "; ".join(told), problems, strikes)
