"""What the components of an experiment need of each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fedskew
from fedskew.components.attacking import attack_against
from fedskew.components.binding import check_experiment, complete_experiment
from fedskew.components.known import KNOWLEDGE
from fedskew.components.permission import allowing
from fedskew.config import Component, Defence, Experiment
from fedskew.config.origin import Origin
from fedskew.errors import ConfigError
from fedskew.protocols import THREAT_MODELS, Attack, DatasetInfo
from fedskew.study.grid import completed_experiment, planned_runs
from fedskew.study.source import as_study, find_config
from helpers import toy_info


def refused(**content: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        complete_experiment(Experiment.model_validate(content))
    assert "\n" not in caught.value.message
    return caught.value


def taken(**content: Any) -> Experiment:
    return complete_experiment(Experiment.model_validate(content))


@pytest.mark.parametrize(
    ("content", "where", "field"),
    [
        (
            {"stopping": {"name": "plateau", "monitor": "validation_loss"}},
            "stopping",
            "stopping.monitor",
        ),
        ({"training": {"lr_schedule": "plateau"}}, "training.lr_schedule", "training.lr_schedule.monitor"),
        ({"stopping": {"name": "mine:rule", "monitor": "validation_loss"}}, "stopping", "stopping.monitor"),
    ],
)
def test_a_validation_loss_that_is_not_measured(content: dict[str, Any], where: str, field: str) -> None:
    error = refused(**content)
    assert error.message.startswith(f"{where} looks at validation_loss, which is not measured")
    assert error.hint == "hold one out, for example with data.validation = 0.1"
    assert error.field == field
    taken(**content, data={"name": "digits", "validation": 0.1})


def test_client_metrics_need_held_out_data() -> None:
    measured = {"evaluation": {"client_metrics": ["mine:gap"]}}
    error = refused(**measured)
    assert error.message == (
        "evaluation.client_metrics are measured on the clients' held-out data, and clients.held_out = 0"
    )
    assert error.hint == "hold some out, for example with clients.held_out = 0.2"
    assert error.field == "evaluation.client_metrics"
    taken(**measured, clients={"held_out": 0.2})


def test_an_attack_on_a_property_needs_one() -> None:
    clients = {"count": 10, "held_out": 0.2}
    error = refused(clients=clients, privacy={"attacks": ["loss-threshold", "property-inference"]})
    assert error.message == (
        "privacy.attacks[1]: 'property-inference' looks for clients that hold a planted property, and there is no "
        "privacy.property"
    )
    assert error.hint == 'plant one, for example with privacy.property = "inverted"'
    assert error.field == "privacy.attacks"
    taken(clients=clients, privacy={"attacks": ["property-inference"], "property": "rotated"})


@pytest.mark.parametrize(
    ("adversaries", "share", "fits"),
    [(0, 0.2, True), (1, 0.2, False), (0, 0.8, True), (2, 0.8, True), (0, 0.9, False)],
)
def test_two_honest_clients_hold_the_property_and_two_do_not(
    adversaries: int, share: float, fits: bool
) -> None:
    content = {
        "adversaries": {"count": adversaries},
        "privacy": {"property": {"name": "inverted", "clients": share}},
    }
    if fits:
        taken(**content)
        return
    error = refused(**content)
    have = int(share * (10 - adversaries))
    assert error.message == (
        f"privacy.property.clients = {share}: of the honest clients at least two must hold the property and two not, "
        f"and there are {10 - adversaries}: {have} would hold it and {10 - adversaries - have} not"
    )
    assert error.field == "privacy.property.clients"


def test_adversaries_do_not_stop_before_they_start() -> None:
    error = refused(adversaries={"count": 1, "start": 9, "stop": 8})
    assert error.message == "adversaries.start = 9 is after adversaries.stop = 8: they would never act"
    assert error.field == "adversaries.start"
    taken(adversaries={"count": 1, "start": 8, "stop": 8})
    taken(adversaries={"count": 1, "start": 9})


@pytest.mark.parametrize("candidates", [2, 11, -1, 1.5])
def test_a_cohort_is_chosen_from_enough_clients_and_from_no_more_than_there_are(candidates: float) -> None:
    def choosing(number: Any) -> dict[str, Any]:
        selection = {"name": "power-of-choice", "candidates": number}
        return {"clients": {"count": 10, "fraction": 0.3, "selection": selection}}

    error = refused(**choosing(candidates))
    assert error.message == (
        f"clients.selection.candidates = {candidates}: must be at least the 3 clients of a round and at most all "
        "10 clients"
    )
    assert error.field == "clients.selection.candidates"
    for enough in (3, 10):
        taken(**choosing(enough))
    with pytest.raises(ConfigError, match="candidates = '4': must be a number, not text"):
        check_experiment(taken(**choosing("4")))


@fedskew.facts(pool="tickets")
def lottery(view: Any, rng: Any, *, tickets: int = 4) -> Any:
    return rng.choice(tickets, view.size, replace=False)


def test_a_plugin_may_say_from_how_many_clients_it_chooses() -> None:
    content = {"clients": {"count": 5, "selection": {"name": lottery}}}
    assert "clients.selection.tickets = 4: must be at least the 5 clients" in refused(**content).message


@pytest.mark.parametrize(("f", "factor", "left_out"), [(10, 2.5, 25), (2, 2.0, 4), (3, 2.1, 6)])
def test_dnc_needs_one_update_more_than_its_rule_leaves_out(f: int, factor: float, left_out: int) -> None:
    def content(count: int) -> dict[str, Any]:
        aggregator = {"name": "dnc", "f": f, "factor": factor}
        return {"clients": {"count": count}, "defence": {"aggregator": aggregator}}

    taken(**content(left_out + 1))
    assert f"needs {left_out + 1} or more updates" in refused(**content(left_out)).message
    rows = [[float(k)] for k in range(left_out)]
    with pytest.raises(ConfigError, match=f"would leave out {left_out} updates in a round of {left_out}"):
        fedskew.aggregate("dnc", rows, f=f, factor=factor)


def test_dnc_needs_a_majority() -> None:
    def content(f: int) -> dict[str, Any]:
        return {"clients": {"count": 10}, "defence": {"aggregator": {"name": "dnc", "f": f, "factor": 0.5}}}

    taken(**content(4))
    assert "'dnc' with f = 5, factor = 0.5" in (few := refused(**content(5))).message
    assert "needs 11 or more updates in a round, and there are 10: more than twice f updates" in few.message


def rlr(theta: float, **clients: Any) -> dict[str, Any]:
    return {"clients": clients, "defence": {"learning_rate": {"name": "rlr", "theta": theta}}}


def test_rlr_must_be_able_to_agree() -> None:
    taken(**rlr(10, count=10))
    taken(**rlr(3, count=10, fraction=0.3))
    error = refused(**rlr(4, count=10, fraction=0.3))
    assert error.message == (
        "defence.learning_rate: 'rlr' with theta = 4 needs 4 or more updates in a round, and there are 3: "
        "with fewer it turns every parameter's learning rate negative"
    )
    assert error.field == "defence.learning_rate"


def krum(count: int, f: int, *transforms: Any, **more: Any) -> dict[str, Any]:
    aggregator = {"name": "krum", "f": f, **more}
    return {"clients": {"count": count}, "defence": {"aggregator": aggregator, "transforms": transforms}}


def test_krum_needs_2f_plus_3_updates() -> None:
    taken(**krum(9, 3))
    error = refused(**krum(8, 3))
    assert error.message.startswith(
        "defence.aggregator: 'krum' with f = 3 needs 9 or more updates in a round, and there are 8"
    )
    assert error.hint == "take more clients per round, or change its options (f = 2 at most)"


def test_multi_krum_needs_m_plus_f_updates() -> None:
    def content(f: int, m: int) -> dict[str, Any]:
        return {"clients": {"count": 5}, "defence": {"aggregator": {"name": "multi-krum", "f": f, "m": m}}}

    few = refused(**content(0, 6))
    assert "needs 6 or more" in few.message
    assert (few.hint or "").endswith("(m = 5 at most)")
    assert (refused(**content(4, 6)).hint or "").endswith("change its options"), "no one of them is enough"


def test_what_a_transform_leaves_is_what_counts_for_the_aggregator() -> None:
    taken(**krum(10, 1, "bucketing"))
    assert "and there are 4" in refused(**krum(8, 1, {"name": "clip", "norm": 1}, "bucketing")).message
    # The learning-rate rule looks at the updates as they arrive.
    taken(
        clients={"count": 8},
        defence={"learning_rate": {"name": "rlr", "theta": 8}, "transforms": ["bucketing"]},
    )


@pytest.mark.parametrize("needing", ["q-fedavg", "afl", "term", "fednova"])
@pytest.mark.parametrize(
    "merging", [{"name": "nnm", "f": 1}, {"name": "bucketing"}], ids=lambda one: one["name"]
)
def test_what_single_clients_report_must_not_be_merged_before(needing: str, merging: dict[str, Any]) -> None:
    options = {
        "q-fedavg": {"q": 1.0, "lipschitz": 1.0},
        "afl": {"gamma": 0.1},
        "term": {"t": 1.0},
        "fednova": {},
    }
    rule = {"name": needing, **options[needing]}
    if needing == "fednova":
        error = refused(defence={"transforms": [{"name": "clip", "norm": 1}, merging, rule]})
        assert error.field == "defence.transforms[2]"
        assert "needs the number of steps of each client" in error.message
        assert error.hint == f"leave out '{merging['name']}', or put it last"
        taken(defence={"transforms": [rule, merging]})
        return
    error = refused(defence={"aggregator": rule, "transforms": [merging]})
    assert error.field == "defence.aggregator"
    assert error.message == (
        f"defence.aggregator: '{needing}' needs the loss of each client, and '{merging['name']}' before it makes one "
        "update of several clients"
    )
    taken(defence={"aggregator": rule, "transforms": [{"name": "bucketing", "size": 1}, "fednova"]})
    taken(defence={"aggregator": "mean", "transforms": [merging]})


def test_the_line_is_named_in_an_experiment_and_in_a_study(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    defence = '[base.defence]\nlearning_rate = { name = "rlr", theta = 4 }\n'
    path.write_text('name = "x"\nseeds = [0]\n[base.clients]\ncount = 3\n' + defence)
    source = find_config(str(path))
    with pytest.raises(ConfigError, match=r"x\.toml, line 6: defence\.learning_rate: 'rlr' with theta = 4"):
        planned_runs(as_study(source), source.origin)
    content = {"stopping": {"name": "plateau", "monitor": "validation_loss"}}
    origin = Origin("x.toml", 'rounds = 3\nstopping = { name = "plateau" }\n')
    with pytest.raises(ConfigError, match="line 2: stopping looks at validation_loss"):
        completed_experiment(content, origin)


WITHIN: dict[str, Any] = {"name": "n-k-inflation", "factor": 2}


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        (
            {"name": "dba", "target": 7},
            "'dba' has a trigger in parts = 4, of which each adversary trains with one, and adversaries.count = 3; "
            "expected at least as many adversaries as parts",
        ),
        (
            {"name": "pgd", "of": "sign-flip"},
            "'pgd' without a radius takes the norm that the defence allows, so it must know the defence; expected "
            'radius = ..., or threat_model = "knows-the-defence"',
        ),
        (
            {"name": "model-replacement", "of": "sign-flip", "threat_model": "all-updates"},
            "'model-replacement' without a factor measures it on the defence, so it must know the defence; expected "
            'factor = ..., or threat_model = "knows-the-defence"',
        ),
        (
            {"name": "train-and-scale", "of": "sign-flip", "norm": "median"},
            "'train-and-scale' with norm = \"median\" takes the median of the honest updates, so it must see them; "
            'expected a number, or threat_model = "all-updates"',
        ),
    ],
)
def test_an_attack_that_cannot_work_here(attack: dict[str, Any], words: str) -> None:
    some: dict[str, Any] = {"adversaries": {"count": 3}}
    error = refused(attack=attack, **some)
    assert (error.message, error.field) == (f"attack: {words}", "attack")
    error = refused(attack={**WITHIN, "of": {**WITHIN, "of": attack}}, **some)
    assert (error.message, error.field) == (f"attack.of.of: {words}", "attack.of.of")
    taken(attack=attack)  # without adversaries


MEDIAN: dict[str, Any] = {"name": "train-and-scale", "norm": "median"}
REPLACING: dict[str, Any] = {"name": "model-replacement"}
KNOWING: dict[str, Any] = {"threat_model": "knows-the-defence"}
BALL: dict[str, Any] = {"name": "pgd", "of": "sign-flip", **KNOWING}


@pytest.mark.parametrize(
    "attack",
    [
        {**MEDIAN, "of": "min-max"},
        {**MEDIAN, "of": "opt-ipm"},
        {**MEDIAN, "of": BALL},
        {**MEDIAN, "of": {**WITHIN, "of": "mimic"}},
        {**REPLACING, "of": "opt-ipm"},
        {**REPLACING, "of": BALL},
        {"name": "pgd", "of": {**REPLACING, "of": "sign-flip", **KNOWING}},
    ],
    ids=str,
)
def test_what_the_attack_inside_knows_the_one_around_it_knows_too(attack: dict[str, Any]) -> None:
    taken(attack=attack, adversaries={"count": 3})
    defence = Defence.model_validate({"transforms": [{"name": "clip", "norm": 1.0}]})
    attack_against(Component.model_validate(attack), toy_info(), defence)


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        ({**MEDIAN, "of": {"name": "min-max", "threat_model": "own-updates"}}, "so it must see them"),
        ({**REPLACING, "of": "min-max"}, "so it must know the defence"),
    ],
    ids=str,
)
def test_what_it_does_not_know_the_one_around_it_must_know(attack: dict[str, Any], words: str) -> None:
    assert words in refused(attack=attack, adversaries={"count": 3}).message
    with pytest.raises(ConfigError, match=words):
        attack_against(Component.model_validate(attack), toy_info(), Defence())


def test_the_usual_threat_models_are_in_the_order_of_what_they_know() -> None:
    assert tuple(THREAT_MODELS) == KNOWLEDGE


def sleeper(info: DatasetInfo, *, known: str) -> Attack:
    return Attack(threat_model=known)


def test_what_a_plug_in_inside_knows_is_seen_when_it_is_made() -> None:
    for known in ("own-updates", "all-updates"):
        attack = Component.model_validate({**MEDIAN, "of": {"name": sleeper, "known": known}})
        taken(attack=attack, adversaries={"count": 3})
    attack_against(attack, toy_info(), Defence())
    with pytest.raises(ConfigError, match="so it must see them"):
        attack_against(
            Component.model_validate({**MEDIAN, "of": {"name": sleeper, "known": "own-updates"}}),
            toy_info(),
            Defence(),
        )


def test_as_many_adversaries_as_parts_are_enough() -> None:
    taken(attack={"name": "dba", "target": 7}, adversaries={"count": 4})
    taken(attack={"name": "dba", "target": 7, "parts": 3}, adversaries={"count": 3})
    # What is wrong with an option is said where options are checked.
    taken(attack={"name": "dba", "target": 7, "parts": "three"}, adversaries={"count": 1})


@fedskew.facts(clients=lambda options: 2 * options["f"] + 1)
def mine(updates: Any, view: Any, *, f: int) -> Any:
    return updates.deltas[0]


@fedskew.facts(most=lambda options: 3, most_why="it is slow")
def slow(updates: Any, view: Any) -> Any:
    return updates.deltas[0]


def test_more_updates_than_a_rule_works_on_are_refused_counted_after_the_transforms() -> None:
    def content(count: int, *transforms: Any) -> dict[str, Any]:
        return {"clients": {"count": count}, "defence": {"aggregator": slow, "transforms": transforms}}

    taken(**content(3))
    taken(**content(6, "bucketing"))
    error = refused(**content(4))
    assert error.message.endswith("slow' works on at most 3 updates in a round, and there are 4: it is slow")
    assert error.hint == "take fewer clients per round, or change its options"
    assert error.field == "defence.aggregator"


def test_what_a_plugin_needs_is_refused_once_it_is_known() -> None:
    experiment = Experiment.model_validate(
        {"clients": {"count": 4}, "defence": {"aggregator": {"name": mine, "f": 2}}}
    )
    for check in (complete_experiment, check_experiment):
        with pytest.raises(
            ConfigError, match=r"mine' with f = 2 needs 5 or more updates in a round, and there are 4"
        ):
            check(experiment)


@fedskew.facts(
    lacking=lambda options, clients, adversaries, everybody: (
        f"needs {options['gang']} of {clients} clients" if options["gang"] > adversaries else ""
    )
)
def gang(info: Any, *, gang: int = 3) -> Any:
    return Attack()


def test_an_attack_may_say_what_it_lacks() -> None:
    def attacked(adversaries: int, **options: Any) -> dict[str, Any]:
        return {"attack": {"name": gang, **options}, "adversaries": {"count": adversaries}}

    error = refused(**attacked(2))
    assert error.message.startswith("attack: ")
    assert error.message.endswith("gang' needs 3 of 10 clients")
    assert error.field == "attack"
    for enough in (
        attacked(3),
        attacked(2, gang=1),
        attacked(0),
    ):  # without adversaries nothing is asked of it
        taken(**enough)
    with pytest.raises(ConfigError, match="gang = 'many': must be a number, not text"):
        check_experiment(taken(**attacked(2, gang="many")))


def lottery_step(updates: Any, lr: float) -> float:
    return lr / 2


@fedskew.facts(blind=True)
def blind_step(updates: Any, lr: float) -> float:
    return lr / 2


PRIVATE = {"name": "dp-fedavg", "clip": 1.0, "noise_multiplier": 1.0}


@pytest.mark.parametrize(
    ("content", "field", "name"),
    [
        ({"defence": {"learning_rate": {"name": "rlr", "theta": 2}}}, "defence.learning_rate", "rlr"),
        ({"defence": {"learning_rate": {"name": lottery_step}}}, "defence.learning_rate", "lottery_step"),
        ({"defence": {"transforms": ["bucketing"]}}, "defence.transforms", "bucketing"),
        (
            {"clients": {"selection": {"name": "power-of-choice", "candidates": 10}}},
            "clients.selection",
            "power-of-choice",
        ),
        ({"stopping": "plateau"}, "stopping", "plateau"),
        (
            {"training": {"lr_schedule": {"name": "plateau", "monitor": "train_loss"}}},
            "training.lr_schedule",
            "plateau",
        ),
    ],
)
def test_a_stated_privacy_needs_that_nothing_else_uses_what_clients_send(
    content: dict[str, Any], field: str, name: str
) -> None:
    defence = {"aggregator": PRIVATE, **content.get("defence", {})}
    error = refused(**{**content, "defence": defence})
    assert error.field == field
    assert error.message.startswith(f"{field}: ")
    assert f"{name}' makes use of what clients send, so the privacy that 'dp-fedavg' states" in error.message
    taken(**{**content, "defence": {**defence, "aggregator": "mean"}})


def test_what_a_plugin_makes_use_of_is_known_once_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_steps.py").write_text(
        "import fedskew\n\ndef seeing(updates, lr):\n    return lr / 2\n\n"
        "@fedskew.facts(blind=True)\ndef blind(updates, lr):\n    return lr / 2\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with allowing(["half_steps"]):
        for name in ("seeing", "blind"):
            rate = {"name": f"half_steps:{name}"}
            experiment = taken(defence={"aggregator": PRIVATE, "learning_rate": rate})
            if name == "blind":
                check_experiment(experiment)
                continue
            with pytest.raises(ConfigError, match="'half_steps:seeing' makes use of what clients send"):
                check_experiment(experiment)


def test_a_stated_privacy_with_what_is_blind() -> None:
    taken(defence={"aggregator": PRIVATE, "learning_rate": {"name": blind_step}})
    taken(
        defence={"aggregator": PRIVATE},
        training={"objective": {"name": "fedprox", "mu": 0.1}},
        data={"name": "digits", "validation": 0.1},
        stopping={"name": "plateau", "monitor": "validation_loss"},
    )


@pytest.mark.parametrize(
    ("aggregator", "needed"),
    [
        ({"name": "multi-metrics"}, 4),
        ({"name": "align-ins"}, 3),
        ({"name": "align-ins", "lambda_s": 2.0}, 3),
        ({"name": "align-ins", "lambda_s": 2.0, "lambda_c": 1.5}, 1),
        ({"name": "flame"}, 1),
        ({"name": "foolsgold"}, 1),
    ],
)
def test_how_many_updates_the_filters_need(aggregator: dict[str, Any], needed: int) -> None:
    taken(clients={"count": needed}, defence={"aggregator": aggregator})
    if needed > 1:
        error = refused(clients={"count": needed - 1}, defence={"aggregator": aggregator})
        assert f"needs {needed} or more updates in a round, and there are {needed - 1}" in error.message


FEDDYN = {"training": {"objective": {"name": "feddyn", "alpha": 0.1}}, "server": {"step": "feddyn"}}


@pytest.mark.parametrize(
    ("content", "field", "needs"),
    [
        (
            {"training": {"objective": {"name": "feddyn", "alpha": 0.1}}},
            "training.objective",
            "server.step = 'feddyn', and that is 'plain'",
        ),
        ({"server": {"step": "feddyn"}}, "server.step", "training.objective = 'feddyn', and that is 'none'"),
        (
            {
                "training": {"objective": {"name": "feddyn", "alpha": 0.0}},
                "server": {"step": {"name": "momentum", "beta": 0.9}},
            },
            "training.objective",
            "server.step = 'feddyn', and that is 'momentum'",
        ),
        (
            {**FEDDYN, "defence": {"learning_rate": {"name": "rlr", "theta": 2}}},
            "server.step",
            "defence.learning_rate = 'constant', and that is 'rlr'",
        ),
        (
            {**FEDDYN, "server": {"step": "feddyn", "learning_rate": 0.5}},
            "server.step",
            "server.learning_rate = 1.0, and that is 0.5",
        ),
    ],
)
def test_a_method_of_two_parts_needs_both(content: dict[str, Any], field: str, needs: str) -> None:
    error = refused(**content)
    assert error.message == f"{field}: 'feddyn' is a part of a method that also needs {needs}"
    other = needs.partition(",")[0]
    assert error.hint == f"set {other} too, or change {field}"
    assert error.field == field
    taken(training={"objective": {"name": "feddyn", "alpha": 0.1}}, server={"step": "feddyn"})


def test_a_plugin_can_state_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "two_halves.py").write_text(
        "import fedskew\n\n"
        "@fedskew.facts(needs={'server.step': 'two_halves:server', 'defence.aggregator': 'mean'})\n"
        "def client():\n    return fedskew.protocols.LocalObjective()\n\n"
        "def server(delta):\n    return delta\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    training = {"objective": "two_halves:client"}
    with allowing(["two_halves"]):
        half = taken(training=training)
        with pytest.raises(
            ConfigError, match=r"needs server.step = 'two_halves:server', and that is 'plain'"
        ):
            check_experiment(half)
        both = {"training": training, "server": {"step": "two_halves:server"}}
        with pytest.raises(ConfigError, match=r"needs defence.aggregator = 'mean', and that is 'fedavg'"):
            taken(**both)
        check_experiment(taken(**both, defence={"aggregator": "mean"}))


@pytest.mark.parametrize("name", ["scaffold", "fedcurv"])
def test_a_stated_privacy_does_not_hold_for_uploads(name: str) -> None:
    objective = {"name": name, "strength": 0.1} if name == "fedcurv" else name
    error = refused(defence={"aggregator": PRIVATE}, training={"objective": objective})
    assert error.message.startswith(f"training.objective: '{name}' makes use of what clients send")
    feddyn = {"training": {"objective": {"name": "feddyn", "alpha": 0.1}}, "server": {"step": "feddyn"}}
    taken(defence={"aggregator": PRIVATE}, **feddyn)


SGD = {"name": "sgd", "momentum": 0.9}


@pytest.mark.parametrize(
    ("momentum", "optimizer", "words"),
    [
        (0.0, SGD, "with momentum = 0 counts what steps are worth under SGD with that momentum, and clients train with "
         "sgd and momentum 0.9"),
        (0.9, {"name": "adam"}, "clients train with adam without momentum"),
        (0.9, {**SGD, "state": "persist"}, "a momentum that begins at 0 in each round, and training.optimizer.state"),
    ],
)  # fmt: skip
def test_fednova_counts_the_momentum_that_there_is(
    momentum: float, optimizer: dict[str, Any], words: str
) -> None:
    chain = [{"name": "clip", "norm": 1.0}, {"name": "fednova", "momentum": momentum}]
    error = refused(defence={"transforms": chain}, training={"optimizer": optimizer})
    assert error.message.startswith("defence.transforms[1]: 'fednova' ")
    assert words in error.message
    assert error.field == "defence.transforms[1]"


@pytest.mark.parametrize(
    ("momentum", "optimizer"),
    [(0.9, SGD), (0.0, {"name": "adam", "state": "persist"}), (0.0, {"name": "sgd"})],
)
def test_fednova_with_the_clients_momentum(momentum: float, optimizer: dict[str, Any]) -> None:
    chain = [{"name": "fednova", "momentum": momentum}]
    taken(defence={"transforms": chain}, training={"optimizer": optimizer})
