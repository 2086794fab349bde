"""Checks of attacks: what they poison, what they craft, and that they see no more than they declare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fedskew.components.returned import checked_attack, checked_crafted
from fedskew.protocols import (
    AdversaryView,
    Attack,
    Crafted,
    DatasetInfo,
    Rng,
    Shard,
    State,
)
from fedskew.testing.examples import INFO, PARAMETERS, adversary_view, each, matrix, rng, scattered, shard
from fedskew.testing.exercise import Rule, exercise, limiting_case, stateless
from fedskew.testing.objectives import exercise_objective
from fedskew.testing.subject import Named, Subject, subject

ADVERSARIES = (2, 1, 2)
"""Adversaries in the cohort of each of the example rounds."""


def check_attack(attack: Named, *, info: DatasetInfo = INFO, **options: Any) -> None:
    """What every attack must do: its record, its two halves and its local objective.

    Args:
        info: of the data that it is built for.

    Raises:
        ConformanceError, ConfigError: one sentence that names the attack.
    """
    checked = subject("attack", attack, options)
    factory = checked.build()

    def make() -> Attack:
        return checked.instance(factory(info), Attack, "the result")

    rebuilt = Subject(checked.kind, checked.name, make)
    first: Attack = checked.returned(checked_attack, rebuilt.build(), info)
    poison = _poison(rebuilt, info)
    exercise(rebuilt, poison, each(2, lambda i: {"shard": shard(40 - i, info), "rng": rng(i)}))
    limiting_case(rebuilt, poison, lambda: {"shard": shard(1, info), "rng": rng(0)}, "a shard of one image")

    def given(number: int, layout: Callable[[Tensor], Tensor] = torch.clone) -> dict[str, Any]:
        count = ADVERSARIES[number]
        return {
            "deltas": layout(matrix(count, number)),
            "view": adversary_view(number, count, first.threat),
            "rng": rng(number),
        }

    craft = _craft(rebuilt)
    exercise(rebuilt, craft, each(3, given))
    exercise(rebuilt, craft, [lambda: given(0, scattered)])
    if first.objective is not None:
        exercise_objective(Subject(checked.kind, checked.name, lambda: make().objective))


def _poison(checked: Subject, info: DatasetInfo) -> Callable[[Attack], Rule]:
    def wrap(attack: Attack) -> Rule:
        def poison(given: Shard, draws: Rng) -> Shard:
            found = checked.instance(attack.poison(given, draws), Shard, "the poisoned shard")
            count = len(found.labels)
            checked.tensor(found.images, "poisoned images", (count, *info.image_shape), dtype=info.dtype)
            checked.tensor(found.labels, "poisoned labels", (count,), dtype=torch.int64)
            if count and not 0 <= int(found.labels.min()) <= int(found.labels.max()) < info.num_classes:
                checked.fail(f"gives labels that do not exist; there are 0 to {info.num_classes - 1}")
            return found

        return stateless(poison)

    return wrap


def _craft(checked: Subject) -> Callable[[Attack], Rule]:
    def wrap(attack: Attack) -> Rule:
        def craft(deltas: Tensor, view: AdversaryView, draws: Rng, state: State) -> tuple[Any, State]:
            found = attack.craft(deltas, replace(view, state=state), draws)
            sent = found if isinstance(found, Crafted) else Crafted(found)
            checked.tensor(sent.deltas, "what is crafted", (len(deltas), PARAMETERS))
            if sent.num_examples is not None:
                reported = checked.tensor(
                    sent.num_examples, "num_examples", (len(deltas),), dtype=torch.int64
                )
                if (reported <= 0).any():
                    checked.fail("reports num_examples that are not above 0")
            checked.returned(checked_crafted, sent, deltas, view.uploads)
            kept = state if sent.state is None else sent.state
            return (sent.deltas, sent.num_examples, sent.uploads or {}), kept

        return Rule(craft, attack.init)

    return wrap
