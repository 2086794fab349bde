"""A plug-in cannot end the process unseen: a command would leave with exit code 0 and nothing done."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


@contextmanager
def staying() -> Iterator[None]:
    """Inside, ``os._exit`` raises ``SystemExit`` in this thread; other threads and forked processes end as they want.

    Errors name no place then, since the last one is here. Workers of a study need no such thing: they are processes of
    their own, whose end is seen.
    """
    leave, process, thread = os._exit, os.getpid(), threading.get_ident()

    def asked(status: int) -> NoReturn:
        if os.getpid() == process and threading.get_ident() == thread:
            raise SystemExit(status)
        leave(status)

    os._exit = asked
    try:
        yield
    finally:
        os._exit = leave
