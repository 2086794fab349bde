"""The command line: thin. Parses, calls, prints; imports nothing heavy until a command needs it.

Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 some run failed, 2 bad input,
130 interrupted.
"""

from __future__ import annotations

from fedskew.cli.app import app, main
from fedskew.cli import run, study, watch, plan, inspect, report, listing, data  # noqa: F401 (registers the commands)

__all__ = ["app", "main"]
