"""Which task comes next, and the loop around any crew of workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

import pytest

from fedskew.components.completed import completed
from fedskew.config import Execution, Experiment
from fedskew.runs.events import Ended, Event, Held, RoundDone, Started
from fedskew.runs.folder import RunFolder
from fedskew.study import agenda as module
from fedskew.study.agenda import PAUSE, Agenda, do_all
from fedskew.study.pool import run_all
from fedskew.study.tasks import Task, WorkerSetup

RUN = completed(Experiment())


def tasks(count: int, relatives: dict[int, tuple[int, ...]] | None = None) -> list[Task]:
    folders = [RunFolder(Path(str(number))) for number in range(count)]
    related = relatives or {}
    return [
        Task(folder, RUN, relatives=tuple(folders[other] for other in related.get(number, ())))
        for number, folder in enumerate(folders)
    ]


def test_what_another_process_holds_comes_last_and_not_before_its_time() -> None:
    agenda = Agenda(tasks(3))
    assert agenda.take(0.0) == 0
    agenda.see(Started(0), 0.0)
    agenda.see(Held(0), 10.0)
    assert agenda.pause(10.5) == PAUSE - 0.5
    assert [agenda.take(100.0), agenda.take(100.0)] == [1, 2], "first what nobody does"
    assert agenda.take(10.0 + PAUSE - 0.1) is None
    assert agenda.take(10.0 + PAUSE) == 0
    assert agenda.pause(0.0) is None
    for number in range(3):
        assert not agenda.over
        agenda.see(Ended(number, 1, None), 0.0)
    assert agenda.over


def test_a_run_waits_for_its_relative_wherever_that_is_done() -> None:
    agenda = Agenda(tasks(3, {1: (0, 1), 0: (0, 1)}))
    assert [agenda.take(0.0) for _ in range(3)] == [0, 2, None]
    agenda.see(Held(0), 0.0)
    assert agenda.take(0.0) is None, "another process does it"
    assert agenda.take(PAUSE) == 0
    agenda.see(Ended(0, 1, None), PAUSE)
    assert agenda.take(PAUSE) == 1


class Script:
    """A crew that tells what it is given to tell of each task, one event at a time."""

    def __init__(self, jobs: int, *lines: Sequence[Event]) -> None:
        self.jobs, self.lines = jobs, deque(lines)
        self.at_work: list[deque[Event]] = []
        self.given: list[int] = []
        self.most = 0
        self.stopped = False

    def has_room(self) -> bool:
        return len(self.at_work) < self.jobs

    def give(self, number: int, task: Task) -> None:
        assert task.folder.name == str(number)
        self.given.append(number)
        self.at_work.append(deque(self.lines.popleft()))
        self.most = max(self.most, len(self.at_work))

    def wait(self, seconds: float | None) -> list[Event]:
        told = [line.popleft() for line in self.at_work]
        self.at_work = [line for line in self.at_work if line]
        return told

    def stop(self) -> None:
        self.stopped = True


def test_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)
    done: list[Event] = [Started(0), RoundDone(0, 1, {}), Ended(0, 1, None)]
    held: list[Event] = [Held(1)]
    failed: list[Event] = [Started(2), Ended(2, 0, "no luck")]
    later: list[Event] = [Ended(1, 4, None)]
    crew, seen = Script(2, done, held, failed, later), list[Event]()
    assert do_all(tasks(3), crew, seen.append, lambda ended: False) == {2: "no luck"}
    assert crew.given == [0, 1, 2, 1]
    assert crew.most == 2
    assert crew.stopped
    assert len(seen) == len(done + held + failed + later)


def test_it_ends_where_a_failure_is_enough() -> None:
    crew = Script(1, [Ended(0, 0, "no luck")])
    assert do_all(tasks(3), crew, lambda event: None, lambda ended: ended.task == 0) == {0: "no luck"}
    assert crew.given == [0]
    assert crew.stopped


def test_the_crew_is_let_go_where_an_observer_raises() -> None:
    def observe(event: Event) -> None:
        raise KeyboardInterrupt

    crew = Script(1, [Started(0)])
    with pytest.raises(KeyboardInterrupt):
        do_all(tasks(1), crew, observe, lambda ended: False)
    assert crew.stopped


def test_a_run_that_is_complete_was_done_by_somebody_else(tmp_path: Path) -> None:
    """It is told with its rounds, and that work on it began is not."""
    plain = {"rounds": 2, "data": "digits", "model": {"name": "mlp", "hidden": [4]}, "clients": {"count": 4}}
    task = Task(RunFolder(tmp_path / "run"), completed(Experiment.model_validate(plain)))
    setup = WorkerSetup(Execution(download=False, engine="torch"))
    for begun in (True, False):
        seen: list[Event] = []
        assert run_all([task], 1, setup, seen.append) == {}
        assert (Started(0) in seen) == begun
        assert seen[-1] == Ended(0, 2, None)
