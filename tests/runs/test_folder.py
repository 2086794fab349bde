"""A run's folder: its sessions, clients and failure come back as they were written; old and damaged files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedskew.components.identity import OLDEST, VERSION
from fedskew.config import Execution, Experiment
from fedskew.config.build import build
from fedskew.errors import RunError
from fedskew.federation.poisoning import Poisoning
from fedskew.files import to_json
from fedskew.runs.clients import ClientsSummary
from fedskew.runs.folder import RunFolder
from fedskew.runs.session import DECISIVE, Session, resumed_in, shared_rounds_of
from fedskew.runs.trigger import MOST_BYTES, MOST_EXAMPLES, Image, TriggerExamples, examples_of
from helpers import PROPERTY, execute

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
    changed: dict[str, Any] = {key: "other"}
    other = replace(SESSION, **changed)
    with pytest.raises(RunError, match=f"runs/x cannot be resumed: its {key} was .* and is now 'other'"):
        resumed_in([SESSION], other, Path("runs/x"))
    assert resumed_in([], other, Path("runs/x")) == [other]
    elsewhere = replace(SESSION, processor="another", workers=9)
    assert resumed_in([SESSION], elsewhere, Path("runs/x")) == [SESSION, elsewhere]


def test_a_run_of_another_version_is_not_resumed() -> None:
    for version in (2, None):
        with pytest.raises(
            RunError, match=r"runs/x cannot be resumed: .* another version of fedskew"
        ) as caught:
            resumed_in([SESSION], replace(SESSION, identity_version=version), Path("runs/x"))
        assert "identity" not in str(caught.value)


def test_the_version_of_a_run_is_that_of_the_rounds_it_has(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_sessions([SESSION])
    assert folder.read_version() == VERSION, "nothing was done yet"
    folder.rounds.write_text("")
    assert folder.read_version() == SESSION.identity_version == 1
    folder.write_sessions([SESSION, replace(SESSION, identity_version=VERSION)])
    assert folder.read_version() == VERSION
    folder.write_sessions([replace(SESSION, identity_version=None)])
    assert folder.read_version() == OLDEST
    folder.environment.unlink()
    with pytest.raises(RunError, match=r"environment\.json is not what the run wrote: it is missing"):
        folder.read_version()


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
    alone = {"unknown": None, "no poisoning": True, "poisoned": False}[kind]
    who = tuple(sorted(malicious))
    summary = ClientsSummary(("a", "b"), 4, who, 7, counts, poisoning, alone, len(malicious))
    assert ClientsSummary.from_json(json.loads(json.dumps(summary.to_json()))) == summary


def test_how_many_images_a_client_holds_as_far_as_it_is_known() -> None:
    counted = ClientsSummary(("a", "b"), 3, (2,), 0, [[1, 2], [0, 0], [4, 0]])
    assert [counted.images(client) for client in range(3)] == [3, 0, 4]
    many = ClientsSummary(("a", "b"), 3, (2,), 0, None, (Poisoning(5, 5, 1, 1),))
    assert [many.images(client) for client in range(3)] == [None, None, 5]
    plain = many.to_json() | {"malicious": [1, 2]}
    with pytest.raises(ValueError, match="poisoning has 1 entries for 2 adversaries"):
        ClientsSummary.from_json(plain)


@pytest.mark.parametrize(
    "wrong",
    [
        {"malicious": [1, 3]},
        {"malicious": [-1]},
        {"clients": 1},
        {"clients": float("inf")},
        {"only_poisons": "no"},
    ],
)
def test_clients_that_there_are_not_make_the_file_a_damaged_one(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    folder = RunFolder(tmp_path)
    plain = ClientsSummary(("a", "b"), 3, (2,), 0, [[1, 2], [0, 0], [4, 0]]).to_json()
    folder.clients.write_text(json.dumps(plain))
    assert folder.read_clients() is not None
    folder.clients.write_text(json.dumps(plain | wrong))
    with pytest.raises(RunError, match=r"clients\.json is damaged"):
        folder.read_clients()


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


def examples(classes: int = 3, size: tuple[int, ...] = (1, 8, 8), **changes: Any) -> TriggerExamples:
    """Of a data set whose class 1 has no test images."""
    labels = np.array([k for k in range(classes) if k != 1] * 2)

    def images(at: int) -> tuple[Image, Image]:
        image = np.random.default_rng(at).integers(0, 200, size).astype(np.uint8)
        return image, image + np.uint8(9)

    names = [f"class {k}" for k in range(classes)]
    given: Any = {"target": 2, "sources": None} | changes
    return examples_of("toys", names, labels, images, **given)


def test_the_triggers_examples_come_back(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.read_trigger() is None
    written = examples(sources=(0,))
    folder.trigger.write_text(to_json(written.to_json()))
    found = folder.read_trigger()
    assert found is not None
    assert (found.dataset, found.target, found.classes, found.every) == ("toys", "class 2", 3, 1)
    assert [(one.name, one.source, one.target) for one in found.examples] == [
        ("class 0", True, False),
        ("class 2", False, True),
    ]
    for one, other in zip(found.examples, written.examples, strict=True):
        assert (one.after == one.before + 9).all()
        assert (one.before == other.before).all()


def test_of_many_classes_and_large_images_a_part_is_kept() -> None:
    found = examples(classes=1000, size=(4, 300, 200), target=500, sources=tuple(range(100, 200)))
    names = [int(one.name.split()[1]) for one in found.examples]
    assert len(names) == MOST_EXAMPLES
    assert names == sorted(names)
    assert 500 in names
    assert {*names} - {500} <= {*range(100, 200)}
    assert {100, 199} <= {*names}
    assert found.every == 4
    assert found.examples[0].before.shape == (3, 75, 50)
    assert len(to_json(found.to_json())) < MOST_BYTES


IMAGE: dict[str, Any] = {
    "class": "a",
    "source": True,
    "target": True,
    "shape": [1, 1, 2],
    "before": "AAA=",
    "after": "AAE=",
}


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "[" * 100_000,
        *(
            json.dumps({"dataset": "d", "target": "t", "classes": 1, "every": 1, "examples": [IMAGE | wrong]})
            for wrong in (
                {"shape": [1, 1, 3]},
                {"shape": [1, 100_000, 100_000]},
                {"shape": [1, 1, -2]},
                {"before": "A"},
                {"before": 3},
            )
        ),
        "1" + " " * MOST_BYTES,
    ],
    ids=len,
)
def test_damaged_examples_are_one_sentence(tmp_path: Path, content: str) -> None:
    folder = RunFolder(tmp_path)
    folder.trigger.write_text(content)
    with pytest.raises(RunError, match=r"trigger\.json is damaged"):
        folder.read_trigger()


@pytest.mark.parametrize(
    ("attack", "kept"), [({"name": "backdoor", "target": 2}, True), ({"name": "none"}, False)]
)
def test_a_run_keeps_what_its_trigger_does(tmp_path: Path, attack: dict[str, Any], kept: bool) -> None:
    base = {"rounds": 1, "data": "digits", "stopping": "rounds", "clients": {"count": 3}, "attack": attack}
    execute(tmp_path, build(Experiment, base | {"adversaries": {"count": 1 if kept else 0}}), Execution())
    found = RunFolder(tmp_path).read_trigger()
    assert (found is not None) == kept
    if found is not None:
        assert [one.name for one in found.examples] == list("0123456789")
        for one in found.examples:
            assert one.before.shape == (1, 8, 8)
            assert (one.after[one.before != one.after] == 255).all(), "a plus of white"
            assert (one.before != one.after).any()
