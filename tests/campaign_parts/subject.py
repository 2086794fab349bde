"""The study that is disturbed: the place where it is done, its commands, and what must be there in the end."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import fedskew
from campaign_parts.session import Ended, Session

STUDY = Path(__file__).with_name("study.toml")
OF_THE_MOMENT = ("timings.jsonl", "environment.json")
"""Files of a run that say when, where and how fast it was done. All others must have the same bytes."""
LONG_AGO = 3600.0
"""Seconds: what kills left is removed by the next command only if nobody can be writing it any more."""


@dataclass(frozen=True)
class Place:
    """Where a trial works; everything in it is the trial's own, except the cache of compiled kernels.

    Attributes:
        root: its folder.
        cache: of compiled kernels.
        engine: that trains.
    """

    root: Path
    cache: Path
    engine: str

    @property
    def study(self) -> Path:
        """The study's folder."""
        return self.root / "study"

    @property
    def whole(self) -> Path:
        """Where an undisturbed study is kept."""
        return self.root.with_name("whole")

    @property
    def logs(self) -> Path:
        """Where it is kept what the last command printed, on a disk that never is full."""
        return self.root.with_name("logs")

    def keep_whole(self) -> None:
        """Keeps the study, which is undisturbed."""
        shutil.rmtree(self.whole, ignore_errors=True)
        shutil.copytree(self.study, self.whole)

    def keep_failed(self, folder: Path) -> None:
        """Keeps what a trial that did not pass has left: the study, and what the last command said."""
        for path in (self.study, self.logs):
            if path.exists():
                shutil.copytree(path, folder / path.name, dirs_exist_ok=True)

    def cleared(self) -> Place:
        """The same place with nothing in it."""
        shutil.rmtree(self.root, ignore_errors=True)
        for folder in (self.root / "home", self.root / "tmp", self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        return self

    def with_own_cache(self) -> Place:
        """The same place, in which kernels must be compiled first."""
        return replace(self, cache=self.root / "cache")

    def environment(self) -> dict[str, str]:
        """The variables of its commands."""
        source = str(Path(fedskew.__file__).parents[1])
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])]),
            "HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "tmp"),
            "XDG_CACHE_HOME": str(self.cache),
            "MPLCONFIGDIR": str(self.cache),
            "OMP_NUM_THREADS": "1",
            "NO_COLOR": "1",
        }

    def begin(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Session:
        """Begins a command of fedskew, with other variables than usual if there are any."""
        command = [sys.executable, "-m", "fedskew", *arguments]
        return Session(command, self.root, environment or self.environment(), self.logs)

    def do(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Ended:
        """Does a command of fedskew."""
        return self.begin(arguments, environment).end()

    def study_command(self, config: Path = STUDY) -> list[str]:
        """The study, on two workers, with clients' states in files and a checkpoint after every round."""
        options = [
            "--jobs",
            "2",
            "--client-state",
            "disk",
            "--checkpoint-every",
            "0",
            "--engine",
            self.engine,
        ]
        return ["study", str(config), "--out", str(self.study), "--quiet", *options]

    def report_command(self) -> list[str]:
        """The study's report."""
        return ["report", str(self.study)]

    def aged(self) -> None:
        """Lets what kills left of files look as if it had been there for long."""
        then = time.time() - LONG_AGO
        for part in self.study.rglob(".*.part"):
            os.utime(part, (then, then))


def digests(folder: Path) -> dict[str, str]:
    """What is in a folder: SHA-256 of each file that must always have the same bytes, a word for all else."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            found[name] = "a folder"
        elif path.name in OF_THE_MOMENT:
            found[name] = "a file"
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def differences(expected: Mapping[str, str], folder: Path) -> list[str]:
    """What is not as it must be in a folder."""
    found = digests(folder)
    return [
        *(f"{name} is missing" for name in expected if name not in found),
        *(f"{name} should not be there" for name in found if name not in expected),
        *(
            f"{name} has other bytes"
            for name in expected
            if found.get(name, expected[name]) != expected[name]
        ),
    ]


def held(folder: Path) -> list[str]:
    """The locks in a folder that somebody holds."""
    found = []
    for path in folder.rglob(".lock"):
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append(f"{path.relative_to(folder)} is held")
    return found


def recovered(place: Place, commands: Sequence[Sequence[str]], expected: Mapping[str, str]) -> list[str]:
    """Does the same commands again, undisturbed; what is then not as if they always had been."""
    place.aged()
    problems = held(place.study)
    for command in commands:
        ended = place.do(command)
        problems += [f"rerun: {problem}" for problem in ended.trouble]
        if ended.code != 0:
            lines = ended.err.strip().splitlines() or ["nothing on stderr"]
            problems.append(
                f"rerun: `fedskew {command[0]}` ended with {ended.code}: {' / '.join(lines[-3:])}"
            )
    return problems + held(place.study) + differences(expected, place.study)
