"""Which modules a config may import: a permission that its reader gives, for the context in which it was given.

It is a context variable, not a global list, so that it ends where its block ends and does not leak into other threads.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_allowed: ContextVar[frozenset[str]] = ContextVar("modules that a config may import", default=frozenset())


def allow_plugin(prefix: str) -> None:
    """Allows configs to import ``package.module:function`` components whose module is ``prefix`` or below it.

    The permission holds for the rest of the current context, usually the thread. The current folder joins the import
    path, so that a file beside the config can be named.

    >>> with allowing([]):  # what is allowed in here ends with the block
    ...     allow_plugin("my_rules")
    ...     may_import("my_rules.robust"), may_import("my_rules_of_others")
    (True, False)
    """
    _allowed.set(_allowed.get() | {prefix})
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # after everything installed, so that no file in it replaces a library


@contextmanager
def allowing(prefixes: Iterable[str]) -> Iterator[None]:
    """Allows these modules, and no others, inside the block."""
    token = _allowed.set(frozenset())
    try:
        for prefix in prefixes:
            allow_plugin(prefix)
        yield
    finally:
        _allowed.reset(token)


def allowed() -> tuple[str, ...]:
    """The prefixes that are allowed here."""
    return tuple(sorted(_allowed.get()))


def may_import(module: str) -> bool:
    """Whether a config may import this module."""
    return any(module == prefix or module.startswith(prefix + ".") for prefix in _allowed.get())
