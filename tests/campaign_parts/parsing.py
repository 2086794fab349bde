"""A process that reads damaged files of one format; ``parsers`` forks it.

Input n of a format is drawn from the seed, the format and n. What a reader raises that is no error of ours, or what
takes too long or too much memory, is a line of ``failures.jsonl``, with the file kept; ``progress`` says how far it is.
"""

from __future__ import annotations

import faulthandler
import json
import mmap
import os
import random
import resource
import shutil
import signal
import struct
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import Any

from campaign_parts.damaged import Format
from fedskew.errors import FedskewError

SECONDS = 20
"""The most that reading a file of some kilobytes may take."""
MEMORY = 2 << 30
"""The most that it may take: 2 GiB."""
KEPT = 3
"""Files that are kept of each kind of failure."""
PROGRESS = struct.Struct("=QQQ")
"""The input that is being read, and how many were accepted and refused before."""


class TookTooLong(BaseException):
    """What the alarm raises: no ``except Exception`` takes it for an error of a file."""


def damaged(name: str, kind: Format, number: int, seed: int) -> bytes:
    """Input ``number`` of a format."""
    return kind.mutate(random.Random(f"{seed} {name} {number}"), kind.whole)


def read_all(name: str, kind: Format, first: int, last: int, seed: int, work: Path) -> None:
    """Reads the inputs from ``first`` to before ``last``; all that it writes is in the folder ``work``."""
    with (work / "stderr").open("ab") as err:
        os.dup2(err.fileno(), 2)
    faulthandler.enable()
    warnings.simplefilter("ignore")
    place, temporary = work / "place", work / "tmp"
    tempfile.tempdir = str(temporary)
    for path, content in {**kind.beside, kind.file: kind.whole[0]}.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(content)
    kind.read(place / kind.file)  # the whole file is read, and all that is imported for it is there
    (work / "begun").touch()
    _bound_memory()
    signal.signal(signal.SIGALRM, _too_long)
    kept = dict[str, int]()
    with (work / "progress").open("r+b") as file, mmap.mmap(file.fileno(), PROGRESS.size) as progress:
        _, accepted, refused = PROGRESS.unpack(progress)
        for number in range(first, last):
            PROGRESS.pack_into(progress, 0, number, accepted, refused)
            (place / kind.file).write_bytes(damaged(name, kind, number, seed))
            error = _error(kind, place / kind.file)
            accepted, refused = accepted + (error is None), refused + (error is not None)
            if error and (kept.setdefault(error, 0) < KEPT):
                shutil.copyfile(place / kind.file, work / f"{number}{Path(kind.file).suffix}")
            if error:
                kept[error] += 1
                with (work / "failures.jsonl").open("a") as failures:
                    failures.write(json.dumps({"number": number, "error": error}) + "\n")
            for left in temporary.iterdir():
                shutil.rmtree(left, ignore_errors=True)
        PROGRESS.pack_into(progress, 0, last, accepted, refused)


def _error(kind: Format, path: Path) -> str | None:
    """None: the file was accepted. Empty: it was refused as it should be. Else what went wrong."""
    signal.alarm(SECONDS)
    try:
        kind.read(path)
    except FedskewError:
        return ""
    except TookTooLong:
        return f"took more than {SECONDS} s"
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in place if "/fedskew/" in frame.filename] or list(place)
        where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "nowhere"
        return f"{type(error).__name__} at {where}"
    finally:
        signal.alarm(0)
    return None


def _too_long(*_: Any) -> None:
    raise TookTooLong


def _bound_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGESIZE") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
