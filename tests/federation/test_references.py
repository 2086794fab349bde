"""Models that a privacy attacker trains."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from fedskew.errors import ConfigError
from fedskew.federation.privacy import Leaks
from fedskew.federation.references import rates_of, reference
from fedskew.federation.state import initial_state
from fedskew.privacy.virtual_clients import halved, virtual_clients
from fedskew.protocols import DatasetInfo, RoundRecord
from fedskew.simulation import rounds
from membership_helpers import digits_world


def test_a_reference_is_a_pure_function_of_the_config() -> None:
    """Neither the rounds that were done nor other references change it."""
    world = digits_world("rmia", rounds=1)
    leaks, state = Leaks(world), initial_state(world)
    view = leaks._view(state.buffers, "guess", "0", 1)
    first = view.reference(view.public, view.public_labels, 2, 0)(view.records, view.labels)
    list(rounds(world, state, []))
    later = leaks._view(state.buffers, "guess", "0", 5)
    other = later.reference(view.public, view.public_labels, 2, 1)(view.records, view.labels)
    again = later.reference(view.public, view.public_labels, 2, 0)(view.records, view.labels)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_reference_does_not_start_from_the_runs_weights() -> None:
    """Before any training, so that only the initial weights differ."""
    world = digits_world("rmia")
    records = Leaks(world).records
    own = world.engine.predict(world.initial_weights, world.initial_buffers, records.images, records.labels)
    for draw in range(2):
        losses = reference(world, "rmia", records.public, records.public_labels, 0, draw)
        assert not torch.equal(losses(records.images, records.labels), own.losses)


def losses(count: int, changes: dict[str, Any]) -> torch.Tensor:
    """Those of the records under a reference that was trained on the public images."""
    world = digits_world("rmia", **changes)
    records = Leaks(world).records
    found = reference(world, "rmia", records.public, records.public_labels, count, 0)
    return found(records.images, records.labels)


def training(**optimizer: Any) -> dict[str, Any]:
    return {"epochs": 1, "batch_size": 32, "optimizer": optimizer}


def test_a_reference_learns() -> None:
    learning = {"training": training(name="adam", lr=0.01)}
    before, after = (float(losses(count, learning).mean()) for count in (0, 20))
    assert before > 2
    assert after < 0.7


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_a_reference_keeps_running_averages_of_its_own(norm: str) -> None:
    """Its weights stand still, so that only the averages can change what it predicts."""
    still = {"model": {"name": "small-cnn", "norm": norm}, "training": training(name="sgd", lr=1e-9)}
    changed = (losses(2, still) - losses(0, still)).abs().max() > 1e-3
    assert bool(changed) == (norm == "batch")


@pytest.mark.parametrize("state", ["fresh", "persist"])
def test_the_optimisers_state_persists_where_the_clients_does(state: str) -> None:
    plain = {"training": training(name="adam", lr=0.01)}
    asked = {"training": training(name="adam", lr=0.01, state=state)}
    one, two = (torch.equal(losses(count, asked), losses(count, plain)) for count in (1, 2))
    assert one  # a first round starts with fresh moments in any case
    assert two == (state == "fresh")


def normed(info: DatasetInfo) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 10))


@pytest.mark.parametrize("who", ["a virtual client", "a reference"])
@pytest.mark.parametrize(
    ("images", "held", "hint"),
    [
        (33, "33 images", 'training.last_batch = "merge" adds it to the batch before it'),
        (1, "1 image", "a model that normalises each image by itself"),
    ],
)
def test_a_batch_of_one_image_is_refused_with_the_sentence_that_clients_have(
    who: str, images: int, held: str, hint: str
) -> None:
    world = digits_world("label-inference", model=normed)
    view = Leaks(world)._view(world.initial_buffers, "observe", "my-attack", 1)

    def train(count: int) -> None:
        given = view.public[:count], view.public_labels[:count]
        if who == "a virtual client":
            view.train(world.initial_weights, *given, 0)
        else:
            view.reference(*given, 1, 0)

    train(34)
    with pytest.raises(ConfigError) as caught:
        train(images)
    assert f"on a batch of one image, and {who} of 'my-attack' has one: it holds {held}, " in str(
        caught.value
    )
    assert hint in str(caught.value.hint)
    assert caught.value.field == "training.last_batch"


def test_virtual_clients_have_the_learning_rate_of_the_round() -> None:
    """With plain SGD and one step, half the rate is half the update."""
    one_step = {**training(name="sgd", lr=0.1), "batch_size": 1000}
    fading = {"training": {**one_step, "lr_schedule": {"name": "exponential", "gamma": 0.5}}}
    world = digits_world("label-inference", **fading)
    history = [RoundRecord(number, {}, [], [], [], [], {}) for number in (1, 2, 3)]
    rates = rates_of(world, history)
    assert [rates(number) for number in (1, 2, 3, 9)] == [1.0, 0.5, 0.25, 0.25]
    leaks = Leaks(world)

    def update(number: int) -> torch.Tensor:
        view = leaks._view(world.initial_buffers, "observe", "label-inference", number, rates)
        return view.train(world.initial_weights, view.public[:50], view.public_labels[:50], 0)

    first, second = update(1), update(2)
    assert torch.allclose(second, first / 2, rtol=1e-4, atol=1e-7)


def test_references_have_the_learning_rates_of_the_run() -> None:
    learning = {"training": training(name="sgd", lr=0.1)}
    world = digits_world("rmia", **learning)
    records = Leaks(world).records
    given = world, "rmia", records.public, records.public_labels
    asked = records.images, records.labels
    still = reference(*given, 0, 0)(*asked)
    assert torch.equal(reference(*given, 3, 0, rates=lambda number: 1e-30)(*asked), still)
    stopped = reference(*given, 3, 0, rates=lambda number: 1.0 if number == 1 else 1e-30)(*asked)
    assert torch.equal(stopped, reference(*given, 1, 0)(*asked))


def test_virtual_clients_do_what_clients_do_before_they_send() -> None:
    """So that a local defence is judged by what it hides, not by an attacker who does not know of it."""
    local = [{"name": "clip", "norm": 0.05}, {"name": "noise", "std": 1e-4}]

    def sent(number: int, transforms: list[Any], count: int) -> list[torch.Tensor]:
        world = digits_world("label-inference", defence={"transforms": transforms, "local_transforms": count})
        view = Leaks(world)._view(world.initial_buffers, "observe", "label-inference", number)
        public = halved(view)
        return [delta for _, delta in virtual_clients(world.initial_weights, [40, 40], public, view)]

    plain, server = sent(1, [], 0), sent(1, local, 0)
    assert all(torch.equal(one, other) for one, other in zip(plain, server, strict=True))
    assert min(float(delta.norm()) for delta in plain) > 0.1
    clipped = sent(1, local, 1)
    for delta, one in zip(clipped, plain, strict=True):
        assert torch.allclose(delta, 0.05 * one / one.norm(), atol=1e-6)
    noises = [noisy - delta for noisy, delta in zip(sent(1, local, 2), clipped, strict=True)]
    assert [float(noise.std()) for noise in noises] == pytest.approx([1e-4, 1e-4], rel=0.1)
    assert not torch.allclose(noises[0], noises[1], atol=1e-5), "each virtual client draws its own"
