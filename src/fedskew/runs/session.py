"""The sessions in which a run was done: where, with which versions, from which round on (``environment.json``).

A session says how records were made and is not part of them.
"""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fedskew
from fedskew.components.identity import VERSION
from fedskew.components.own_words import own_words
from fedskew.errors import RunError

if TYPE_CHECKING:
    from fedskew.federation.world import World

_log = logging.getLogger(__name__)

DECISIVE = ("engine", "device", "data")
"""What a run's records depend on besides its config and the version of results: a run is resumed only where all of
them are the same."""


ROUNDING = ("torch", "numpy", "processor", "compiled")
"""What may round differently where it is another one: a run that is resumed there warns."""


@dataclass(frozen=True)
class Session:
    """One session of a run; a value is None where a file does not have it.

    Attributes:
        started: UTC, ISO 8601.
        fedskew, python, torch, numpy: versions.
        commit: of the source tree, with ``+changes`` if it was edited.
        platform, processor, cores: of the machine.
        engine, device, workers: what trained, on which device, with how many threads.
        engine_reason: why this engine.
        compiled: with which compiler and flags the engine's own code was built; empty for engines without any.
        from_round: how many rounds were done before it.
        identity_version: ``identity.VERSION`` at the time.
        data: the provenance of the data set's files.
        inputs: name -> SHA-256 of the other files that determine the run (``runs.inputs``).
        own_words: what its plug-ins say of themselves (``components.own_words``).
        shared_from: the run whose rounds this one took over; None if it did them itself.
    """

    started: str | None = None
    fedskew: str | None = None
    commit: str | None = None
    python: str | None = None
    torch: str | None = None
    numpy: str | None = None
    platform: str | None = None
    processor: str | None = None
    cores: int | None = None
    engine: str | None = None
    device: str | None = None
    workers: int | None = None
    engine_reason: str | None = None
    compiled: str | None = None
    from_round: int = 0
    identity_version: int | None = None
    data: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    own_words: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    shared_from: str | None = None

    @staticmethod
    def from_json(value: Any) -> Session:
        """The session that an entry of the file describes.

        Raises:
            TypeError, ValueError: it describes none.
        """
        known = {f.name: value[f.name] for f in fields(Session) if f.name in dict(value)}
        known["from_round"] = int(known.get("from_round", 0))
        known["data"] = tuple(map(str, known.get("data", ())))
        known["inputs"] = dict(known.get("inputs", {}))
        known["own_words"] = {str(name): dict(of) for name, of in dict(known.get("own_words", {})).items()}
        return Session(**known)

    def to_json(self) -> dict[str, Any]:
        """The entry of the file."""
        plain = asdict(self)
        if self.shared_from is None:
            del plain["shared_from"]
        if not self.own_words:
            del plain["own_words"]
        return plain

    def differs_in(self, other: Session, keys: Sequence[str]) -> str | None:
        """The first of these attributes that differs between two sessions; None if none does."""
        return next((key for key in keys if getattr(self, key) != getattr(other, key)), None)


def session_here(world: World, from_round: int, inputs: Mapping[str, str]) -> Session:
    """The session that begins now.

    Args:
        from_round: how many rounds are done.
        inputs: as ``runs.inputs.input_checksums`` gives them.
    """
    import numpy
    import torch

    device = str(world.device)
    return Session(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        fedskew=importlib.metadata.version("fedskew"),
        commit=commit(),
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=numpy.__version__,
        platform=platform.platform(),
        processor=processor(),
        cores=os.cpu_count(),
        engine=world.engine.name,
        device=f"{device} ({torch.cuda.get_device_name(device)})" if device.startswith("cuda") else device,
        workers=world.engine.workers,
        engine_reason=world.engine_reason,
        compiled=world.engine_compiled,
        from_round=from_round,
        identity_version=VERSION,
        data=tuple(world.dataset.info.provenance),
        inputs=inputs,
        own_words=own_words(world.experiment),
    )


def resumed_in(sessions: Sequence[Session], here: Session, folder: Path) -> list[Session]:
    """The sessions of a run that is resumed here; without earlier ones it is begun here.

    Raises:
        RunError: something that changes records differs from the last session.
    """
    if sessions and sessions[-1].identity_version != here.identity_version:
        raise of_another_version(folder)
    if sessions and (key := here.differs_in(sessions[-1], DECISIVE)) is not None:
        raise RunError(
            f"{folder} cannot be resumed: its {key} was {getattr(sessions[-1], key)!r} and is now "
            f"{getattr(here, key)!r}",
            f"resume it with the same {key}, or use another folder",
        )
    if sessions and (other := [key for key in ROUNDING if _another(key, sessions[-1], here)]):
        was, now = (
            ", ".join(f"{key} {getattr(session, key)}" for key in other) for session in (sessions[-1], here)
        )
        _log.warning(
            "%s was started with %s and is resumed with %s: from here its numbers may differ in the last digits",
            folder,
            was,
            now,
        )
    return [*sessions, here]


def _another(key: str, before: Session, here: Session) -> bool:
    """Whether both sessions say it, and differ: earlier versions did not say everything."""
    was, now = getattr(before, key), getattr(here, key)
    return was is not None and now is not None and was != now


def of_another_version(folder: Path) -> RunError:
    """What to tell of a run that has rounds, or is to have them, of another version of results than the present one."""
    return RunError(
        f"{folder} cannot be resumed: it was begun with another version of fedskew, whose numbers differ from those of "
        "this version by rounding",
        "resume it with the version that began it, or run it in another folder (`--out FOLDER`)",
    )


def shared_rounds_of(sessions: Sequence[Session]) -> int:
    """How many of a run's rounds were done by another run, which its session names as ``shared_from``."""
    return max((session.from_round for session in sessions if session.shared_from), default=0)


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@functools.cache
def commit() -> str | None:
    """The commit of the source tree that fedskew runs from, ``+changes`` if it was edited; None if it has none.

    Asked once per process: its modules are as they were then. Where the history is not at hand (a container, say),
    ``FEDSKEW_COMMIT`` says which it is.
    """
    root = Path(fedskew.__file__).resolve().parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout.strip()

    try:
        # An installed package may lie inside some other repository; only its own tracks this file.
        git("ls-files", "--error-unmatch", "__init__.py")
        return git("rev-parse", "--short=12", "HEAD") + (
            "+changes" if git("status", "--porcelain", ".") else ""
        )
    except (OSError, subprocess.SubprocessError):
        return os.environ.get("FEDSKEW_COMMIT") or None
