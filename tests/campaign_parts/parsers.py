"""Damaged files of every format that fedskew reads: each is refused with one of our own errors or accepted, in bounded
time and memory, and no process dies of it."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from collections import Counter
from pathlib import Path

from campaign_parts.damaged import Format
from campaign_parts.formats import formats
from campaign_parts.outcomes import Campaign, Outcome
from campaign_parts.parsing import PROGRESS, SECONDS, read_all
from campaign_parts.subject import Place

PART = "parsers"
AT_ONCE = 5000
"""Inputs of a trial, at most."""
PATIENCE = 3.0 * SECONDS
"""Seconds without progress after which the process that reads is killed."""
FORKED = multiprocessing.get_context("fork")
"""Processes that have imported all that this one has, which has no threads."""


def damage(campaign: Campaign, inputs: int) -> None:
    """Reads so many damaged files, as many of each format."""
    study, archive = _seeds(campaign)
    kinds = formats(study, archive)
    each = -(-inputs // len(kinds))
    for first in range(0, each, AT_ONCE):
        for name, kind in kinds.items():
            if campaign.is_over():
                return
            last = min(first + AT_ONCE, each)
            if campaign.is_due(PART, f"{name} {first} to {last - 1}"):
                campaign.add(_trial(campaign, name, kind, first, last))


def _seeds(campaign: Campaign) -> tuple[Path, Path]:
    """A study that is done, its clients' states in its checkpoints, and its archive."""
    place = Place(campaign.folder / "seeds", campaign.folder / "cache", "torch")
    archive = place.root / "study.tar.xz"
    if not archive.exists():
        place.cleared()
        command = place.study_command()
        command[command.index("disk")] = "memory"
        for arguments in (command, ["pack", str(place.study), "--out", str(archive)]):
            if (ended := place.do(arguments)).code != 0:
                raise SystemExit(f"the study whose files are damaged did not end well: {ended}")
    return place.study, archive


def _trial(campaign: Campaign, name: str, kind: Format, first: int, last: int) -> Outcome:
    work = campaign.folder / "parsing"
    shutil.rmtree(work, ignore_errors=True)
    (work / "tmp").mkdir(parents=True)
    (work / "progress").write_bytes(PROGRESS.pack(first, 0, 0))
    found, at = list[tuple[int, str]](), first
    while at < last:
        died = _read(name, kind, at, last, campaign.seed, work)
        if not (work / "begun").exists():
            raise SystemExit(f"the whole {name} was not read: {(work / 'stderr').read_text()}")
        at, accepted, refused = PROGRESS.unpack((work / "progress").read_bytes())
        if died:
            found.append((at, died))
            for damaged in (path for path in (work / "place").rglob("*") if path.is_file()):
                shutil.copyfile(damaged, work / f"{at}-{damaged.name}")
            at += 1
    failures = work / "failures.jsonl"
    lines = failures.read_text().splitlines() if failures.exists() else []
    found += [(entry["number"], entry["error"]) for entry in map(json.loads, lines)]
    return Outcome(
        PART,
        f"{name} {first} to {last - 1}",
        name,
        f"{accepted:,} accepted, {refused - len(lines):,} refused",
        _told(campaign, name, work, found),
        last - first,
        len(found),
    )


def _read(name: str, kind: Format, first: int, last: int, seed: int, work: Path) -> str:
    """Lets a process read inputs; why it died, empty if it did not."""
    process = FORKED.Process(target=read_all, args=(name, kind, first, last, seed, work))
    process.start()
    then, before = time.monotonic(), (work / "progress").read_bytes()
    while process.is_alive():
        process.join(0.1)
        if (now := (work / "progress").read_bytes()) != before:
            before, then = now, time.monotonic()
        if time.monotonic() - then > PATIENCE:
            process.kill()
            process.join()
            return f"no progress for {PATIENCE:g} s, and no exception could end it"
    if process.exitcode == 0:
        return ""
    said = (work / "stderr").read_text(errors="replace").strip().splitlines()[-1:]
    return f"the process that read it died with {process.exitcode}: {''.join(said)}"


def _told(campaign: Campaign, name: str, work: Path, found: list[tuple[int, str]]) -> list[str]:
    """A line for each kind of failure; the files of some are kept."""
    numbers = {error: number for number, error in reversed(found)}
    kept = campaign.folder / "failed" / f"parsers-{name}"
    for path in work.glob("[0-9]*"):
        kept.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, kept / path.name)
    return [
        f"{error}: {count:,} times, first with input {numbers[error]} ({kept})"
        for error, count in Counter(error for _, error in found).most_common()
    ]
