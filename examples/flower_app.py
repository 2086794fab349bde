"""A defence deployed with Flower: six clients with unevenly spread digits, of whom one sends -5 times their update.

pip install 'fedskew[flower]' 'flwr[simulation]', then `python examples/flower_app.py`. Prints the accuracy after five
rounds; with "fedavg" as the defence it stays below 30 %. `flwr run` takes the two apps, `server` and `client`, as well.
"""

from __future__ import annotations

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation
from sklearn.datasets import load_digits
from torch import nn

import fedskew
from fedskew.partition.dirichlet import dirichlet
from fedskew.seeding import stream

DEFENCE, CLIENTS, ROUNDS, TEST = "nnm(f=1) + krum(f=1)", 6, 5, 400
client, server = ClientApp(), ServerApp()


def model() -> nn.Module:
    """A small network."""
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Images [1797, 64] in 0 ... 1, and labels."""
    found = load_digits()
    return torch.tensor(found.data / 16, dtype=torch.float32), torch.tensor(found.target)


@client.train()
def train(message: Message, context: Context) -> Message:
    """Fifty steps on the client's own images."""
    number, (images, labels), net = int(context.node_config["partition-id"]), digits(), model()
    shards = dirichlet(labels[TEST:].numpy(), CLIENTS, stream(0, "split"), alpha=1.0)
    own = torch.from_numpy(shards[number]) + TEST
    start = message.content["arrays"].to_torch_state_dict()
    net.load_state_dict(start)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    for _ in range(50):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(images[own]), labels[own])
        loss.backward()
        optimizer.step()
    weights = net.state_dict()
    if number == 0:
        weights = {name: start[name] - 5 * (weights[name] - start[name]) for name in start}
    metrics = {"num-examples": len(own), "partition-id": number, "train-loss": loss.item()}
    content = RecordDict({"arrays": ArrayRecord(weights), "metrics": MetricRecord(metrics)})
    return Message(content, reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Five rounds, and the accuracy on images that no client has."""
    strategy = fedskew.flower.strategy(
        DEFENCE, clients=CLIENTS, client_id="partition-id", min_available_nodes=CLIENTS, fraction_evaluate=0.0
    )
    torch.manual_seed(0)
    result = strategy.start(grid, ArrayRecord(model().state_dict()), num_rounds=ROUNDS)
    images, labels = digits()
    net = model()
    net.load_state_dict(result.arrays.to_torch_state_dict())
    right = net(images[:TEST]).argmax(dim=1) == labels[:TEST]
    print(f"accuracy after {ROUNDS} rounds: {100 * right.float().mean():.1f} %")


if __name__ == "__main__":
    run_simulation(server, client, num_supernodes=CLIENTS)
