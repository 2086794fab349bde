"""A run's folder: its sessions, clients and failure come back as they were written; old and damaged files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedskew.errors import RunError
from fedskew.federation.poisoning import Poisoning
from fedskew.runs.clients import ClientsSummary
from fedskew.runs.folder import RunFolder
from fedskew.runs.session import DECISIVE, Session, resumed_in, shared_rounds_of
from helpers import PROPERTY

SESSION = Session(
    started="2024-01-01T00:00:00+00:00",
    fedskew="0.1",
    engine="native",
    device="cpu",
    workers=2,
    identity_version=1,
    data=("digits: official content",),
    inputs={"rule.py": "abc"},
)


def test_sessions_come_back_and_keep_the_format_of_the_file(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.read_sessions() == []
    shared = replace(SESSION, from_round=3, shared_from="other")
    folder.write_sessions([SESSION, shared])
    assert folder.read_sessions() == [SESSION, shared]
    first, second = json.loads(folder.environment.read_text())["sittings"]
    assert first["data"] == ["digits: official content"]
    assert "shared_from" not in first
    assert (second["from_round"], second["shared_from"]) == (3, "other")


def test_a_session_of_another_version_is_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.environment.write_text(json.dumps({"sittings": [{"engine": "native", "unheard_of": 1}]}))
    assert folder.read_sessions() == [Session(engine="native")]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"sittings": 3}', '{"sittings": [3]}'])
def test_damaged_sessions_are_one_sentence(tmp_path: Path, content: str) -> None:
    folder = RunFolder(tmp_path)
    folder.environment.write_text(content)
    with pytest.raises(RunError, match=r"environment\.json is damaged"):
        folder.read_sessions()


@pytest.mark.parametrize("key", DECISIVE)
def test_a_run_is_resumed_only_where_everything_decisive_is_the_same(key: str) -> None:
    other = replace(SESSION, **{key: "other"})
    with pytest.raises(RunError, match=f"runs/x cannot be resumed: its {key} was .* and is now 'other'"):
        resumed_in([SESSION], other, Path("runs/x"))
    assert resumed_in([], other, Path("runs/x")) == [other]
    elsewhere = replace(SESSION, processor="another", workers=9)
    assert resumed_in([SESSION], elsewhere, Path("runs/x")) == [SESSION, elsewhere]


def test_rounds_are_shared_up_to_the_session_that_took_them_over() -> None:
    shared = replace(SESSION, from_round=3, shared_from="other")
    assert shared_rounds_of([SESSION]) == 0
    assert shared_rounds_of([SESSION, shared, replace(SESSION, from_round=5)]) == 3


@PROPERTY
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=2), min_size=1, max_size=4) | st.none(),
    st.sets(st.integers(0, 3)),
    st.sampled_from(["unknown", "no poisoning", "poisoned"]),
)
def test_the_clients_come_back(counts: list[list[int]] | None, malicious: set[int], kind: str) -> None:
    done = tuple(Poisoning(9 + client, 8, 3, client) for client in sorted(malicious))
    poisoning = {"unknown": None, "no poisoning": (), "poisoned": done}[kind]
    summary = ClientsSummary(("a", "b"), 4, tuple(sorted(malicious)), 7, counts, poisoning)
    assert ClientsSummary.from_json(json.loads(json.dumps(summary.to_json()))) == summary


def test_how_many_images_a_client_holds_as_far_as_it_is_known() -> None:
    counted = ClientsSummary(("a", "b"), 3, (2,), 0, [[1, 2], [0, 0], [4, 0]])
    assert [counted.images(client) for client in range(3)] == [3, 0, 4]
    many = ClientsSummary(("a", "b"), 3, (2,), 0, None, (Poisoning(5, 5, 1, 1),))
    assert [many.images(client) for client in range(3)] == [None, None, 5]
    plain = many.to_json() | {"malicious": [1, 2]}
    with pytest.raises(ValueError, match="poisoning has 1 entries for 2 adversaries"):
        ClientsSummary.from_json(plain)


def test_a_failure_is_its_first_line(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.read_failure() is None
    folder.write_failure("no luck\nat all")
    assert folder.read_failure() == "no luck"
    assert "traceback" not in json.loads(folder.failure.read_text())
    folder.write_failure("", "Traceback")
    assert folder.read_failure() == "no reason given"
    folder.failure.write_text("{")
    with pytest.raises(RunError, match=r"failure\.json is damaged"):
        folder.read_failure()


def test_the_runs_of_a_study_are_found_without_those_put_aside(tmp_path: Path) -> None:
    assert RunFolder.all_below(tmp_path) == []
    for name in ("b", "a", "a~1"):
        RunFolder.below(tmp_path, name).path.mkdir(parents=True)
    assert [folder.name for folder in RunFolder.all_below(tmp_path)] == ["a", "b"]
