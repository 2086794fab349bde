"""What the trojan does to an image: test images as they are and with the trojan, and the target class.

A run's own folder says it (``trigger.json``). Where none does, the images are made again: that needs the data, which a
report never downloads, and built-in components only, because a report imports no plug-in (docs/design.md, rule 6).
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from fedskew.components.known import facts_of, inner, is_built_in, values_of
from fedskew.config import Component, Experiment
from fedskew.errors import FedskewError, RunError
from fedskew.report.evidence import Evidence
from fedskew.report.figures.charts import EDGE, Plate, finish
from fedskew.report.figures.panel import MIDDLE
from fedskew.report.figures.scene import Item, Line, Picture, Scene, Words, rectangle
from fedskew.report.figures.style import MALICIOUS, SMALL, cut
from fedskew.runs.trigger import TriggerExample, TriggerExamples, examples_of
from fedskew.study.notes import RunNote

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
    """The samples of one attack, in the order of the classes; what they are; and what they leave out, or ""."""

    title: str
    target: str
    samples: list[Sample]
    rule: str = ""


_NO_IMAGES = "There is no picture of the trigger: the data set has no images."


def trojan(evidence: Evidence) -> tuple[Trojan | None, str]:
    """The figure of the study's attack, or one sentence that says why there is none."""
    attacked = [note for note in evidence.notes if _may_have_trigger(note.plan.experiment.attack)]
    if not attacked:
        return None, "No run of this study has an attack with a trigger."
    attacked.sort(key=lambda note: not note.plan.experiment.adversaries.count)
    for note in attacked:
        if (recorded := _recorded(note)) is not None:
            return _trojan(recorded, note.plan.experiment), ""
    experiment = attacked[0].plan.experiment
    if "pixels" not in values_of(experiment.data):
        return None, _NO_IMAGES
    if plugin := _plugin(experiment):
        return (
            None,
            f"The picture of the trigger is left out: no run has recorded it, and {plugin} is a plug-in, which a "
            "report does not import.",
        )
    try:
        found = _made_again(experiment, evidence.data_dir)
        return (None, _NO_IMAGES) if found is None else (_trojan(found, experiment), "")
    except FedskewError as error:
        reason = error.message.splitlines()[0].rstrip(".")
        return (
            None,
            "The picture of the trigger is left out: no run has recorded it, and it cannot be made again because the "
            f"data is not at hand: {reason}.",
        )


def _may_have_trigger(attack: Component) -> bool:
    """Whether an attack has a trigger; unknown for one that is not built in, without importing it."""
    return not is_built_in("attack", attack) or "trigger" in facts_of("attack", attack).components.values()


def _recorded(note: RunNote) -> TriggerExamples | None:
    """What the run's folder says; None if that is nothing or it is damaged."""
    try:
        found = note.folder.read_trigger()
    except RunError:
        return None
    return found if found is not None and found.examples else None


def _plugin(experiment: Experiment) -> str:
    """The first component that the picture needs and that is not built in, in words; "" if all are."""
    attack = experiment.attack
    named = [(kind, component) for _, kind, component in inner("attack", attack, facts_of("attack", attack))]
    for kind, component in (("attack", attack), *named, ("dataset", experiment.data)):
        if not is_built_in(kind, component):
            return f"{kind} {component.label!r}"
    return ""


def _made_again(experiment: Experiment, data_dir: Path | None) -> TriggerExamples | None:
    """The examples; None where the data set has no images."""
    from fedskew import datasets  # lazy
    from fedskew.components.binding import build_attack  # lazy

    data = experiment.data
    dataset = datasets.load(data.label, data_dir, download=False, verify=data.verify, **data.options)
    if dataset.info.values != "pixels":
        return None
    attack = build_attack(experiment.attack, dataset.info)
    trigger, target = attack.trigger, attack.target
    if trigger is None or target is None:
        raise FedskewError("the attack has no trigger")

    def images(at: int) -> tuple[Image, Image]:
        image = dataset.x_test[at : at + 1]
        return image[0].numpy(), trigger.apply(image)[0].numpy()

    names, labels = dataset.info.class_names, dataset.y_test.numpy()
    return examples_of(dataset.info.name, names, labels, images, target, attack.source_classes)


def _trojan(found: TriggerExamples, experiment: Experiment) -> Trojan:
    rules = []
    if len(found.examples) < found.classes:
        rules.append(f"{len(found.examples)} of {found.classes} classes are shown")
    if found.every > 1:
        rules.append(f"one of {found.every} pixels of each line is drawn")
    title = f"{found.dataset}, attack {experiment.attack.label}"
    samples = [_sample(one) for one in found.examples]
    return Trojan(title, found.target, samples, "; ".join(rules))


def _sample(one: TriggerExample) -> Sample:
    pair = [_picture(image) for image in (one.before, one.after)]
    change = np.abs(pair[1].astype(np.int32) - pair[0].astype(np.int32))
    change = np.where(change > 0, 100 + change * 155 // 255, 0).astype(np.uint8)
    return Sample(one.name, pair[0], pair[1], change, one.source, one.target)


def _picture(image: Image) -> Image:
    """uint8 [channels, height, width] -> [height, width, 3]; one channel is grey, of others the first three."""
    channels = np.repeat(image[:1], 3, axis=0) if len(image) < 3 else image[:3]
    return np.ascontiguousarray(channels.transpose(1, 2, 0))


def data_uri(image: Image) -> Markup:
    """An image as a PNG inside a page."""
    height, width, _ = image.shape
    lines = np.concatenate(
        [np.zeros((height, 1), np.uint8), image.reshape(height, -1)], axis=1
    )  # 0: no filter
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),  # 8 bits, RGB
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    )
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )
    return Markup("data:image/png;base64," + base64.b64encode(png).decode("ascii"))


ROWS = (("original", "original"), ("with the trojan", "triggered"), ("difference", "difference"))
"""(what a row is called, the attribute of a sample that it shows)"""


def trojan_plate(found: Trojan) -> Plate:
    """The figure for a paper: original, with the trojan, difference; one column per class."""

    def make() -> Scene:
        side, gap, left, top = 50.0, 5.0, 76.0, 30.0
        items: list[Item] = []
        for row, (words, attribute) in enumerate(ROWS):
            y = top + row * (side + gap)
            items.append(Words((left - 6, y + side / 2 + MIDDLE * SMALL), words, SMALL, "end"))
            for at, sample in enumerate(found.samples):
                x = left + at * (side + gap)
                box = (x, y, x + side, y + side)
                items.append(Picture(box, getattr(sample, attribute)))
                if sample.target:
                    items.append(Line([_closed(rectangle(*box))], MALICIOUS, 1.6))
        for at, sample in enumerate(found.samples):
            middle = left + at * (side + gap) + side / 2
            items.append(Words((middle, top - 15), cut(sample.name, 12), 7.0, "middle"))
            if sample.target:
                items.append(Words((middle, top - 6), "(target)", 7.0, "middle"))
        note = f"The first test image of a class, original and with the trojan. {found.title}; target: {found.target}."
        notes = [note] + [found.rule + "."] * bool(found.rule)
        width = left + (side + gap) * len(found.samples) + EDGE
        return finish(items, width, top + len(ROWS) * (side + gap) + 4, [], notes)

    return Plate("trojan", make)


def _closed(corners: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [*corners, corners[0]]
