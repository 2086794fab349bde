"""What happens to a study that is killed, whose disk fails, whose files are damaged or that is very long, counted.

    python tests/campaign.py [--kills 200] [--operations 500] [--inputs 1000000] [--cells 1000] [--seed 0]
                             [--only kills|operations|surroundings|parsers|soak] [--minutes 60] [--out FOLDER]
                             [--trial NAME] [--report docs/reliability.md]

``kills``: SIGKILL of a worker, the parent or all processes of a study, its report or a compilation, at random moments.
``operations``: the n-th write, fsync, rename, ... fails, is cut short, or the process is killed in it. After each, the
same command must end in the bytes of an undisturbed study, with no lock, file or process left over.
``surroundings``: every command on a full disk, in a read-only folder, without a home, without a compiler.
``parsers``: damaged files of every kind that is read give our own errors, in bounded time and memory.
``soak``: memory, open files and time of a study of many cells are flat.

A line is printed for each trial, and kept: the same command with the same --out continues where the last one ended
(after --minutes, say). Everything is drawn from --seed and the number or name of the trial. What fails is kept in
--out. Exit code 1 if anything did.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from campaign_parts import kills, operations, parsers, soak, surroundings
from campaign_parts.outcomes import Campaign, with_block
from campaign_parts.subject import Place
from fedskew.training.native.compiler import find_compiler
from fedskew.training.native.plan import Unsupported

PARTS = ("kills", "operations", "surroundings", "parsers", "soak")


def main(given: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS
    )
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; repeatable. Default: all.")
    parser.add_argument("--kills", type=int, default=200, help="SIGKILLs")
    parser.add_argument("--operations", type=int, default=500, help="operations that go wrong, at most")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="damaged files")
    parser.add_argument("--cells", type=int, default=1000, help="of the long study")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="after which no trial is begun")
    parser.add_argument("--trial", action="append", default=[], help="only this, by its name; repeatable")
    parser.add_argument(
        "--out", type=Path, default=Path("build/campaign"), help="what is known of this campaign"
    )
    parser.add_argument("--report", type=Path, help="a Markdown page whose table is replaced")
    options = parser.parse_args(given)
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # as any other end, after which no process is left
    campaign = Campaign(options.out, options.seed, options.minutes, options.trial)
    place = Place(campaign.folder / "place", campaign.folder / "cache", _engine())
    asked = options.only or PARTS
    if "kills" in asked:
        kills.kill(campaign, place, options.kills)
    if "operations" in asked:
        operations.sweep(campaign, place, options.operations)
    if "surroundings" in asked:
        surroundings.surround(campaign, place)
    if "parsers" in asked:
        parsers.damage(campaign, options.inputs)
    if "soak" in asked:
        soak.soak(campaign, place, options.cells)
    command = " ".join(["python tests/campaign.py", *(sys.argv[1:] if given is None else given)])
    table = campaign.table(command)
    print(f"\n{table}\n{len(campaign.failed)} of {len(campaign.outcomes)} trials failed", flush=True)
    if options.report is not None:
        page = options.report.read_text(encoding="utf-8")
        options.report.write_text(with_block(page, table), encoding="utf-8")
    return bool(campaign.failed)


def _engine() -> str:
    """The native engine, of which a study depends on the compiler's cache too, where there is a compiler."""
    try:
        find_compiler()
    except Unsupported as error:
        print(f"the engine is torch, and no compilation is killed, since {error}", flush=True)
        return "torch"
    return "native"


if __name__ == "__main__":
    sys.exit(main())
