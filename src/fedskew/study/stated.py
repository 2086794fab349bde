"""When each claim of a study was first stated: ``claims.jsonl`` in the study's folder.

A claim that was made up after the results were seen predicts nothing. ``fedskew study`` notes every claim that is new
to the folder, with the number of runs that were complete by then; nothing is ever removed. What is compared is what a
claim tests, so its words may be improved later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedskew.errors import RunError
from fedskew.files import read_lines, replace_file, to_json
from fedskew.runs.folder import RunFolder
from fedskew.study.claim import Claim
from fedskew.wording import count

STATED = "claims.jsonl"


@dataclass(frozen=True)
class Note:
    """One line of the file.

    Attributes:
        claim: its fields as plain values.
        day: on which it was first stated, e.g. "2026-11-27".
        complete: runs that were complete by then; None where it was stated before anything was noted.
    """

    claim: dict[str, Any]
    day: str
    complete: int | None

    @property
    def tests(self) -> str:
        """What it tests, without its words."""
        return _tests(self.claim)


def note_claims(folder: Path, claims: Sequence[Claim]) -> None:
    """Notes the claims that are new to a study's folder; the caller holds its lock.

    Of a folder with results but without this file nobody knows when its claims were stated: they get no number of runs.
    """
    path = folder / STATED
    noted, complete = read_notes(folder), _complete(folder)
    known = {note.tests for note in noted}
    new = [plain for claim in claims if _tests(plain := _plain(claim)) not in known]
    if path.exists() and not new:
        return
    today, unknown = datetime.now(UTC).date().isoformat(), complete > 0 and not path.exists()
    noted += [Note(plain, today, None if unknown else complete) for plain in new]
    lines = (to_json({"claim": n.claim, "stated": n.day, "complete": n.complete}) + "\n" for n in noted)
    replace_file(path, "".join(lines))


def read_notes(folder: Path) -> list[Note]:
    """What is noted; empty where there is no such file.

    Raises:
        RunError: it is damaged.
    """
    path, notes = folder / STATED, []
    for number, line in enumerate(read_lines(path), start=1):
        match line:
            case {
                "claim": {"metric": str()} as claim,
                "stated": str(day),
                "complete": int() | None as complete,
            } if not isinstance(complete, bool):
                notes.append(Note(claim, day[:10], complete))
            case _:
                raise RunError(f"{path}, line {number} is damaged: it is no note of a claim")
    return notes


def afterthoughts(folder: Path, claims: Sequence[Claim]) -> tuple[dict[int, str], list[str]]:
    """Claims that were added or changed after results were there, and claims that are no longer stated.

    Returns:
        number of the claim, from 0 -> what happened, in words; and the words of those that are gone. Nothing for a
        folder in which no claims were noted.

    Raises:
        RunError: the file is damaged.
    """
    if not (folder / STATED).exists():
        return {}, []
    noted = read_notes(folder)
    found = {}
    for number, claim in enumerate(claims):
        note = next((note for note in noted if note.tests == _tests(_plain(claim))), None)
        complete = note.complete if note else _complete(folder)
        if complete:
            others = (other for other in noted if other is not note and other.claim.get("text") == claim.text)
            what = "changed" if any(others) else "added"
            day = f" on {note.day}" if note else ""
            found[number] = f"{what}{day}, with {count(complete, 'run')} of the study complete"
    stated = {_tests(_plain(claim)) for claim in claims}
    changed = {claim.text for claim in claims}
    gone = [str(note.claim.get("text", "")) for note in noted if note.tests not in stated]
    return found, [text for text in dict.fromkeys(gone) if text not in changed]


def _plain(claim: Claim) -> dict[str, Any]:
    plain: dict[str, Any] = claim.model_dump(mode="json", exclude_defaults=True)
    return plain


def _tests(plain: dict[str, Any]) -> str:
    return to_json(_alike({name: v for name, v in sorted(plain.items()) if name not in ("text", "source")}))


def _alike(value: Any) -> Any:
    """The same for 1 and 1.0, which mean the same in a study file."""
    if isinstance(value, dict):
        return {name: _alike(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_alike(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _complete(folder: Path) -> int:
    return sum(run.result.exists() for run in RunFolder.all_below(folder))
