"""Every command on a full disk, in a read-only folder, without a home and without a compiler: a sentence and a
documented exit code, or what was asked for."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping

from campaign_parts.faults import Fault, Faults
from campaign_parts.outcomes import Campaign, Outcome
from campaign_parts.subject import Place
from fedskew.training.native.plan import Unsupported

PART = "surroundings"
RUN = """
rounds = 2
split = "iid"
model = { name = "mlp", hidden = [4] }
clients = { count = 4 }
training = { epochs = 1 }
"""
COMMANDS: Mapping[str, Callable[[Place], list[str]]] = {
    "study": Place.study_command,
    "report": Place.report_command,
    "run": lambda place: [
        "run",
        str(place.root / "run.toml"),
        "--out",
        str(place.root / "run"),
        "--engine",
        "auto",
    ],
    "audit": lambda place: [
        *("audit", "median", "--attacks", "sign-flip", "--alphas", "1.0", "--seeds", "1", "--clients", "5"),
        *("--adversaries", "1", "--set", "rounds=1", "--jobs", "2", "--out", str(place.root / "audit")),
    ],
    "pack": lambda place: ["pack", str(place.study), "--out", str(place.root / "packed.tar.xz")],
    "plan": lambda place: ["plan", str(place.root / "run.toml")],
    "inspect": lambda place: ["inspect", str(place.root / "run.toml")],
    "watch": lambda place: ["watch", str(place.study), "--once"],
    "list": lambda place: ["list", "aggregator"],
    "data": lambda place: ["data", "where"],
}


def surround(campaign: Campaign, place: Place) -> None:
    """Does every command in every surrounding."""
    try:
        faults: Faults | None = Faults.build(campaign.folder)
    except Unsupported as error:
        faults = None
        print(f"full disks and read-only folders: skipped, since {error}", flush=True)
    homeless = _without(place, "HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR")
    surroundings: dict[str, Callable[[], dict[str, str]]] = {
        "without a home": lambda: homeless,
        "with a home that is not there": lambda: {**homeless, "HOME": str(place.root / "nowhere")},
        "without a compiler": lambda: {**place.environment(), "CC": str(place.root / "no-compiler")},
    }
    if faults is not None:
        full, read_only = Fault("any", "ENOSPC", 1, True), Fault("any", "EROFS", 1, True)
        surroundings["on a full disk"] = lambda: place.environment() | faults.around(place.root, full)
        surroundings["in a read-only folder"] = lambda: (
            place.environment() | faults.around(place.root, read_only)
        )
    for surrounding, changed in surroundings.items():
        for command, arguments in COMMANDS.items():
            trial = f"{command} {surrounding}"
            if campaign.is_over():
                return
            if campaign.is_due(PART, trial):
                campaign.add(_trial(place, command, arguments, surrounding, changed))


def _without(place: Place, *names: str) -> dict[str, str]:
    return {name: value for name, value in place.environment().items() if name not in names}


def _trial(
    place: Place,
    command: str,
    arguments: Callable[[Place], list[str]],
    surrounding: str,
    changed: Callable[[], dict[str, str]],
) -> Outcome:
    place.cleared()
    (place.root / "run.toml").write_text(RUN)
    if command in ("report", "pack", "watch"):  # these need a study that is done
        if not place.whole.is_dir():
            place.do(place.study_command())
            place.keep_whole()
        shutil.copytree(place.whole, place.study, dirs_exist_ok=True)
    ended = place.do(arguments(place), changed())
    problems = list(ended.trouble)
    if ended.code not in (0, 1, 2):
        problems.append(f"it ended with {ended.code}; expected 0, 1 or 2")
    sentences = [
        line for line in ended.err.splitlines() if line.startswith("error: ") or " runs failed:" in line
    ]
    if ended.code and not sentences:
        problems.append(
            f"it ended with {ended.code} and no sentence that says why: {ended.err.strip()[-200:]}"
        )
    detail = f"ended with {ended.code}{': ' * bool(sentences)}{''.join(sentences[:1])}"
    return Outcome(PART, f"{command} {surrounding}", f"every command {surrounding}", detail, problems)
