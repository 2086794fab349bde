"""TOML in and out, ``--set``, and the line of the file that an error names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedskew.config import Experiment
from fedskew.config.build import build
from fedskew.config.origin import Origin, line_of, split_path
from fedskew.config.toml_io import parse_override, read_toml, with_override, write_toml
from fedskew.errors import ConfigError
from fedskew.study.grid import planned_runs
from fedskew.study.source import as_experiment, as_study, find_config


def config(tmp_path: Path, text: str, name: str = "mine.toml") -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


# --- files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"rounds = 5\nrounds = 6\n", "line 2"),
        (b"rounds =\n", "line 1"),
        (b"\n\n[split\n", "line 3"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_file_that_is_not_toml(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as caught:
        read_toml(path)
    assert str(path) in caught.value.message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*none\.toml: No such file"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot read"):
        read_toml(tmp_path)


def test_write_toml_is_read_back(tmp_path: Path) -> None:
    value = {"a": 1, "b.c": [1.5, 2], "t": {"x y": "ä\n\"'", "n": {"z": True}}}
    path = tmp_path / "x.toml"
    path.write_text(write_toml(value), encoding="utf-8")
    assert read_toml(path) == value


# --- lines ------------------------------------------------------------------------------------------

TEXT = """\
# a comment = 1
rounds = 5
split = { name = "iid", alpha = 3 }
server.learning_rate = 1.0

[training]
epochs = 2

[training.optimizer]
name = "adam"

[axes.setting.variants."no attack"]
"adversaries.count" = 0
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (["rounds"], 2),
        (["split", "alpha"], 3),
        (["server", "learning_rate"], 4),
        (["training"], 6),
        (["training", "epochs"], 7),
        (["training", "batch_size"], 6),
        (["training", "optimizer", "lr"], 9),
        (["training", "optimizer", "name"], 10),
        (["axes", "setting", "variants", "no attack", "adversaries.count"], 13),
        (["clients", "count"], None),
    ],
)
def test_line_of(path: list[str], line: int | None) -> None:
    assert line_of(TEXT, path) == line


def test_an_error_names_the_file_and_the_line(tmp_path: Path) -> None:
    name = config(tmp_path, "rounds = 5\n\n[training]\nepochs = 2\nbatchsize = 3\n")
    with pytest.raises(ConfigError) as caught:
        as_experiment(find_config(name))
    assert caught.value.message.startswith(
        f"{name}, line 5: unknown field 'training.batchsize'; valid: epochs,"
    )
    assert caught.value.hint == "did you mean 'training.batch_size'?"


def test_an_unknown_option_of_a_component_names_the_line_too(tmp_path: Path) -> None:
    name = config(tmp_path, 'rounds = 5\n\n[split]\nname = "dirichlet"\nalpa = 3\n')
    with pytest.raises(ConfigError, match="'alpa'") as caught:
        as_experiment(find_config(name))
    assert "line 5" in caught.value.message
    assert caught.value.hint == "did you mean 'alpha'?"


def test_an_unknown_component_names_the_line_too(tmp_path: Path) -> None:
    name = config(tmp_path, 'rounds = 5\nmodel = "lennet"\n')
    with pytest.raises(ConfigError, match="unknown model 'lennet'") as caught:
        as_experiment(find_config(name))
    assert "line 2" in caught.value.message
    assert caught.value.hint == "did you mean 'lenet'?"


def test_an_error_in_the_base_of_a_study_names_its_line(tmp_path: Path) -> None:
    name = config(tmp_path, 'name = "s"\n[base]\nrounds = 1\n[base.clients]\ncount = 0\n')
    source = find_config(name)
    with pytest.raises(ConfigError, match=r"line 5: clients\.count = 0"):
        planned_runs(as_study(source), source.origin)


def test_an_unknown_field_of_an_axis_lists_and_suggests(tmp_path: Path) -> None:
    name = config(
        tmp_path, 'name = "s"\n[base]\nrounds = 1\n[axes.alpha]\nfeild = "split.alpha"\nvalues = [1]\n'
    )
    with pytest.raises(ConfigError, match=r"line 5: unknown field 'axes\.alpha\.feild'") as caught:
        as_study(find_config(name))
    assert "valid: field, values, variants" in caught.value.message
    assert caught.value.hint == "did you mean 'axes.alpha.field'?"


def test_a_value_from_set_is_not_blamed_on_a_line_of_the_file(tmp_path: Path) -> None:
    name = config(tmp_path, "seed = 1\nrounds = 5\n")
    with pytest.raises(ConfigError, match="rounds = -1") as caught:
        as_experiment(find_config(name, ["rounds=-1"]))
    assert "line 2" not in caught.value.message, "line 2 says 5, which is fine"


# --- overrides --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("rounds=3", (["rounds"], 3)),
        ("split.alpha=0.5", (["split", "alpha"], 0.5)),
        ("split.alpha = 0.5", (["split", "alpha"], 0.5)),
        ("a.b=true", (["a", "b"], True)),
        ("a=[1, 2]", (["a"], [1, 2])),
        ('a={name = "x", n = 1}', (["a"], {"name": "x", "n": 1})),
        ("split=iid", (["split"], "iid")),
        ("split='iid'", (["split"], "iid")),
        ("attack.target=Ankle boot", (["attack", "target"], "Ankle boot")),
        ("a=b=c", (["a"], "b=c")),
        ("data.path=/tmp/x.npz", (["data", "path"], "/tmp/x.npz")),
        ('axes."no attack".x=1', (["axes", "no attack", "x"], 1)),
        ("a.'b.c'.d=1", (["a", "b.c", "d"], 1)),
        ('a."x=y".b=3', (["a", "x=y", "b"], 3)),
        ("a=", (["a"], "")),
    ],
)
def test_parse_override(assignment: str, expected: tuple[list[str], Any]) -> None:
    assert parse_override(assignment) == expected


@pytest.mark.parametrize("assignment", ["rounds", "=3", "  =3", ""])
def test_an_override_without_a_field_or_a_value(assignment: str) -> None:
    with pytest.raises(ConfigError, match="is not FIELD=VALUE") as caught:
        parse_override(assignment)
    assert caught.value.hint is not None


def test_split_path() -> None:
    assert split_path('a.b."c d"') == ["a", "b", "c d"]
    assert split_path(" a . b ") == ["a", "b"]


def test_with_override_copies_and_nests() -> None:
    content = {"split": {"name": "dirichlet", "alpha": 1.0}, "model": "mlp"}
    changed = with_override(content, ["split", "alpha"], 0.1)
    assert changed["split"] == {"name": "dirichlet", "alpha": 0.1}
    assert content["split"] == {"name": "dirichlet", "alpha": 1.0}
    assert with_override(content, ["model", "hidden"], [3])["model"] == {"name": "mlp", "hidden": [3]}
    assert with_override(content, ["server", "learning_rate"], 2)["server"] == {"learning_rate": 2}
    assert with_override(content, ["model"], "lenet")["model"] == "lenet"
    with pytest.raises(ConfigError, match=r"cannot set rounds\.x: rounds is not a table"):
        with_override({"rounds": 3}, ["rounds", "x"], 1)


def test_a_component_by_name_and_then_one_of_its_options(tmp_path: Path) -> None:
    name = config(tmp_path, "rounds = 5\n")
    experiment = as_experiment(
        find_config(
            name,
            [
                "split=dirichlet",
                "split.alpha=0.1",
                "attack=backdoor",
                "attack.target=7",
                "attack.trigger=square",
                "attack.trigger.value=9",
                "training.optimizer=sgd",
                "training.optimizer.lr=1",
                'defence.transforms=[{name = "clip", norm = 1.0}]',
            ],
        )
    ).experiment
    assert experiment.split.options["alpha"] == 0.1
    assert experiment.attack.options["trigger"]["name"] == "square"
    assert experiment.attack.options["trigger"]["value"] == 9
    assert experiment.training.optimizer.lr == 1
    assert experiment.defence.transforms[0].options == {"norm": 1.0}


@pytest.mark.parametrize(
    ("assignment", "read"),
    [
        ("model.hidden=[3]", lambda e: e.model.options["hidden"][0]),
        ("training.optimizer.lr=3", lambda e: e.training.optimizer.lr),
        ("data.validation=3", lambda e: e.data.validation),
    ],
)
def test_an_option_of_a_component_that_is_there_by_default(
    tmp_path: Path, assignment: str, read: Any
) -> None:
    """``--set a.b=c`` works for any field, whether or not the file names the component."""
    name = config(tmp_path, "rounds = 5\n")
    assert read(as_experiment(find_config(name, [assignment])).experiment) == 3


def test_an_option_that_the_component_by_default_does_not_have(tmp_path: Path) -> None:
    """``stopping`` is "rounds" unless another one is named."""
    name = config(tmp_path, "rounds = 5\n")
    with pytest.raises(ConfigError, match="stopping 'rounds' has no option 'patience'"):
        as_experiment(find_config(name, ["stopping.patience=3"]))
    given = as_experiment(find_config(name, ["stopping=plateau", "stopping.patience=3"])).experiment
    assert given.stopping.name == "plateau"
    assert given.stopping.options == {"monitor": "train_loss", "patience": 3, "min_delta": 0.0}


@pytest.mark.parametrize("trigger", ["{rwo = 3}", "3"])
def test_a_malformed_trigger_is_a_config_error(tmp_path: Path, trigger: str) -> None:
    name = config(tmp_path, f'[attack]\nname = "backdoor"\ntarget = 7\ntrigger = {trigger}\n')
    with pytest.raises(ConfigError, match=r"attack\.trigger"):
        as_experiment(find_config(name))


def test_errors_name_the_source() -> None:
    with pytest.raises(ConfigError, match=r"^this one: rounds = 0"):
        build(Experiment, {"rounds": 0}, Origin("this one"))
