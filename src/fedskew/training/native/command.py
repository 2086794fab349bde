"""What the C compiler says, in bounds: it may hang or print without end."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from contextlib import suppress

MOST_PRINTED = 4_000_000
"""Bytes on each of its streams; all macros of a compiler are some 20 kB."""
LOOK = 0.2
"""Seconds between two looks at how much it has printed."""


def outcome(command: list[str], seconds: float) -> tuple[int, str, str]:
    """The exit code of a command, and what it printed on standard output and standard error.

    Raises:
        OSError: it cannot be started; or it took longer or printed too much, and was ended.
    """
    # Not pipes: whatever it has started may hold their other end, and would be waited for.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        until = time.monotonic() + seconds
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err) as process:
            try:
                while process.returncode is None:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(LOOK)
                    if any(os.fstat(file.fileno()).st_size > MOST_PRINTED for file in (out, err)):
                        raise OSError(f"{command[0]} printed more than {MOST_PRINTED:,} bytes")
                    if process.returncode is None and time.monotonic() > until:
                        raise OSError(f"{command[0]} did not end within {seconds:g} s")
            except BaseException:
                process.kill()
                raise
        for file in (out, err):
            file.seek(0)
        return process.returncode, out.read().decode(errors="replace"), err.read().decode(errors="replace")
