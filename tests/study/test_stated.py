"""When claims were stated: what the study's folder notes, and what is said of claims that came later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fedskew.errors import RunError
from fedskew.study.claim import Claim
from fedskew.study.folder import StudyFolder
from fedskew.study.source import as_study, find_config
from fedskew.study.stated import STATED, afterthoughts, note_claims, read_notes

STUDY = """name = "s"
[axes.alpha]
field = "split.alpha"
values = [1.0, 0.5]
[base.split]
name = "dirichlet"
alpha = 1.0
[[claims]]
text = "accuracy falls"
metric = "accuracy"
direction = "falls"
over = "alpha"
"""


def claim(**changes: Any) -> Claim:
    return Claim.model_validate(
        {"text": "t", "metric": "accuracy", "direction": "falls", "over": "alpha"} | changes
    )


def finish(folder: Path, runs: int) -> None:
    for number in range(runs):
        run = folder / "runs" / f"{number:012}"
        run.mkdir(parents=True)
        (run / "result.json").write_text("{}")


def open_study(folder: Path, text: str) -> StudyFolder:
    config = folder.parent / "study.toml"
    config.write_text(text)
    source = find_config(str(config))
    return StudyFolder.open(folder, as_study(source), source)


def test_a_study_notes_its_claims_before_it_has_results(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    study = open_study(folder, STUDY).study
    (note,) = read_notes(folder)
    assert (note.claim["text"], note.complete) == ("accuracy falls", 0)
    finish(folder, 3)
    assert afterthoughts(folder, study.claims) == ({}, [])


def test_a_claim_that_is_added_later_is_marked_for_good(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    open_study(folder, STUDY)
    finish(folder, 1)
    more = STUDY + STUDY[STUDY.index("[[claims]]") :].replace("accuracy", "bias").replace(
        '"falls"', '"rises"'
    )
    study = open_study(folder, more).study
    for again in range(2):
        late, gone = afterthoughts(folder, study.claims)
        assert list(late) == [1], again
        assert late[1].startswith("added on 20")
        assert late[1].endswith(", with 1 run of the study complete")
        assert gone == []
        open_study(folder, more)


def test_before_it_is_noted_a_late_claim_is_late_too(tmp_path: Path) -> None:
    """The file of a study was edited, and `fedskew report` came before the next `fedskew study`."""
    note_claims(tmp_path, [claim()])
    finish(tmp_path, 2)
    late, _ = afterthoughts(tmp_path, [claim(), claim(metric="bias", text="other")])
    assert late == {1: "added, with 2 runs of the study complete"}


def test_a_changed_claim_and_better_words(tmp_path: Path) -> None:
    note_claims(tmp_path, [claim()])
    finish(tmp_path, 2)
    assert afterthoughts(tmp_path, [claim(text="in better words", source="section 1")]) == ({}, [])
    late, gone = afterthoughts(tmp_path, [claim(margin=2.0)])
    assert late == {0: "changed, with 2 runs of the study complete"}
    assert gone == [], "it is the changed one"
    assert afterthoughts(tmp_path, []) == ({}, ["t"])


def test_of_an_older_folder_nobody_knows(tmp_path: Path) -> None:
    finish(tmp_path, 2)
    assert afterthoughts(tmp_path, [claim()]) == ({}, [])
    note_claims(tmp_path, [claim()])
    assert [note.complete for note in read_notes(tmp_path)] == [None]
    assert afterthoughts(tmp_path, [claim()]) == ({}, [])
    note_claims(tmp_path, [claim(), claim(metric="bias")])
    late, _ = afterthoughts(tmp_path, [claim(), claim(metric="bias")])
    assert list(late) == [1]


@pytest.mark.parametrize(
    "line", ["[]", '{"claim": {}, "stated": "2026-01-01", "complete": 0}', '{"claim": 3}', "nonsense"]
)
def test_a_damaged_file_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / STATED).write_text(line + "\n")
    with pytest.raises(RunError, match=r"claims\.jsonl, line 1 is damaged"):
        read_notes(tmp_path)


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    note_claims(tmp_path, [claim()])
    with (tmp_path / STATED).open("a") as file:
        file.write(json.dumps({"claim": {}})[:5])
    assert len(read_notes(tmp_path)) == 1
