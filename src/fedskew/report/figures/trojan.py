"""What the trojan does to an image: a test image of each class, as it is and with the trojan, and the target class.

It needs the data, which a report never downloads, and built-in components only: a report imports no plug-in
(docs/design.md, rule 6).
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.image import imsave

from fedskew import datasets
from fedskew.components.binding import resolve
from fedskew.components.known import facts_of, inner, is_built_in
from fedskew.config import Component, Experiment
from fedskew.errors import FedskewError
from fedskew.protocols import Attack
from fedskew.report.evidence import Evidence
from fedskew.report.figures.charts import Plate
from fedskew.report.figures.style import MALICIOUS

Image = npt.NDArray[np.uint8]
"""[height, width, 3]"""


@dataclass(frozen=True)
class Sample:
    """One test image of a class, [height, width, 3] each.

    Attributes:
        difference: of the two, per channel; the least that differs is 100, so that it can be seen.
        base: whether the attack starts from this class.
        target: whether it is the attack's target class.
    """

    name: str
    original: Image
    triggered: Image
    difference: Image
    base: bool
    target: bool


@dataclass(frozen=True)
class Trojan:
    """The samples of one attack, in the order of the classes, and what they are."""

    title: str
    target: str
    samples: list[Sample]


def trojan(evidence: Evidence) -> tuple[Trojan | None, str]:
    """The figure of the study's attack, or one sentence that says why there is none."""
    attacked = [plan.experiment for plan in evidence.planned if _may_have_trigger(plan.experiment.attack)]
    if not attacked:
        return None, "No run of this study has an attack with a trigger."
    experiment = next((one for one in attacked if one.adversaries.count), attacked[0])
    if plugin := _plugin(experiment):
        return (
            None,
            f"The picture of the trigger is left out: {plugin} is a plug-in, which a report does not import.",
        )
    try:
        return _trojan(experiment), ""
    except FedskewError as error:
        reason = error.message.splitlines()[0].rstrip(".")
        return None, f"The picture of the trigger is left out, because the data is not at hand: {reason}."


def _may_have_trigger(attack: Component) -> bool:
    """Whether an attack has a trigger; unknown for one that is not built in, without importing it."""
    return not is_built_in("attack", attack) or "trigger" in facts_of("attack", attack).components.values()


def _plugin(experiment: Experiment) -> str:
    """The first component that the picture needs and that is not built in, in words; "" if all are."""
    attack = experiment.attack
    named = [(kind, component) for _, kind, component in inner("attack", attack, facts_of("attack", attack))]
    for kind, component in (("attack", attack), *named, ("dataset", experiment.data)):
        if not is_built_in(kind, component):
            return f"{kind} {component.label!r}"
    return ""


def _trojan(experiment: Experiment) -> Trojan:
    data = experiment.data
    dataset = datasets.load(data.label, download=False, verify=data.verify, **data.options)
    attack: Attack = resolve("attack", experiment.attack, "attack")(dataset.info)
    if attack.trigger is None or attack.target is None:
        raise FedskewError("the attack has no trigger")
    names, labels = dataset.info.class_names, dataset.y_test
    samples = []
    for number, name in enumerate(names):
        where = (labels == number).nonzero().flatten()
        if not len(where):
            continue
        image = dataset.x_test[where[:1]]
        pair = [_picture(one[0].numpy()) for one in (image, attack.trigger.apply(image))]
        change = np.abs(pair[1].astype(np.int16) - pair[0].astype(np.int16))
        change = np.where(change > 0, 100 + change * 155 // 255, 0).astype(np.uint8)
        base = attack.source_classes is None or number in attack.source_classes
        samples.append(Sample(name, pair[0], pair[1], change, base, number == attack.target))
    return Trojan(f"{dataset.info.name}, attack {experiment.attack.label}", names[attack.target], samples)


def _picture(image: npt.NDArray[np.uint8]) -> Image:
    """uint8 [channels, height, width] -> [height, width, 3]; one channel is grey, of others the first three."""
    channels = np.repeat(image[:1], 3, axis=0) if len(image) < 3 else image[:3]
    return np.ascontiguousarray(channels.transpose(1, 2, 0))


def data_uri(image: Image) -> Markup:
    """An image as a PNG inside a page."""
    content = io.BytesIO()
    imsave(content, image, format="png")
    return Markup("data:image/png;base64," + base64.b64encode(content.getvalue()).decode("ascii"))


ROWS = (("original", "original"), ("with the trojan", "triggered"), ("difference", "difference"))
"""(what a row is called, the attribute of a sample that it shows)"""


def trojan_plate(found: Trojan) -> Plate:
    """The figure for a paper: original, with the trojan, difference; one column per class."""

    def make() -> Figure:
        many = len(found.samples)
        figure = Figure(figsize=(0.72 * many + 1.0, 2.8), layout="constrained")
        panels = figure.subplots(len(ROWS), many, squeeze=False)
        for line, (words, attribute) in zip(panels, ROWS, strict=True):
            for panel, sample in zip(line, found.samples, strict=True):
                panel.imshow(getattr(sample, attribute), interpolation="nearest")
                panel.set_xticks([])
                panel.set_yticks([])
                for side in panel.spines.values():
                    side.set_visible(sample.target)
                    side.set(color=MALICIOUS, linewidth=1.6)
            line[0].set_ylabel(words, fontsize=8)
        for panel, sample in zip(panels[0], found.samples, strict=True):
            panel.set_title(sample.name + ("\n(target)" if sample.target else ""), fontsize=7, loc="center")
        return figure

    return Plate(
        "trojan", f"A test image of each class, original and with the trojan; target: {found.target}.", make
    )
