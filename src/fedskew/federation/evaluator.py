"""The global model on the test images, clean and triggered, on the validation split and on clients' held-out data."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch

from fedskew.components.returned import checked_metrics
from fedskew.evaluation.clients import by_client, held_out_metrics
from fedskew.evaluation.groups import per_group_accuracy
from fedskew.evaluation.metric_table import METRICS
from fedskew.evaluation.metrics import per_class_accuracy, source_images, standard_metrics
from fedskew.federation.state import RunState
from fedskew.federation.world import World, honest_label_counts, measured_tail
from fedskew.portable import mean
from fedskew.protocols import ClientEvaluation, Evaluation


class Evaluator:
    """Measures the global model on the test images, clean and triggered, and on the validation split."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.counts = honest_label_counts(world)
        self.tail = measured_tail(world)
        data, held_out = world.dataset, torch.from_numpy(world.population.spread.validation)
        parts = {"clean": (data.x_test, data.y_test)}
        if world.triggered_images is not None:
            parts["triggered"] = (world.triggered_images, data.y_test)
        if len(held_out):
            images, labels = data.x_train[held_out], data.y_train[held_out]
            parts["validation"] = (images, labels)
            if world.attack.trigger is not None and world.attack.target is not None:
                parts["validation, triggered"] = (world.attack.trigger.apply(images), labels)
        # Uploaded once; each round reads them on the device.
        self.parts = {name: (x.to(world.device), y.to(world.device)) for name, (x, y) in parts.items()}

    def __call__(self, state: RunState) -> tuple[dict[str, float], list[float], dict[str, float]]:
        """Metrics by name, the class accuracies [C], and the group accuracies by name."""
        world = self.world
        seen = {
            name: world.engine.predict(state.weights, state.buffers, images, labels)
            for name, (images, labels) in self.parts.items()
        }
        evaluation = Evaluation(
            labels=world.dataset.y_test,
            clean=seen["clean"],
            triggered=seen.get("triggered"),
            target=world.attack.target,
            source_classes=world.attack.source_classes,
            num_adversaries=len(world.population.spread.malicious),
            client_label_counts=self.counts,
            class_names=world.dataset.info.class_names,
            tail=self.tail,
            groups=world.dataset.groups_test,
            group_names=world.dataset.info.group_names,
        )
        metrics = standard_metrics(evaluation)
        if "validation" in seen:
            truth = self.parts["validation"][1].cpu()
            metrics["validation_loss"] = float(mean(seen["validation"].losses.double()))
            metrics["validation_accuracy"] = float((seen["validation"].classes == truth).double().mean())
            target = world.attack.target
            if "validation, triggered" in seen and target is not None:
                sources = source_images(truth, target, world.attack.source_classes)
                turned = seen["validation, triggered"].classes[sources].eq(target)
                if len(turned):
                    metrics["validation_attack_success_rate"] = float(turned.double().mean())
        for name, metric in world.metrics:
            # A copy: what a metric does to it must not reach the test set.
            metrics |= checked_metrics(name, metric(copy.deepcopy(evaluation)), METRICS | metrics.keys())
        return metrics, per_class_accuracy(evaluation).tolist(), per_group_accuracy(evaluation)

    def of_clients(
        self, state: RunState, taken: Mapping[str, float]
    ) -> tuple[dict[str, float], dict[int, float]]:
        """The client metrics, on the honest clients' own held-out data, and the accuracy of each of them, of at most
        1,000; nothing if no data was set aside.

        Args:
            taken: the round's other metrics, whose names are taken.
        """
        world, held, info = self.world, self.world.held_out, self.world.dataset.info
        ids = held.clients(world.population.spread.honest)
        if not ids:
            return {}, {}
        positions = torch.cat([held.of(k) for k in ids])
        labels = held.labels[positions]
        evaluation = ClientEvaluation(
            labels=labels,
            predictions=world.engine.predict(state.weights, state.buffers, held.images[positions], labels),
            clients=torch.repeat_interleave(torch.tensor([len(held.places[k]) for k in ids])),
            client_ids=torch.tensor(ids),
            class_names=info.class_names,
            groups=None if held.groups is None else held.groups[positions],
            group_names=info.group_names,
        )
        metrics = held_out_metrics(evaluation)
        for name, metric in world.client_metrics:
            found = metric(copy.deepcopy(evaluation))
            metrics |= checked_metrics(name, found, METRICS | taken.keys() | metrics.keys(), "client-metric")
        return metrics, by_client(ids, evaluation.accuracies())
