"""A plug-in cannot end the process unseen: a command would leave with exit code 0 and nothing done."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

ENDING = ("_exit", "execv", "execve")
"""Calls that end the process without a trace, or put another program in its place: what else does so uses them."""


@contextmanager
def staying() -> Iterator[None]:
    """Inside, these calls raise ``SystemExit`` in this thread; in another one they end the process with a sentence and
    an exit code that is not 0. Forked processes end as they want.

    Errors name no place then, since the last one is here. Workers of a study need no such thing: they are processes of
    their own, whose end is seen.
    """
    modules = [os, *filter(None, [sys.modules.get("posix")])]
    calls = [(module, name, getattr(module, name)) for module in modules for name in ENDING]
    leave, process, thread = os._exit, os.getpid(), threading.get_ident()

    def asked_of(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*given: Any, **named: Any) -> Any:
            if os.getpid() != process:
                return call(*given, **named)
            status = given[0] if name == "_exit" and given else f"os.{name}"
            if threading.get_ident() != thread:
                os.write(2, f"error: a thread of a plug-in ended the process with {status}\n".encode())
                leave(status if isinstance(status, int) and status else 1)
            raise SystemExit(status)

        return asked

    for module, name, call in calls:
        setattr(module, name, asked_of(name, call))
    try:
        yield
    finally:
        for module, name, call in calls:
            setattr(module, name, call)
