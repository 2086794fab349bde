"""Whether the model can be trained on every batch of the plan: one with batch normalisation may need two images.

Which clients have a batch of one image depends on the split, so that a run would fail in some cells of a study, or
in a late round, and in others not. It is refused before any training instead.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from fedskew.components.known import options_of, with_inner
from fedskew.components.returned import trained_on
from fedskew.config import Experiment, Training
from fedskew.errors import ConfigError
from fedskew.federation.population import Population
from fedskew.protocols import Attack, DatasetInfo, LocalSettings
from fedskew.training.plan import smallest_batch
from fedskew.wording import count


def with_settings(training: Training, own: LocalSettings) -> Training:
    """The adversaries' settings of local training."""
    given = {"epochs": own.epochs, "batch_size": own.batch_size}
    changes: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    if own.lr is not None:
        changes["optimizer"] = training.optimizer.model_copy(update={"lr": own.lr})
    return training.model_copy(update=changes)


def check_batches(
    experiment: Experiment, population: Population, attack: Attack, module: nn.Module, info: DatasetInfo
) -> None:
    """Refuses a run in which a client has a batch of one image, and the model cannot be trained on one. On two images
    every model is tried anyway, when its engine is chosen.

    Raises:
        ConfigError: names a client, its images and what to do.
    """
    alone = [job for job in _jobs(experiment, population, attack) if job[1] and smallest_batch(*job[1:]) == 1]
    why = trained_on(1, module, info) if alone else ""
    if not why:
        return
    # Those that no rule for the last batch helps come first.
    who, images, training = min(alone, key=lambda job: (job[2].batch_size > 1, job[1] > 1))
    others = len({name for name, *_ in alone}) - 1
    more = f" ({count(others, 'other client')} too)" if others else ""
    raise _refusal(experiment, who, images, training, f"{more}: {why}", _remedy(experiment, images, training))


def check_images(experiment: Experiment, who: str, images: int, module: nn.Module, info: DatasetInfo) -> None:
    """Refuses to train somebody else than a client of the run, a virtual client say, with the clients' recipe on so
    many images, for the same reason.

    Raises:
        ConfigError: as ``check_batches``.
    """
    training = experiment.training
    why = trained_on(1, module, info) if images and smallest_batch(images, training) == 1 else ""
    if why:
        remedy = _by_batches(images, training) or "a model that normalises each image by itself"
        raise _refusal(experiment, who, images, training, f": {why}", remedy)


def _refusal(
    experiment: Experiment, who: str, images: int, training: Training, more: str, hint: str
) -> ConfigError:
    return ConfigError(
        f"model {experiment.model.label!r} cannot be trained on a batch of one image, and {who} has one: it holds "
        f"{count(images, 'image')}, training.batch_size is {training.batch_size} and training.last_batch is "
        f'"{training.last_batch}"{more}',
        hint,
        "training.last_batch",
    )


def _jobs(
    experiment: Experiment, population: Population, attack: Attack
) -> Iterator[tuple[str, int, Training]]:
    """(who, images, settings) of everyone who may train in some round."""
    where, training = population.spread, experiment.training
    act = {experiment.adversaries.act_in(number) for number in range(1, experiment.rounds + 1)}
    malicious = set(where.malicious)
    for client, shard in enumerate(where.shards):
        if client not in malicious or False in act:
            yield f"client {client}", len(shard), training
    if True in act:
        theirs = with_settings(training, attack.training)
        for client in where.malicious:
            yield f"client {client}", len(population.shards[client]), theirs
    yield "the server", len(where.root), training


def _by_batches(images: int, training: Training) -> str:
    """What to do where other batches help; "" where there is but one image."""
    if training.batch_size == 1:
        return "batches of 2 images or more, for example training.batch_size = 32"
    if images > 1:
        return (
            'training.last_batch = "merge" adds it to the batch before it; "drop" leaves it out of its epoch'
        )
    return ""


def _remedy(experiment: Experiment, images: int, training: Training) -> str:
    if words := _by_batches(images, training):
        return words
    parts = with_inner("split", "split", experiment.split)
    fields = [f"{at}.min_size" for at, kind, part in parts if "min_size" in options_of(kind, part)]
    by_option = f" ({fields[0]} = 2 draws again until it does)" if fields else ""
    split = f"a split that gives every client 2 images or more{by_option}"
    return f"{split}, or a model that normalises each image by itself"
