"""Privacy attacks on a run: the tools they have, and what their guesses are worth.

What is true of the records stays here and meets the guess only in ``evaluation.leakage``.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor, nn

from fedskew.components.returned import checked_guess, checked_metrics, checked_state
from fedskew.errors import ConfigError
from fedskew.evaluation.leakage import Truth, leakage
from fedskew.evaluation.leakage_table import metric_name
from fedskew.federation.asked import Records, draw_records
from fedskew.federation.gradients import cosines
from fedskew.federation.observation import Watch
from fedskew.federation.references import Rates, as_sent, rates_of, reference, steady, virtual_update
from fedskew.federation.state import RunState, copied
from fedskew.federation.world import World
from fedskew.protocols import PrivacyView, Rng, RoundRecord
from fedskew.seeding import stream


class Leaks:
    """The privacy attacks of a run; does nothing where there are none."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.attacks = world.privacy_attacks
        asking = [name for name, attack in self.attacks if attack.aim in ("membership", "source")]
        if asking and not len(self.records.truth.asked):
            raise ConfigError(
                f"privacy-attack {asking[0]!r} has nothing to ask about: no honest client has held out an image "
                "of a class that it trains on",
                "hold out more (clients.held_out), or take fewer clients",
                "privacy.attacks",
            )

    def after(
        self,
        state: RunState,
        watch: Watch,
        history: Sequence[RoundRecord],
        *,
        last: bool,
        taken: Mapping[str, float],
    ) -> dict[str, float]:
        """Shows the attacks a round that ``state`` has just completed, and after the last one takes their guesses.

        What they note of the last round is thrown away afterwards, unless the round is audited anyway: so a run that
        goes on later is the one that never stopped.

        Args:
            history: the records up to this round; who never took part was not trained on, and is not asked about.
            taken: the round's metrics, whose names are taken.
        """
        privacy, found = self.world.experiment.privacy, dict[str, float]()
        audited = state.round % privacy.every == 0
        if not self.attacks or not (audited or last):
            return found
        rates = rates_of(self.world, history)
        for number, (name, attack) in enumerate(self.attacks):
            key, part = f"privacy/{number}", f"privacy-attack {name!r}"
            seen = watch.seen(attack.seat, last=last)
            noted = copied(state.rules[key])
            if seen is not None and attack.seat != "outsider":
                view = self._view(watch.buffers, "observe", name, state.round, rates)
                noted = checked_state(f"{part}: observe", attack.observe(seen, view, noted))
            if audited:
                state.rules[key] = copied(noted)
            if last:
                view = self._view(state.buffers, "guess", name, state.round, rates)
                guess = checked_guess(name, attack, attack.guess(state.weights.clone(), view, noted), view)
                scores = guess.scores.double().cpu().numpy()
                measured = leakage(attack.aim, scores, self._truth(history), guess.threshold)
                named = {metric_name(name, metric): value for metric, value in measured.items()}
                found |= checked_metrics(name, named, {**taken, **found}, "privacy-attack")
        return found

    @cached_property
    def _module(self) -> nn.Module:
        return copy.deepcopy(self.world.module).to(self.world.device).eval()

    @cached_property
    def records(self) -> Records:
        """The records of this run, drawn from streams of their own."""
        return draw_records(self.world)

    def _truth(self, history: Sequence[RoundRecord]) -> Truth:
        """What is true of those clients whose updates arrived in some round."""
        arrived = {client for record in history for client in record.arrived}
        truth, took_part = self.records.truth, np.isin(self.records.asked, list(arrived))
        mixes = np.where(took_part[:, None], truth.mixes, np.nan)
        return replace(truth, asked=truth.asked[took_part[truth.asked]], mixes=mixes)

    def _view(
        self, buffers: Tensor, purpose: str, attack: str, number: int, rates: Rates = steady
    ) -> PrivacyView:
        world, records = self.world, self.records
        rng: Rng = stream(world.experiment.seed, f"privacy {purpose} {attack}", number)
        return PrivacyView(
            records=records.images.clone(),
            labels=records.labels.clone(),
            public=records.public.clone(),
            public_labels=records.public_labels.clone(),
            num_clients=world.experiment.clients.count,
            asked=torch.from_numpy(records.asked.copy()),
            num_classes=world.dataset.info.num_classes,
            layout=world.layout,
            losses=lambda weights, images, labels: self._losses(weights, buffers, images, labels),
            cosines=partial(cosines, self._module, world.dataset.info, buffers),
            train=partial(virtual_update, world, attack, buffers, number, rates),
            as_sent=partial(as_sent, world, attack, number),
            reference=partial(reference, world, attack, rates=rates),
            rng=rng,
            altered=None if world.population.planted is None else world.population.planted.alter,
        )

    def _losses(self, weights: Tensor, buffers: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        return self.world.engine.predict(weights, buffers, images, labels).losses
