"""The study of an audit."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedskew.audit.build import LONGEST, OWNED, Wish, prepare
from fedskew.audit.claims import NO_ATTACK, UNDEFENDED
from fedskew.audit.levels import EXTENTS, LEVELS
from fedskew.audit.privacy import SUITE as SUITE_OF_PRIVACY
from fedskew.audit.suite import SUITE
from fedskew.components.permission import allowing
from fedskew.config.toml_io import write_toml
from fedskew.errors import ConfigError, PartitionError
from fedskew.study.grid import PlannedRun, Study, planned_runs


def planned(wish: Wish) -> tuple[Study, list[PlannedRun]]:
    study = Study.model_validate(prepare(wish).content())
    return study, planned_runs(study)


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_is_a_study_whose_every_cell_can_run(level: Any) -> None:
    study, runs = planned(Wish("krum", level))
    extent = EXTENTS[level]
    attacks = [label for label, _ in study.axes["attack"].points()]
    at_level = [label for label, entry in SUITE.items() if LEVELS.index(entry.level) <= LEVELS.index(level)]
    assert attacks == [NO_ATTACK, *at_level]
    defences = [label for label, _ in study.axes["defence"].points()]
    assert defences[:2] == [UNDEFENDED, "krum(f=2)"]
    assert len(defences) == 2 + len(extent.against)
    assert len(runs) == extent.seeds * len(extent.alphas) * len(attacks) * len(defences)


def test_levels_grow() -> None:
    sizes = [len(planned(Wish("median", level))[1]) for level in LEVELS]
    assert sizes == sorted(sizes)
    assert sizes[0] * 3 < sizes[1]


def test_every_defence_meets_the_same_attacks_on_the_same_data() -> None:
    _, runs = planned(Wish("median", seeds=1, attacks=("backdoor",)))
    seen: dict[Any, set[str]] = {}
    for run in runs:
        e = run.experiment
        seen.setdefault((run.cell["alpha"], run.cell["attack"]), set()).add(
            repr((e.split, e.attack, e.adversaries, e.clients, e.training, e.rounds, e.seed))
        )
    assert {len(same) for same in seen.values()} == {1}


def test_what_is_asked_for_is_what_is_built() -> None:
    wish = Wish(
        "clip",
        data="fashion-mnist",
        alphas=(5.0, 0.2),
        attacks=("sign-flip(scale=3.0)", "backdoor"),
        against=("median",),
        seeds=2,
        clients=20,
        adversaries=3,
        overrides=("norm=1.5", "rounds=7", "training.epochs=1"),
    )
    study, runs = planned(wish)
    assert study.seeds == (0, 1)
    assert [label for label, _ in study.axes["alpha"].points()] == [5.0, 0.2]
    assert [label for label, _ in study.axes["attack"].points()] == [
        NO_ATTACK,
        "sign-flip(scale=3.0)",
        "backdoor",
    ]
    assert [label for label, _ in study.axes["defence"].points()] == [UNDEFENDED, "clip(norm=1.5)", "median"]
    first = runs[0].experiment
    assert (first.rounds, first.training.epochs, first.clients.count) == (7, 1, 20)
    assert first.data.name == "fashion-mnist"
    assert {run.experiment.adversaries.count for run in runs} == {3}, (
        "without an attack they take part honestly"
    )
    assert study.audit is not None
    assert study.audit.defence == "clip(norm=1.5)"


def test_an_npz_file_is_a_data_set() -> None:
    content = prepare(Wish("median", data="mine.npz", seeds=1)).content()
    assert content["base"]["data"] == {"name": "npz", "path": "mine.npz"}
    content = prepare(Wish("median", data="MINE.CSV", seeds=1)).content()
    assert content["base"]["data"] == {"name": "csv", "path": "MINE.CSV"}


@pytest.mark.parametrize(
    ("content", "sites", "size"),
    [
        ("site,0,1\na,30,10\nb,20,\nc,0,61\n", 3, 40),
        ("client\na\nb\n-1\na\n", 2, 2),  # 3 of 2 clients, which is rounded to an even number
        ("sample,client\n0,7\n3,8\n4,9\n", 3, 1),
    ],
)
def test_an_audit_of_a_file_of_clients_has_these_and_adversaries_with_as_much_data(
    tmp_path: Path, content: str, sites: int, size: int
) -> None:
    file = tmp_path / "sites.csv"
    file.write_text(content)
    _, runs = planned(Wish("median", seeds=1, split=str(file), adversaries=2))
    assert {run.experiment.clients.count for run in runs} == {sites + 2}
    assert {run.experiment.adversaries.size for run in runs} == {size}
    _, runs = planned(
        Wish("median", seeds=1, split=str(file), clients=4, overrides=("adversaries.fraction=0.02",))
    )
    assert {run.experiment.clients.count for run in runs} == {4}
    assert {run.experiment.adversaries.fraction for run in runs} == {0.02}
    file.write_text("site,0,1\n")
    with pytest.raises(PartitionError, match="it has no client"):
        prepare(Wish("median", split=str(file)))


def test_adversaries_may_hold_less_than_a_client_does() -> None:
    _, runs = planned(Wish("median", seeds=1, overrides=("adversaries.fraction=0.02",)))
    assert {run.experiment.adversaries.fraction for run in runs} == {0.02}


def test_a_table_is_a_data_set_whose_trigger_is_in_features() -> None:
    for file, name in (("mine.csv", "csv"), ("mine.parquet", "parquet"), ("mine.npz", "npz")):
        values = () if name != "npz" else ('data.values="numbers"',)
        content = prepare(Wish("median", "standard", file, seeds=1, overrides=values)).content()
        assert content["base"]["data"]["name"] == name
        attacks = {label: one["attack"] for label, one in content["axes"]["attack"]["variants"].items()}
        assert attacks["backdoor"]["trigger"] == {"name": "feature", "feature": 0}
        assert attacks["scaled backdoor"]["of"] == attacks["backdoor"]
        assert attacks["dba"]["trigger"] == {"name": "feature", "feature": [0, 1]}
        planned_runs(Study.model_validate(content))


def test_the_same_defence_is_not_compared_with_itself() -> None:
    study, _ = planned(Wish("median", against=("median", "rlr")))
    assert [label for label, _ in study.axes["defence"].points()] == [UNDEFENDED, "median", "rlr(theta=4)"]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish("krum", clients=4, adversaries=4), "needs adversaries and honest clients"),
        (Wish("krum", clients=6), "needs 7 or more updates in a round"),
        (Wish("median", attacks=("no-such",)), "unknown attack 'no-such'"),
        (Wish("median", attacks=("backdoor + alie",)), "an attack is one component"),
        (Wish("median", overrides=("nothing.here=1",)), "'nothing' is no field of an experiment"),
        (Wish("median", overrides=("f=1",)), "median has no option 'f'"),
        (Wish("median", overrides=("training.epoch=1",)), "epoch"),
    ],
)
def test_what_cannot_be_done_is_refused(wish: Wish, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        planned(wish)
    assert words in refused.value.message


def test_the_file_is_a_study_file() -> None:
    content = prepare(Wish("krum")).content()
    assert Study.model_validate(tomllib.loads(write_toml(content))) == Study.model_validate(content)


def test_without_an_attack_nothing_else_is_different() -> None:
    _, runs = planned(Wish("median", seeds=1, attacks=("sign-flip",)))
    seen = {repr(run.experiment.model_copy(update={"attack": runs[0].experiment.attack})) for run in runs}
    assert len(seen) == len(runs) // 2


@pytest.mark.parametrize("text", ["audit krum --set f=2", "audit krum --tune f=1,2,3"])
def test_the_commands_of_the_page_can_be_done(text: str) -> None:
    """Those of docs/audit.md that need no plug-in."""
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
    assert f"fedskew {text}" in page
    for level in LEVELS:
        tune = ("f=1,2,3",) if "tune" in text else ()
        prepared = prepare(
            Wish("krum", level, "fashion-mnist", overrides=() if tune else ("f=2",), tune=tune)
        )
        planned_runs(Study.model_validate(prepared.content()))
        if tune:
            planned_runs(Study.model_validate(prepared.tuning()))


def test_what_the_level_brings_is_left_out_where_it_cannot_be_done() -> None:
    prepared = prepare(Wish("median", "standard", clients=5))
    assert [each.settings[0].label for each in prepared.others] == ["rlr(theta=2)", "clip(norm=median)"]
    assert "needs 7 or more updates" in prepared.left_out["multi-krum(f=2, m=3)"]
    with pytest.raises(ConfigError, match="needs 7 or more updates"):
        prepare(Wish("median", "standard", clients=5, against=("multi-krum",)))
    assert "dba" in prepare(Wish("median", "standard", adversaries=1)).left_out
    with pytest.raises(ConfigError, match="as many adversaries as parts"):
        prepare(Wish("median", adversaries=1, attacks=("dba( target = 7 )",)))


@pytest.mark.parametrize("field", OWNED)
def test_fields_that_an_audit_sets_are_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=f"an audit sets {field} itself"):
        prepare(Wish("median", overrides=(f"{field}=1",)))


def test_other_fields_of_the_same_tables_can_be_set() -> None:
    _, runs = planned(Wish("median", seeds=1, overrides=("clients.held_out=0.1", "adversaries.stop=10")))
    assert runs[0].experiment.clients.held_out == 0.1
    assert runs[0].experiment.adversaries.stop == 10


def test_a_suite_without_a_backdoor_claims_nothing_about_one() -> None:
    def metrics(*attacks: str) -> set[str]:
        return {claim.metric for claim in planned(Wish("median", attacks=attacks))[0].claims}

    assert "attack_success_rate" not in metrics("sign-flip")
    assert "attack_success_rate" in metrics("sign-flip", "pgd(radius=1.0)")


def test_the_name_of_a_long_chain_fits_into_a_folder() -> None:
    chain = " + ".join(["clip(norm=1.0)"] * 40)
    one, other = prepare(Wish(f"{chain} + median")), prepare(Wish(f"{chain} + mean", against=("median",)))
    assert len(one.name) < LONGEST + 30
    assert one.name != other.name
    assert prepare(Wish("median", "thorough")).name == "audit-median-thorough"


@pytest.mark.parametrize(
    ("split", "given"),
    [
        ("sites.csv", {"name": "file", "path": "sites.csv"}),
        ("natural", {"name": "natural"}),
        ("shards(classes_per_client=2)", {"name": "shards", "classes_per_client": 2}),
    ],
)
def test_a_split_of_ones_own_stands_beside_the_same_samples_spread_evenly(
    split: str, given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sites.csv").write_text("site,0,1\na,30,10\nb,20,9\n")
    study, runs = planned(Wish("median", split=split, seeds=1, attacks=("sign-flip",), clients=10))
    assert [label for label, _ in study.axes["spread"].points()] == ["even", "as given"]
    found = {run.cell["spread"]: run.experiment.split for run in runs}
    assert found["as given"].model_dump() | {"test": True} == found["as given"].model_dump() | given | {
        "test": True
    }
    assert found["even"].label == "shuffled"
    assert found["even"].options["of"] | given == found["even"].options["of"]
    (claim,) = (claim for claim in study.claims if "as it is spread" in claim.text)
    assert claim.compare == {"spread": ("even", "as given")}
    with pytest.raises(ConfigError, match="both say how the data is spread"):
        prepare(Wish("median", split=split, alphas=(1.0,)))
    with pytest.raises(ConfigError, match="an audit sets split itself") as caught:
        prepare(Wish("median", split=split, overrides=("split.min_size=3",)))
    assert caught.value.hint == "use --split"


def test_a_split_is_one_component() -> None:
    with pytest.raises(ConfigError, match="a split is one component"):
        prepare(Wish("median", split="iid + iid"))


def test_the_same_alpha_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected different numbers"):
        prepare(Wish("median", alphas=(0.3, 0.3)))


def test_an_option_may_begin_like_a_field_that_an_audit_sets() -> None:
    with pytest.raises(ConfigError, match="median has no option 'seeding'"):
        prepare(Wish("median", overrides=("seeding=1",)))
    _, runs = planned(Wish("median", seeds=1, overrides=("data.validation=0.1",)))
    assert runs[0].experiment.data.validation == 0.1


def test_privacy_attacks_watch_the_runs_without_an_attack_and_no_others() -> None:
    wish = Wish("krum", seeds=1, attacks=("backdoor",), tune=("f=1,2",), privacy=("suite",))
    prepared = prepare(wish)
    runs = planned_runs(Study.model_validate(prepared.content()))
    for run in runs:
        seen = [attack.label for attack in run.experiment.privacy.attacks]
        assert seen == (list(SUITE_OF_PRIVACY) if run.cell["attack"] == NO_ATTACK else [])
    assert all(
        not run.experiment.privacy.attacks for run in planned_runs(Study.model_validate(prepared.tuning()))
    )
    without = planned_runs(Study.model_validate(prepare(replace(wish, privacy=())).content()))
    attacked = [run.identity for run in runs if run.cell["attack"] != NO_ATTACK]
    assert attacked == [run.identity for run in without if run.cell["attack"] != NO_ATTACK], "the same runs"


def test_what_each_privacy_attack_finds_is_asked_about() -> None:
    """By the metric that a run records for it: the larger the error of a label inference, the less it finds."""
    claims = prepare(Wish("krum", privacy=("delta-loss", "source-inference", "label-inference"))).content()[
        "claims"
    ]
    asked = [claim for claim in claims if "finds out less" in claim["text"]]
    assert [(claim["metric"], claim["direction"]) for claim in asked] == [
        ("delta_loss_auc", "falls"),
        ("source_inference_source_advantage", "falls"),
        ("label_inference_label_error", "rises"),
    ]
    assert (
        asked[0]["text"] == "without an attack, delta-loss finds out less with krum(f=2) than with no defence"
    )
    assert all(claim["where"] == {"attack": NO_ATTACK} for claim in asked)
    assert not any("finds out" in claim["text"] for claim in prepare(Wish("krum")).content()["claims"])


def test_a_privacy_attack_with_an_aim_of_its_own_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "aimless.py").write_text(
        "from fedskew.protocols import PrivacyAttack\n"
        "def attack():\n"
        "    return PrivacyAttack(seat='server', aim='fame', guess=print)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with allowing("aimless"), pytest.raises(ConfigError, match="aim"):
        prepare(Wish("median", seeds=1, privacy=("aimless:attack",))).content()


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_can_be_watched(level: Any) -> None:
    prepared = prepare(Wish("median", level, privacy=("suite", "delta-loss")))
    assert [one["name"] for one in prepared.privacy] == list(SUITE_OF_PRIVACY), "each once"
    planned_runs(Study.model_validate(prepared.content()))


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish("median", privacy=("delta-los",)), "unknown privacy-attack 'delta-los'"),
        (Wish("median", privacy=("delta-loss + loss-threshold",)), "a privacy attack is one component"),
        (Wish("median", privacy=("delta-loss(nothing=1)",)), "nothing"),
        (Wish("median", privacy=("delta-loss",), overrides=("clients.held_out=0",)), "clients.held_out = 0"),
        (
            Wish("median", overrides=("privacy.attacks=['delta-loss']",)),
            "an audit sets privacy.attacks itself",
        ),
    ],
)
def test_a_privacy_attack_that_cannot_be_done_is_refused(wish: Wish, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        prepare(wish)
    assert words in refused.value.message
