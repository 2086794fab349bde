"""A Flower app whose clients send what ``flower_case`` says; prints nothing, writes each round's arrays.

python tests/flower_recorded.py DEFENCE FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation

import fedskew
import flower_case as case

NODES, ROUNDS = 5, 2
client, server = ClientApp(), ServerApp()


@client.train()
def train(message: Message, context: Context) -> Message:
    number, own = int(message.content["config"]["server-round"]), int(context.node_config["partition-id"])
    sent = {name: array.numpy() for name, array in message.content["arrays"].items()}
    arrays = {name: Array(array) for name, array in case.answer(number, own, sent).items()}
    metrics = MetricRecord(case.report(number, own))
    return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    strategy = fedskew.flower.strategy(
        sys.argv[1],
        clients=NODES,
        seed=case.SEED,
        steps="num-steps",
        client_id="partition-id",
        buffers=case.BUFFERS,
        frozen={"1.scale"},
        min_train_nodes=NODES,
        min_available_nodes=NODES,
        fraction_evaluate=0.0,
    )

    def keep(number: int, arrays: ArrayRecord) -> MetricRecord:
        plain = {name: array.numpy() for name, array in arrays.items()}
        np.savez(Path(sys.argv[2]) / f"{number}.npz", **plain)
        return MetricRecord({"kept": number})

    first = ArrayRecord({name: Array(array) for name, array in case.first_arrays().items()})
    result = strategy.start(grid, first, num_rounds=ROUNDS, evaluate_fn=keep)
    metrics = result.train_metrics_clientapp[ROUNDS]
    np.savez(Path(sys.argv[2]) / "metrics.npz", **{name.replace("/", " "): v for name, v in metrics.items()})


if __name__ == "__main__":
    resources = {"client_resources": {"num_cpus": 1}, "init_args": {"num_cpus": 1}}
    run_simulation(server, client, num_supernodes=NODES, backend_config=resources)
