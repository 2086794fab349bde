"""The strategy against a run's own server, on the same updates; what it refuses; what it leaves out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
pytest.importorskip("flwr", "1.42", reason="needs the extra flower", exc_type=ImportError)

from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import Result
from flwr.supercore.task_identity import TaskIdentity

import fedskew
import flower_case as case
from fedskew import AggregationTrace, Aggregator, ClientUpdates, ServerView, flower
from fedskew.components.binding import complete_experiment
from fedskew.components.row import REQUIRED
from fedskew.components.table import BUILT_IN
from fedskew.config import to_plain
from fedskew.config.toml_io import write_toml
from fedskew.errors import ConfigError, FailedRunError
from fedskew.flower import message as message_module
from fedskew.flower.message import FedskewStrategy
from flower_case import BUFFERS, CLIENTS, ROUNDS, SEED, OwnServer
from seam_components import alternating

OPTIONS: dict[str, dict[str, Any]] = {
    "clip": {"norm": "median"},
    "noise": {"std": 0.1},
    "nnm": {"f": 2},
    "arc": {"f": 2},
    "trimmed-mean": {"b": 2},
    "meamed": {"f": 2},
    "krum": {"f": 2},
    "multi-krum": {"f": 2, "m": 5},
    "bulyan": {"f": 2},
    "mda": {"f": 2},
    "dnc": {"f": 2},
    "sign-majority": {"step": 0.01},
    "sparse-fed": {"share": 0.3},
    "dp-fedavg": {"clip": 1.0, "noise_multiplier": 1.0},
    "q-fedavg": {"q": 1.0, "lipschitz": 1.0},
    "afl": {"gamma": 0.1},
    "term": {"t": 1.0},
    "fedmgda": {"epsilon": 0.1},
    "rlr": {"theta": 5},
    "momentum": {"beta": 0.9},
}
NODES = [2**64 - 3 * client for client in range(1, CLIENTS + 1)][::-1]
"""Flower's numbers of the nodes; client k is the one with the k-th smallest."""


@pytest.fixture(autouse=True, scope="module")
def _in_a_run() -> None:
    """Flower's messages belong to a run, whose number the process knows."""
    TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1


class Nodes:
    """What a strategy needs of Flower's grid."""

    def __init__(self, nodes: Iterable[int] = NODES) -> None:
        self.nodes = list(nodes)[::-1]

    def get_node_ids(self) -> list[int]:
        return self.nodes


def record(arrays: Mapping[str, Any]) -> ArrayRecord:
    return ArrayRecord({name: Array(np.asarray(array)) for name, array in arrays.items()})


def arrays_of(found: ArrayRecord) -> case.Arrays:
    return {name: array.numpy() for name, array in found.items()}


def reply(message: Message, number: int, client: int, **metrics: Any) -> Message:
    """What a client of the case answers."""
    sent = arrays_of(message.content["arrays"])
    content = RecordDict(
        {
            "arrays": record(case.answer(number, client, sent)),
            "metrics": MetricRecord({**case.report(number, client), **metrics}),
        }
    )
    return Message(content, reply_to=message)


def made(defence: Any, **arguments: Any) -> Any:
    """A strategy for the case's model."""
    given = {
        "clients": CLIENTS,
        "seed": SEED,
        "buffers": BUFFERS,
        "frozen": {"1.scale"},
        "steps": "num-steps",
    }
    return flower.strategy(defence, **{**given, "losses": "train-loss", **arguments})


def asked(strategy: Any, number: int, arrays: ArrayRecord, grid: Any = None) -> list[Message]:
    """The messages of a round, in the order of the nodes' numbers."""
    messages = strategy.configure_train(number, arrays, ConfigRecord(), grid or Nodes())
    return sorted(messages, key=lambda message: message.metadata.dst_node_id)


def one_round(strategy: Any, number: int, arrays: ArrayRecord) -> tuple[ArrayRecord, MetricRecord]:
    messages = asked(strategy, number, arrays)
    replies = [reply(message, number, client) for client, message in enumerate(messages)]
    found: tuple[ArrayRecord, MetricRecord] = strategy.aggregate_train(number, replies[::-1])
    return found


def same_rounds(strategy: Any, fields: Mapping[str, Any], make: Any = case.model) -> None:
    """Whatever the strategy gives in some rounds is what a run's own server gives, bit for bit."""
    own, arrays = OwnServer(fields, make=make), record(case.first_arrays(make))
    for number in range(1, ROUNDS + 1):
        arrays, metrics = one_round(strategy, number, arrays)
        done = own.round(number, range(CLIENTS))
        assert list(arrays) == list(own.arrays)
        for name, array in arrays_of(arrays).items():
            assert array.dtype == own.arrays[name].dtype
            assert array.tobytes() == own.arrays[name].tobytes(), name
        assert metrics["fedskew/clients"] == list(range(CLIENTS))
        assert metrics["fedskew/nodes"] == NODES
        assert metrics["fedskew/left-out"] == []
        weights = metrics.get("fedskew/client-weights", [])
        assert weights == [done.client_weights[client] for client in range(CLIENTS) if done.client_weights]
        trace = {name.removeprefix("fedskew/trace/") for name in metrics if "/trace/" in name}
        assert trace == set(done.trace)
        for name in trace:
            assert metrics[f"fedskew/trace/{name}"] == done.trace[name]
    assert arrays["1.scale"].numpy().tolist() == 1.5


def of(kind: str, name: str) -> dict[str, Any]:
    required = {o for o, default in BUILT_IN[kind][name].options.items() if default is REQUIRED}
    options = OPTIONS.get(name, {})
    assert required <= options.keys(), name
    return {"name": name, **options}


def root_update(number: int, arrays: ArrayRecord) -> ArrayRecord:
    return record(case.root_arrays(number, arrays_of(arrays)))


@pytest.mark.parametrize("name", BUILT_IN["aggregator"])
def test_every_aggregator_gives_what_it_gives_in_a_run(name: str) -> None:
    extra: dict[str, Any] = {}
    if name == "fltrust":
        extra["root_update"] = root_update
    if name in ("q-fedavg", "afl", "term"):
        extra["start_losses"] = "start-loss"
    private = name == "dp-fedavg"
    make, buffers = (case.plain, ()) if private else (case.model, BUFFERS)
    fields = {"aggregator": of("aggregator", name)}
    same_rounds(made(fields, buffers=buffers, **extra), {"defence": fields}, make)


def test_a_private_rule_takes_no_model_with_arrays_that_clients_send_as_they_are() -> None:
    strategy = made("dp-fedavg(clip=1.0, noise_multiplier=1.0)", buffers=())
    whole = {n: array for n, array in case.first_arrays().items() if n not in BUFFERS}
    with pytest.raises(ConfigError, match=r"'1.norm.num_batches_tracked'.*'dp-fedavg' states would not hold"):
        asked(strategy, 1, record(whole))


@pytest.mark.parametrize("name", BUILT_IN["transform"])
def test_every_transform_gives_what_it_gives_in_a_run(name: str) -> None:
    fields = {"transforms": [of("transform", name)], "aggregator": "fedavg"}
    same_rounds(made(fields), {"defence": fields})


@pytest.mark.parametrize("name", BUILT_IN["learning-rate"])
def test_every_learning_rate_rule_gives_what_it_gives_in_a_run(name: str) -> None:
    fields = {"learning_rate": of("learning-rate", name)}
    same_rounds(
        made(fields, server={"learning_rate": 0.5}), {"defence": fields, "server": {"learning_rate": 0.5}}
    )


@pytest.mark.parametrize("name", BUILT_IN["server-step"])
def test_every_server_step_gives_what_it_gives_in_a_run(name: str) -> None:
    server = {"step": of("server-step", name)}
    objective = {"name": "feddyn", "alpha": 0.1} if name == "feddyn" else {"name": "none"}
    fields = {"defence": {"aggregator": "median"}, "server": server, "training": {"objective": objective}}
    same_rounds(made({"aggregator": "median"}, server=server, objective=objective), fields)


def test_a_whole_chain_in_the_notation_of_an_audit() -> None:
    text = "noise(std=0.01) + bucketing(size=2) + trimmed-mean(b=1) + rlr(theta=4) + momentum(beta=0.5)"
    fields = {
        "defence": {
            "transforms": [{"name": "noise", "std": 0.01}, {"name": "bucketing", "size": 2}],
            "aggregator": {"name": "trimmed-mean", "b": 1},
            "learning_rate": {"name": "rlr", "theta": 4},
        },
        "server": {"learning_rate": 0.7, "step": {"name": "momentum", "beta": 0.5}},
    }
    same_rounds(made(text, server={"learning_rate": 0.7}), fields)
    experiment = fedskew.Experiment.model_validate(fields)
    same_rounds(made(experiment.defence, server=experiment.server), fields)


def drawn(updates: ClientUpdates, view: ServerView, *, share: float = 0.5) -> Any:
    """A rule of somebody's own that draws."""
    return updates.deltas.mean(dim=0) * share * float(view.rng.uniform())


def test_plug_ins_with_and_without_state() -> None:
    same_rounds(made(drawn), {"defence": {"aggregator": drawn}})
    table = {"aggregator": {"name": drawn, "share": 0.25}}
    same_rounds(made(table), {"defence": table})
    same_rounds(made(alternating), {"defence": {"aggregator": alternating}})
    with pytest.raises(ConfigError, match="requires permission"):
        made("seam_components:alternating")


def test_another_seed_draws_something_else_and_so_does_none() -> None:
    first = record(case.first_arrays())
    found = [
        one_round(made("noise(std=1.0)", seed=seed), 1, first)[0]["1.last.bias"].numpy().tolist()
        for seed in (1, 1, 2, None, None)
    ]
    assert found[0] == found[1]
    assert len({*map(str, found)}) == 4


def test_clients_that_say_who_they_are_are_in_that_order() -> None:
    strategy, own = made("fedavg", client_id="partition-id"), OwnServer({})
    messages = asked(strategy, 1, record(case.first_arrays()))
    replies = [reply(message, 1, client) for client, message in enumerate(messages[::-1])]
    arrays, metrics = strategy.aggregate_train(1, replies)
    own.round(1, range(CLIENTS))
    assert metrics["fedskew/clients"] == list(range(CLIENTS))
    assert metrics["fedskew/nodes"] == NODES[::-1]
    for name, array in arrays_of(arrays).items():
        assert array.tobytes() == own.arrays[name].tobytes()
    twice = [
        reply(messages[0], 1, 3),
        reply(messages[1], 1, 3),
        reply(messages[2], 1, 0, **{"partition-id": 11}),
    ]
    _, metrics = strategy.aggregate_train(1, twice)
    assert metrics["fedskew/clients"] == [3]
    assert metrics["fedskew/left-out"] == NODES[1:3]


def broken(message: Message, how: str) -> Message:
    sent, metrics = arrays_of(message.content["arrays"]), case.report(1, 0)
    match how:
        case "error":
            return Message(Error(1, "it crashed"), reply_to=message)
        case "not finite":
            sent["1.last.bias"] = sent["1.last.bias"] * np.float32("nan")
        case "buffer not finite":
            sent[BUFFERS[0]] = sent[BUFFERS[0]] + np.float32("inf")
        case "shape":
            sent["1.last.bias"] = sent["1.last.bias"][:4]
        case "an array missing":
            del sent["1.last.bias"]
        case "an array more":
            sent["more"] = np.zeros(3)
        case "whole numbers":
            sent["1.last.bias"] = sent["1.last.bias"].astype(np.int64)
        case "no examples":
            metrics["num-examples"] = 0
        case "half an example":
            metrics["num-examples"] = 0.5
        case "too many examples":
            metrics["num-examples"] = 2**40
        case "no loss":
            del metrics["train-loss"]
        case "infinite loss":
            metrics["train-loss"] = float("inf")
        case "garbage":
            content = RecordDict({"arrays": record(sent), "metrics": MetricRecord(metrics)})
            content["arrays"]["1.last.bias"] = Array("float32", (10,), "numpy.ndarray", b"no array")
            return Message(content, reply_to=message)
        case "no metrics":
            return Message(RecordDict({"arrays": record(sent)}), reply_to=message)
    content = RecordDict({"arrays": record(sent), "metrics": MetricRecord(metrics)})
    return Message(content, reply_to=message)


HOW = [
    "error",
    "not finite",
    "buffer not finite",
    "shape",
    "an array missing",
    "an array more",
    "whole numbers",
]
HOW += [
    "no examples",
    "half an example",
    "too many examples",
    "no loss",
    "infinite loss",
    "garbage",
    "no metrics",
]


@pytest.mark.parametrize("how", HOW)
def test_what_is_no_reply_is_left_out_as_if_it_had_not_come(how: str) -> None:
    first, there = record(case.first_arrays()), range(1, CLIENTS)
    strategy, own = made("fedavg"), OwnServer({})
    messages = asked(strategy, 1, first)
    replies = [broken(messages[0], how), *(reply(messages[client], 1, client) for client in there)]
    arrays, metrics = strategy.aggregate_train(1, replies)
    own.round(1, there)
    assert metrics["fedskew/left-out"] == NODES[:1]
    assert metrics["fedskew/clients"] == list(there)
    for name, array in arrays_of(arrays).items():
        assert array.tobytes() == own.arrays[name].tobytes()


def test_where_no_reply_can_be_read_one_sentence_says_why() -> None:
    strategy = made("fedavg", steps="steps")
    messages = asked(strategy, 1, record(case.first_arrays()))
    with pytest.raises(
        ConfigError, match=rf"of node {NODES[0]}: its metric 'steps' is None, not a finite number"
    ):
        strategy.aggregate_train(1, [reply(message, 1, 0) for message in messages])
    assert strategy.aggregate_train(1, []) == (None, None)
    assert strategy.aggregate_train(1, [broken(messages[0], "error")]) == (None, None)


def test_too_few_updates_leave_the_model_and_the_rules_as_they_are() -> None:
    strategy = made("krum(f=2) + momentum(beta=0.9)")
    first = record(case.first_arrays())
    messages = asked(strategy, 1, first)
    arrays, metrics = strategy.aggregate_train(1, [reply(m, 1, k) for k, m in enumerate(messages[:6])])
    assert arrays is None
    assert metrics["fedskew/clients"] == list(range(6))
    own = OwnServer(
        {
            "defence": {"aggregator": of("aggregator", "krum")},
            "server": {"step": of("server-step", "momentum")},
        }
    )
    found, _ = one_round(strategy, 2, first)
    own.round(2, range(CLIENTS))
    assert found["1.last.bias"].numpy().tobytes() == own.arrays["1.last.bias"].tobytes()


def test_the_means_of_what_all_clients_report_are_recorded() -> None:
    strategy = made("median")
    messages = asked(strategy, 1, record(case.first_arrays()))
    replies = [reply(message, 1, client, own=[1.0] * client) for client, message in enumerate(messages[:3])]
    replies.append(reply(messages[3], 1, 3, more=1.0))
    _, metrics = strategy.aggregate_train(1, replies)
    sizes, losses = np.array([10, 11, 14, 19]), np.array([0.5, 0.6, 0.7, 0.8])
    assert metrics["train-loss"] == pytest.approx((sizes * losses).sum() / sizes.sum(), rel=1e-15)
    assert not {"own", "more", "num-examples"} & metrics.keys()


def test_nodes_that_come_later_are_numbered_after_the_others() -> None:
    strategy, first = made("mean", clients=3, min_train_nodes=3), record(case.first_arrays())
    for number, nodes in ((1, [50, 10]), (2, [40, 10, 50]), (3, [10, 5])):
        grid = Nodes(nodes)
        strategy.min_train_nodes = strategy.min_available_nodes = len(nodes)
        asked(strategy, number, first, grid)
    assert strategy.clients == {10: 0, 50: 1, 40: 2, 5: 3}
    assert strategy.chain.experiment.clients.count == 4


def test_a_model_that_is_not_finite_ends_the_run() -> None:
    strategy = made("noise(std=1e30) + mean", server={"learning_rate": 1e30})
    with pytest.raises(FailedRunError, match="diverged: it is not finite after round 1"):
        one_round(strategy, 1, record(case.first_arrays()))


def wide() -> Aggregator:
    def apply(updates: ClientUpdates, view: ServerView, state: Any) -> Any:
        return updates.deltas[0], AggregationTrace(), state

    return Aggregator(apply, server_data=3)


@pytest.mark.parametrize(
    ("defence", "arguments", "message"),
    [
        (
            "krum(f=5)",
            {},
            r"defence.aggregator: 'krum' with f = 5 needs 13 or more updates in a round",
        ),
        ("krum(f=2)", {"fraction_train": 0.5}, "needs 7 or more updates in a round, and there are 5"),
        ("krum", {}, "'krum' needs f"),
        ("krun(f=2)", {}, "unknown defence 'krun'"),
        ({"aggregater": "mean"}, {}, "unknown field 'defence.aggregater'"),
        ("krum(f=2) + mean", {}, "a defence has one aggregator and not two"),
        ("fednova", {"steps": None}, "transform 'fednova' needs the number of optimiser steps"),
        ("afl(gamma=0.1)", {}, "aggregator 'afl' needs each client's loss before training"),
        ("fltrust", {}, "aggregator 'fltrust' needs an update that is trained on the server's own data"),
        (wide, {}, "wide' needs an update that is trained on the server's own data"),
        ("mean", {"root_update": root_update}, "'mean' makes no use of root_update"),
        ("mean + feddyn", {}, "also needs training.objective = 'feddyn'"),
        ("mean", {"objective": "scaffold"}, "'scaffold' has a part on the server"),
        ("mean", {"server": {"secure_aggregation": True}}, "gets the update of every client"),
        ({"transforms": ["clip"], "local_transforms": 1}, {}, "clients do these before they send"),
        (
            "mean + momentum(beta=0.5)",
            {"server": {"step": "plain"}},
            "server.step is given, and the defence has one too",
        ),
        ("mean", {"server": {"rate": 1}}, "unknown field 'server.rate'"),
        ("mean", {"clients": 0}, "count = 0"),
        ("mean", {"fraction_fit": 0.5}, "unknown option of Flower's FedAvg 'fraction_fit'"),
        ("mean", {"seed": -1}, "seed = -1"),
    ],
)
def test_what_cannot_be_is_refused_before_the_first_round(
    defence: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        made(defence, **arguments)


def test_what_the_server_trains_must_be_the_model_and_finite() -> None:
    for found, message in (
        ({"a": np.zeros(1)}, "what root_update returns is not the model"),
        (
            {n: a * np.float32("nan") if a.dtype.kind == "f" else a for n, a in case.first_arrays().items()},
            "not finite",
        ),
    ):
        strategy = made("fltrust", root_update=lambda number, arrays, found=found: record(found))
        with pytest.raises(ConfigError, match=message):
            one_round(strategy, 1, record(case.first_arrays()))


def test_clients_that_afl_has_not_weighed_are_refused() -> None:
    strategy = made("afl(gamma=0.1)", clients=3, start_losses="start-loss", min_train_nodes=3)
    first = record(case.first_arrays())
    for number, nodes in ((1, NODES[:3]), (2, NODES[1:4])):
        messages = asked(strategy, number, first, Nodes(nodes))
        replies = [reply(message, number, 0) for message in messages]
        if number == 1:
            strategy.aggregate_train(number, replies)
    with pytest.raises(ConfigError, match="weighs the 3 clients of its first round"):
        strategy.aggregate_train(2, replies)


def test_flower_shows_the_defence(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "flwr"):
        made("nnm(f=2) + krum(f=2) + adam(tau=0.1)").summary()
    text = " ".join(each.getMessage() for each in caplog.records)
    for part in ("transforms: nnm(f=2)", "aggregator: krum(f=2", "learning rate: constant", "adam(tau=0.1"):
        assert part in text


def test_the_page_on_flower_shows_what_works(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "flower.md").read_text(encoding="utf-8")
    app, audited = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    shown: dict[str, Any] = {}
    exec(app, shown)
    started: list[Any] = []

    class Started(FedskewStrategy):
        def start(self, grid: Any, initial_arrays: ArrayRecord, num_rounds: int) -> Any:
            found = asked(self, 1, initial_arrays, Nodes(NODES[:10]))
            started.append((self.chain.experiment, len(found)))
            return Result(arrays=initial_arrays)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(message_module, "FedskewStrategy", Started)
        shown["main"](None, None)
    ((experiment, sampled),) = started
    assert sampled == experiment.clients.count == 10
    assert [part.label for part in experiment.defence.transforms] == ["nnm"]
    assert experiment.defence.aggregator.label == "krum"
    exec(audited, shown)
    config = tmp_path / "config.toml"
    plain = {"defence": {"aggregator": {"name": "krum", "f": 2}}, "server": {"learning_rate": 0.5}}
    whole = complete_experiment(fedskew.Experiment.model_validate(plain))
    config.write_text(write_toml(to_plain(whole)))
    found = shown["deployed"](config).chain.experiment
    assert found.defence == whole.defence
    assert found.server == whole.server
