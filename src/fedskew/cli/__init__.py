"""The command line: thin. Parses, calls, prints; imports nothing heavy until a command needs it.

Results go to stdout, progress and errors to stderr. docs/config.md has the exit codes.
"""

from __future__ import annotations

from fedskew.cli.app import app, main
from fedskew.cli import audit, run, study, watch, plan, inspect, report, pack, listing, data  # noqa: F401 (registers the commands)

__all__ = ["app", "main"]
