"""A command as a session of processes: begun, killed in parts, and what is left of it."""

from __future__ import annotations

import atexit
import os
import random
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LIMIT = 600.0
"""Seconds after which a command counts as hung."""
GRACE, COMPILER_GRACE = 15.0, 120.0
"""Seconds that a process may outlive the one that was started: one of Python, or a compiler, which ends by itself."""


@dataclass(frozen=True)
class Process:
    """A process of a session."""

    pid: int
    parent: int
    name: str

    @property
    def is_python(self) -> bool:
        """Whether it is one of ours and no compiler."""
        return self.name.startswith(("python", "fedskew"))


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: exit code; below 0 the signal that killed it; None: it had not ended in time.
        survivors: processes of its session that outlived it for too long.
    """

    code: int | None
    out: str
    err: str
    survivors: tuple[str, ...]

    @property
    def trouble(self) -> list[str]:
        """What no command may do, whatever happens to it."""
        found = [f"a process outlived it: {name}" for name in self.survivors]
        if self.code is None:
            found.append(f"it had not ended after {LIMIT:g} s")
        if "Traceback (most recent call last)" in self.err:
            found.append(f"a traceback: {self.err.strip().splitlines()[-1]}")
        return found


class Session:
    """A command that runs in a session of its own.

    Args:
        command: its arguments.
        folder: in which it works.
        environment: all its variables.
        logs: a folder for what it prints.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], logs: Path
    ) -> None:
        self._out, self._err = logs / "stdout", logs / "stderr"  # no pipes: orphans would keep them open
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.pid = self._process.pid
        atexit.register(self.kill_all)  # nothing is left where the campaign itself is ended

    def runs(self) -> bool:
        """Whether the process that was started has not ended."""
        return self._process.poll() is None

    def said(self) -> str:
        """What is on its stderr so far."""
        return self._err.read_text(errors="replace")

    def members(self) -> list[Process]:
        """The processes of the session, without those that have ended."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                text = stat.read_text(errors="replace")
            except OSError:  # it has just ended
                continue
            before, _, after = text.rpartition(")")
            state, parent, _group, session, *_ = after.split()
            if int(session) == self.pid and state not in "ZX":
                found.append(Process(int(stat.parent.name), int(parent), before.partition("(")[2]))
        return found

    def strike(self, target: str, rng: random.Random) -> str:
        """Kills a part of it with SIGKILL: ``"group"``, ``"parent"``, or ``"worker"``: one of the processes that it
        started or that these did; the name of what was killed, empty where nothing was left."""
        others = sorted((p for p in self.members() if p.pid != self.pid), key=lambda process: process.pid)
        if not self.runs():
            return ""
        if target == "group":
            os.killpg(self.pid, signal.SIGKILL)
            return f"the group of {1 + len(others)}"
        if target == "parent" or not others:
            os.kill(self.pid, signal.SIGKILL)
            return f"the parent of {len(others)}"
        one = rng.choice(others)
        try:
            os.kill(one.pid, signal.SIGKILL)
        except ProcessLookupError:
            return ""
        below = "that it started" if one.parent == self.pid else "that these started"
        return f"{one.name}, one of {len(others)} {below}"

    def kill_all(self) -> None:
        """Kills all processes of the session that are left."""
        for process in self.members():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    def end(self) -> Ended:
        """Waits until it has ended, and the other processes of the session with it; kills what does not."""
        try:
            code: int | None = self._process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            code = None
            self._process.kill()
            self._process.wait()
        begun, survivors = time.monotonic(), tuple[str, ...]()
        while left := self.members():
            late = time.monotonic() - begun
            if late > (GRACE if any(process.is_python for process in left) else COMPILER_GRACE):
                survivors = tuple(f"{process.name} ({process.pid})" for process in left)
                self.kill_all()
                break
            time.sleep(0.05)
        atexit.unregister(self.kill_all)
        return Ended(code, self._out.read_text(errors="replace"), self.said(), survivors)
