"""A study: grid x seeds -> runs, what ``--only`` takes, how a folder grows and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from fedskew.components.completed import completed
from fedskew.components.permission import allow_plugin
from fedskew.config import Execution, Experiment, to_plain
from fedskew.config.build import build
from fedskew.config.origin import Origin
from fedskew.config.toml_io import write_toml
from fedskew.errors import ConfigError, RunError
from fedskew.study.folder import StudyFolder
from fedskew.study.grid import Axis, PlannedRun, Study, planned_runs
from fedskew.study.missing import missing_runs, run_missing
from fedskew.study.select import select
from fedskew.study.source import Source, as_experiment, as_study, find_config
from fedskew.study.tasks import Task, WorkerSetup
from helpers import put_records, status_of

BASE: dict[str, Any] = {"rounds": 2, "clients": {"count": 4}, "split": {"name": "dirichlet", "alpha": 1.0}}
ALPHA = {"field": "split.alpha", "values": [1.0, 0.5]}
SETTING: dict[str, Any] = {
    "variants": {
        "no attack": {},
        "backdoor": {"adversaries.count": 1, "attack": {"name": "backdoor", "target": 7}},
        "backdoor + RLR": {
            "adversaries.count": 1,
            "attack": {"name": "backdoor", "target": 7},
            "defence.learning_rate": {"name": "rlr", "theta": 3},
        },
    }
}


def study(**changes: Any) -> Study:
    content = {"name": "s", "seeds": [0, 1], "base": BASE, "axes": {"alpha": ALPHA, "setting": SETTING}}
    return build(Study, content | changes)


def source(record: Study) -> Source:
    return Source(record.model_dump(mode="json", exclude_none=True), Origin(), "s.toml")


# --- the grid ---------------------------------------------------------------------------------------


def test_excluded_cells_are_left_out_and_rename_no_run() -> None:
    whole = planned_runs(study())
    rules = [{"alpha": 0.5, "setting": ["no attack", "backdoor"]}, {"setting": "backdoor + RLR", "alpha": 1}]
    kept = planned_runs(study(exclude=rules))
    cells = [(1.0, "no attack"), (1.0, "backdoor"), (0.5, "backdoor + RLR")]
    assert [tuple(p.cell.values()) for p in kept] == cells * 2
    assert {p.identity for p in kept} <= {p.identity for p in whole}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"alfa": 0.5}, "exclude.0.alfa: unknown axis 'alfa'"),
        ({"alpha": 0.3}, "exclude.0.alpha: unknown label of alpha '0.3'; valid: 0.5, 1.0"),
        ({"setting": ["backdoor", "backdor"]}, "unknown label of setting 'backdor'"),
        ({}, "leaves no cell"),
    ],
)
def test_a_rule_that_excludes_nothing_or_everything_is_refused(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        planned_runs(study(exclude=[rule]))


def test_the_grid_is_the_product_with_the_seeds_outermost() -> None:
    planned = planned_runs(study())
    assert len(planned) == 2 * 3 * 2
    assert [p.seed for p in planned] == [0] * 6 + [1] * 6
    assert [tuple(p.cell.values()) for p in planned[:4]] == [
        (1.0, "no attack"),
        (1.0, "backdoor"),
        (1.0, "backdoor + RLR"),
        (0.5, "no attack"),
    ]
    assert planned[0].title == "alpha 1.0, setting no attack, seed 0"
    last = planned[-1].experiment
    assert last.seed == 1
    assert last.split.options["alpha"] == 0.5
    assert last.adversaries.count == 1
    assert last.defence.learning_rate.options == {"theta": 3}
    assert last.rounds == 2
    assert planned[0].experiment.adversaries.count == 0
    assert len({p.identity for p in planned}) == 12


def test_a_study_without_axes_is_one_cell() -> None:
    (only,) = planned_runs(study(axes={}, seeds=[5]))
    assert (only.cell, only.seed, only.experiment.seed, only.title) == ({}, 5, 5, "seed 5")


def test_values_may_be_components_and_lists() -> None:
    axes: dict[str, Any] = {
        "split": {"field": "split", "values": ["iid", {"name": "dirichlet", "alpha": 0.5}]}
    }
    planned = planned_runs(study(axes=axes, seeds=[0]))
    assert [p.cell["split"] for p in planned] == ["iid", "dirichlet(alpha=0.5)"]
    assert planned[1].experiment.split.options["alpha"] == 0.5
    axes = {"hidden": {"field": "model.hidden", "values": [[8], [8, 8]]}}
    planned = planned_runs(study(axes=axes, seeds=[0], base={**BASE, "model": "mlp"}))
    assert [p.experiment.model.options["hidden"] for p in planned] == [[8], [8, 8]]


def test_runs_that_two_cells_share_have_one_identity() -> None:
    axes = {"theta": {"field": "defence.learning_rate.theta", "values": [2, 3]}, "setting": SETTING}
    base = {**BASE, "defence": {"learning_rate": {"name": "rlr", "theta": 3}}}
    planned = planned_runs(study(axes=axes, base=base, seeds=[0]))
    by_cell = {tuple(p.cell.values()): p.identity for p in planned}
    assert by_cell[2, "backdoor + RLR"] == by_cell[3, "backdoor + RLR"] == by_cell[3, "backdoor"]
    assert len(set(by_cell.values())) == 4


def test_shared_runs_are_done_once(tmp_path: Path) -> None:
    tasks: list[Task] = []

    def run_all(given: Sequence[Task], *_: object) -> dict[int, str]:
        tasks.extend(given)
        return {1: "out of luck"}

    record = study(axes={"twin": {"variants": {"a": {}, "b": {}}}})
    folder = StudyFolder.open(tmp_path / "s", record, source(record))
    missing = missing_runs(folder, folder.planned)
    failed = run_missing(folder, missing, 1, WorkerSetup(Execution()), place=run_all)
    assert [task.run.experiment.seed for task in tasks] == [0, 1]
    assert [(plan.seed, reason) for plan, reason in failed] == [(1, "out of luck")]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"axes": {"a": {"field": "split.alpha"}}}, "either field and values, or variants"),
        ({"axes": {"a": {"values": [1]}}}, "either field and values, or variants"),
        ({"axes": {"a": {**ALPHA, **SETTING}}}, "either field and values, or variants"),
        ({"axes": {"a": {"field": "split.alpha", "values": []}}}, "at least one point"),
        ({"axes": {"a": {"variants": {}}}}, "at least one point"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [1, 1]}, "seeds must be distinct"),
        ({"seeds": [-1]}, "seeds must be distinct and not negative"),
        ({"name": "a/b"}, "name = 'a/b'"),
        ({"name": "../up"}, "name = '../up'"),
    ],
)
def test_a_malformed_study(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        study(**changes)


def test_a_wrong_cell_is_named() -> None:
    axes = {"count": {"field": "clients.count", "values": [4, 0]}}
    with pytest.raises(ConfigError, match=r"study s, count 0: clients\.count = 0"):
        planned_runs(study(axes=axes))
    axes = {"model": {"field": "model", "values": ["mlp", "mpl"]}}
    with pytest.raises(ConfigError, match="study s, model mpl: model: unknown model 'mpl'") as caught:
        planned_runs(study(axes=axes))
    assert caught.value.hint == "did you mean 'mlp'?"


@pytest.mark.parametrize(
    ("changes", "seeds"),
    [
        ({"axes": {"seed": {"field": "seed", "values": [3, 4]}}}, {3, 4}),
        ({"axes": {"luck": {"variants": {"a": {"seed": 3}, "b": {"seed": 4}}}}}, {3, 4}),
        ({"axes": {}, "base": {**BASE, "seed": 7}}, {7}),
    ],
)
def test_a_seed_in_the_base_or_on_an_axis_is_refused_or_obeyed(
    changes: dict[str, Any], seeds: set[int]
) -> None:
    """Not shown and ignored: the table would have rows of seeds that never ran."""
    try:
        planned = planned_runs(study(**{"seeds": [0], **changes}))
    except ConfigError:
        return
    assert {p.experiment.seed for p in planned} == seeds


def test_an_axis_called_seed_is_refused() -> None:
    """The seed of a run is a column of its own, in ``--only seed=0`` too."""
    with pytest.raises(ConfigError):
        planned_runs(study(axes={"seed": {"field": "split.alpha", "values": [1.0, 0.5]}}))


def test_two_points_with_one_label_are_refused() -> None:
    """Their runs would be averaged in one row of the table."""
    axes = {"split": {"field": "split", "values": ["iid", {"name": "iid"}]}}
    with pytest.raises(ConfigError):
        planned_runs(study(axes=axes, base={"rounds": 2}))


# --- configs ----------------------------------------------------------------------------------------


def test_an_experiment_becomes_a_study_of_one_cell(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("seed = 4\nrounds = 3\n")
    found = find_config(str(path))
    assert not found.is_study
    record = as_study(found)
    assert (record.name, record.seeds) == ("mine", (4,))
    (only,) = planned_runs(record)
    assert only.identity == as_experiment(found).identity


@pytest.mark.parametrize("name", ["my experiment.toml", "_mine.toml", "ünï.toml"])
def test_an_experiment_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("rounds = 3\n")
    assert planned_runs(as_study(find_config(str(path))))


def test_a_study_is_not_one_experiment() -> None:
    with pytest.raises(ConfigError, match="quickstart is a study, not one experiment") as caught:
        as_experiment(find_config("quickstart"))
    assert caught.value.hint == "use `fedskew study`"


def test_an_unknown_preset() -> None:
    with pytest.raises(ConfigError, match="unknown preset 'quickstrat'; valid: centralised") as caught:
        find_config("quickstrat")
    assert caught.value.hint == "did you mean 'quickstart'?"
    with pytest.raises(ConfigError, match="unknown preset 'xyz'") as caught:
        find_config("xyz")
    assert caught.value.hint == "or give the path of a .toml file"


def test_overrides_of_a_study_change_its_base() -> None:
    record = as_study(find_config("quickstart", ["rounds=3", "seeds=[7]", "name=mine", "model.hidden=[8]"]))
    assert (record.name, record.seeds, record.base["rounds"]) == ("mine", (7,), 3)
    assert {tuple(p.experiment.model.options["hidden"]) for p in planned_runs(record)} == {(8,)}


def test_an_override_may_say_base_or_change_the_study_itself() -> None:
    found = find_config("quickstart", ["base.split.min_size=5", "axes.alpha.values=[1.0]", "seeds=[0]"])
    runs = planned_runs(as_study(found))
    assert {p.experiment.split.options["min_size"] for p in runs} == {5}
    assert {p.cell["alpha"] for p in runs} == {1.0}
    assert len(runs) == 3


@pytest.mark.parametrize("field", ["split.alpha", "base.split.alpha", '"split"."alpha"'])
def test_an_override_that_an_axis_would_overrule_is_refused(field: str) -> None:
    with pytest.raises(ConfigError, match="axis 'alpha'") as caught:
        find_config("quickstart", [f"{field}=7.0"])
    assert "axes.alpha.values" in (caught.value.hint or "")


def test_an_override_below_a_field_that_an_axis_sets_is_refused(tmp_path: Path) -> None:
    """The axis replaces the whole component."""
    path = tmp_path / "s.toml"
    path.write_text(
        'name = "s"\n[base]\nrounds = 1\n[axes.model]\nfield = "model"\nvalues = ["mlp", "lenet"]\n'
    )
    with pytest.raises(ConfigError, match="axis 'model'"):
        find_config(str(path), ["model.hidden=[3]"])


def test_axes_that_are_no_table(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text('name = "s"\naxes = 3\n')
    with pytest.raises(ConfigError, match="axes"):
        as_study(find_config(str(path), ["rounds=3"]))


# --- --only -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("only", "count"),
    [
        ([], 12),
        (["seed=1"], 6),
        (["alpha=0.5"], 6),
        (["setting=backdoor"], 4),
        (["setting=backdoor + RLR"], 4),
        (["setting=backdoor", "setting=no attack"], 8),
        (["setting=backdoor", "alpha=1.0", "seed=0"], 1),
        ([" alpha = 0.5 "], 6),
        (["alpha=0.5", "alpha=1.0"], 12),
    ],
)
def test_only(only: list[str], count: int) -> None:
    assert len(select(planned_runs(study()), only)) == count


@pytest.mark.parametrize(
    ("only", "words", "hint"),
    [
        ("alpha", "axes: alpha, setting, seed", None),
        ("alhpa=1.0", "axes: alpha, setting, seed", None),
        ("setting=backdor", "setting has no attack, backdoor, backdoor", "did you mean 'backdoor'?"),
        ("alpha=2", "alpha has 1.0, 0.5", None),
        ("seed=7", "seed has 0, 1", None),
    ],
)
def test_only_something_that_is_not_there(only: str, words: str, hint: str | None) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        select(planned_runs(study()), [only])
    assert caught.value.hint == hint


# --- the folder -------------------------------------------------------------------------------------


def pretend(folder: StudyFolder, plan: PlannedRun) -> Path:
    """A folder of a run, as if it had been begun."""
    path = folder.run_folder(plan).path
    path.mkdir(parents=True)
    return path


def test_a_folder_is_read_back_and_survives_a_move(tmp_path: Path) -> None:
    record = study()
    folder = StudyFolder.open(tmp_path / "a", record, source(record))
    pretend(folder, folder.planned[0])
    (tmp_path / "a").rename(tmp_path / "b")
    again = StudyFolder.read(tmp_path / "b")
    assert again.study == record
    assert [p.identity for p in again.planned] == [p.identity for p in folder.planned]
    assert again.run_folder(again.planned[0]).path.is_dir()
    for path in (tmp_path / "b").rglob("*"):
        assert path.is_dir() or str(tmp_path) not in path.read_text()


def test_there_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no study in .*none: it has no study\.toml"):
        StudyFolder.read(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_somebody_who_names_a_run_or_a_config_is_told_where_the_study_is(tmp_path: Path) -> None:
    folder = StudyFolder.open(tmp_path / "s", study(), source(study()))
    run = folder.run_folder(folder.planned[0]).path
    lonely = tmp_path / "elsewhere" / "mine"
    for path in (run, lonely):
        path.mkdir(parents=True)
        (path / "config.toml").write_text("")
    for path, words in (
        (run, f"it is a run of the study {tmp_path / 's'}"),
        (lonely, "it is a single run"),
        (tmp_path / "mine.toml", "that is a config; `fedskew study"),
        (tmp_path, "`fedskew study CONFIG` makes one"),
        (tmp_path / "s" / "typo", "`fedskew study CONFIG` makes one"),
        (tmp_path / "s" / "runs" / "typo", "`fedskew study CONFIG` makes one"),
    ):
        with pytest.raises(ConfigError) as caught:
            StudyFolder.read(path)
        assert words in str(caught.value.hint)


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": [0, 1, 2]},
        {"seeds": [2, 1, 0]},
        {"axes": {"alpha": {**ALPHA, "values": [1.0, 0.5, 0.25]}, "setting": SETTING}},
        {"axes": {"setting": SETTING, "alpha": ALPHA}},
        {"description": "in other words"},
        {"reference": "fashion-mnist"},
        {"base": {**BASE, "server": {"learning_rate": 1.0}}},
    ],
)
def test_a_study_may_grow(tmp_path: Path, changes: dict[str, Any]) -> None:
    record, grown = study(), study(**changes)
    folder = StudyFolder.open(tmp_path, record, source(record))
    for plan in folder.planned:
        pretend(folder, plan)
    after = StudyFolder.open(tmp_path, grown, source(grown))
    assert {p.identity for p in folder.planned} <= {p.identity for p in after.planned}
    assert StudyFolder.read(tmp_path).study == grown


def test_a_change_that_would_orphan_runs_is_refused_with_the_difference(tmp_path: Path) -> None:
    record = study()
    folder = StudyFolder.open(tmp_path, record, source(record))
    pretend(folder, folder.planned[0])
    before = (tmp_path / "study.toml").read_bytes()
    changed = study(base={**BASE, "rounds": 3, "server": {"learning_rate": 0.5}})
    with pytest.raises(RunError, match="holds runs of another study") as caught:
        StudyFolder.open(tmp_path, changed, source(changed))
    assert "  base.rounds: stored 2, given 3" in caught.value.message.splitlines()
    assert "base.server: stored not set, given {'learning_rate': 0.5}" in caught.value.message
    assert "--out" in (caught.value.hint or "")
    assert (tmp_path / "study.toml").read_bytes() == before
    fewer = study(seeds=[1])
    with pytest.raises(RunError, match=r"seeds: stored \[0, 1\], given \[1\]"):
        StudyFolder.open(tmp_path, fewer, source(fewer))


def test_a_study_without_runs_may_change_at_will(tmp_path: Path) -> None:
    record, changed = study(), study(base={**BASE, "rounds": 3})
    StudyFolder.open(tmp_path, record, source(record))
    StudyFolder.open(tmp_path, changed, source(changed))
    assert StudyFolder.read(tmp_path).study == changed


def test_a_damaged_study_file_is_one_sentence(tmp_path: Path) -> None:
    record = study()
    (tmp_path / "study.toml").write_text("name = \n")
    uses: tuple[Callable[[], object], ...] = (
        lambda: StudyFolder.read(tmp_path),
        lambda: StudyFolder.open(tmp_path, record, source(record)),
    )
    for use in uses:
        with pytest.raises(ConfigError, match=r"study\.toml is not valid TOML"):
            use()


# --- status -----------------------------------------------------------------------------------------

LAST = {
    "round": 2,
    "metrics": {"accuracy": 0.5},
    "per_class_accuracy": [0.5],
    "cohort": [0],
    "rejected": [],
    "empty": [],
    "trace": {},
}


def test_status(tmp_path: Path) -> None:
    assert status_of(tmp_path / "none", Experiment()) == ("to do", "not started")
    assert status_of(tmp_path, Experiment()) == ("to do", "not started")
    (tmp_path / "rounds.jsonl").write_text('{"round": 1}\n{"round": 2}\n{"rou')
    assert status_of(tmp_path, Experiment()) == ("to do again", "interrupted before its first checkpoint")
    save_file({"weights": torch.zeros(3)}, tmp_path / "checkpoint.safetensors", {"round": "1"})
    assert status_of(tmp_path, Experiment()) == ("to do again", "interrupted; resumes after round 1")
    (tmp_path / "failure.json").write_text(json.dumps({"reason": "no luck\nat all"}))
    assert status_of(tmp_path, Experiment()) == ("to do again", "failed after 2 rounds: no luck")
    (tmp_path / "result.json").write_text(json.dumps({"stopped": "the limit"}))
    put_records(tmp_path, [LAST | {"round": 1}, LAST])
    run = completed(Experiment()).experiment
    (tmp_path / "config.toml").write_text(write_toml(to_plain(run)), encoding="utf-8")
    assert status_of(tmp_path, Experiment()) == ("done", "2 rounds: the limit")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("result.json", "{", r"result\.json is damaged"),
        ("result.json", "[]", r"result\.json is damaged"),
        ("result.json", "{}", r"result\.json is damaged"),
        ("rounds.jsonl", "x\n", r"rounds\.jsonl, line 1 is damaged"),
        ("checkpoint.safetensors", "", r"checkpoint\.safetensors is damaged"),
        ("checkpoint.safetensors", "\0" * 7 + "x", r"checkpoint\.safetensors is damaged"),
        ("checkpoint.safetensors", "\2" + "\0" * 7 + "{}", r"checkpoint\.safetensors is damaged"),
        ("failure.json", "{", ""),
    ],
)
def test_a_damaged_file_is_a_reason_to_do_it_again(
    tmp_path: Path, name: str, content: str, words: str
) -> None:
    (tmp_path / "rounds.jsonl").write_text("{}\n")
    (tmp_path / name).write_text(content)
    status, why = status_of(tmp_path, Experiment())
    assert status == "to do again"
    assert words.replace("\\", "") in why


def test_a_result_that_cannot_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is its run to be removed, which may be whole."""

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "result.json").write_text("{}")
    monkeypatch.setattr(Path, "read_text", refuse)
    status, why = status_of(tmp_path, Experiment())
    assert status == "to do again"
    assert "cannot be read" in why
    assert "remove" not in why


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (
            '[axes.a]\nfield = "rounds"\nvalues = ["a", 1]\n',
            6,
            "rounds = 'a': input should be a valid integer",
        ),
        (
            '[axes.a.variants.x]\n[axes.a.variants.y]\n"rounds" = 0\n',
            6,
            "rounds = 0: input should be greater",
        ),
        ('[axes.a.variants.y]\n"clients.count" = 0\n', 5, "clients.count = 0: input should be greater"),
        ("[axes.a.variants.y]\nclients = { count = 0 }\n", 5, "clients.count = 0: input should be greater"),
    ],
)
def test_a_wrong_value_of_an_axis_is_found_where_it_stands(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    path = tmp_path / "s.toml"
    path.write_text('name = "s"\n[base]\nrounds = 7\n' + text)
    found = find_config(str(path))
    with pytest.raises(ConfigError) as caught:
        planned_runs(as_study(found), found.origin)
    assert f", line {line}: {words}" in str(caught.value)


def test_seeds_that_are_no_numbers_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    for seeds, words in (("[0.5]", "fractional part"), ("[]", "at least one seed"), ("[1, 1]", "distinct")):
        path.write_text(f'name = "s"\nseeds = {seeds}\n')
        with pytest.raises(ConfigError, match=words) as caught:
            as_study(find_config(str(path)))
        assert len(str(caught.value).splitlines()) == 1


def test_an_attack_that_does_not_fit_the_data_is_found_before_anything_starts(tmp_path: Path) -> None:
    backdoor = {"name": "backdoor", "target": 17}
    record = study(base={**BASE, "attack": backdoor}, axes={})
    folder = StudyFolder.open(tmp_path / "s", record, source(record))
    with pytest.raises(ConfigError, match="class 17 does not exist: digits has classes 0 to 9"):
        run_missing(folder, folder.planned, 1, WorkerSetup(Execution()))
    assert not (tmp_path / "s" / "runs").exists()


def test_a_defence_that_clients_with_data_are_too_few_for_is_found_before_anything_starts(
    tmp_path: Path,
) -> None:
    """With seed 0, 28 of 60 clients have data. A split that cannot be made at all is another matter: it fails its own
    runs alone."""
    base = {
        **BASE,
        "rounds": 1,
        "clients": {"count": 60},
        "split": {"name": "dirichlet", "alpha": 0.01, "remainder": "first"},
    }
    theta = {"field": "defence.learning_rate", "values": ["constant", {"name": "rlr", "theta": 29}]}
    record = study(base=base, axes={"theta": theta}, seeds=[0])
    folder = StudyFolder.open(tmp_path / "s", record, source(record))
    with pytest.raises(ConfigError, match=r"theta rlr\(theta=29\).*only 28 of 60 clients have data"):
        run_missing(folder, folder.planned, 1, WorkerSetup(Execution()))
    assert not (tmp_path / "s" / "runs").exists()
    assert run_missing(folder, folder.planned[:1], 1, WorkerSetup(Execution())) == [], (
        "one that needs no more"
    )
    cannot = {
        **base,
        "split": {"name": "dirichlet", "alpha": 0.01, "remainder": "first", "min_size": 100, "max_draws": 1},
    }
    record = study(base=cannot, axes={"theta": theta}, seeds=[0])
    folder = StudyFolder.open(tmp_path / "cannot", record, source(record))
    failed = run_missing(folder, folder.planned, 1, WorkerSetup(Execution()))
    assert ["min_size" in reason for _, reason in failed] == [True, True]


def test_an_attack_of_ones_own_that_breaks_breaks_its_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "breaking.py").write_text(
        "from fedskew import Attack\n"
        "def attack(info, *, broken: bool) -> Attack:\n"
        "    if broken:\n"
        "        raise ValueError('on purpose')\n"
        "    return Attack()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    allow_plugin("breaking")
    broken = {"field": "attack.broken", "values": [True, False]}
    base = {
        **BASE,
        "attack": {"name": "breaking:attack", "broken": False},
        "model": {"name": "mlp", "hidden": [4]},
    }
    record = study(base=base, axes={"broken": broken}, seeds=[0])
    folder = StudyFolder.open(tmp_path / "s", record, source(record))
    setup = WorkerSetup(Execution(), ("breaking",))
    ((plan, reason),) = run_missing(folder, missing_runs(folder, folder.planned), 1, setup)
    assert plan.cell["broken"] is True
    assert "on purpose" in reason


def test_an_axis_needs_a_point() -> None:
    assert Axis(field="split.alpha", values=(1.0,)).points() == [(1.0, {"split.alpha": 1.0})]


@pytest.mark.parametrize(
    "axis",
    [{"field": "", "values": [1.0]}, {"field": " . ", "values": [1.0]}, {"variants": {"x": {'""': 1.0}}}],
)
def test_an_axis_without_the_name_of_a_field_is_refused(axis: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="names no field; expected a dotted path"):
        build(Study, {"name": "s", "axes": {"a": axis}})


def test_a_claim_can_be_about_what_a_privacy_attack_of_the_study_finds() -> None:
    claim = {"text": "t", "metric": "delta_loss_auc", "direction": "rises", "over": "alpha"}
    content: dict[str, Any] = {
        "name": "s",
        "base": {
            "split": {"name": "dirichlet", "alpha": 1.0},
            "clients": {"held_out": 0.2},
            "privacy": {"attacks": ["delta-loss"]},
        },
        "axes": {"alpha": {"field": "split.alpha", "values": [1.0, 0.1]}},
        "claims": [claim],
    }
    assert planned_runs(Study.model_validate(content))
    for other in ("loss_threshold_auc", "delta_loss_auk"):
        wrong = Study.model_validate({**content, "claims": [{**claim, "metric": other}]})
        with pytest.raises(ConfigError, match=f'unknown metric "{other}"; valid: .*"delta_loss_auc"'):
            planned_runs(wrong)
