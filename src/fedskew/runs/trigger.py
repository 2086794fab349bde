"""What a run's trigger does to test images, as its folder says it without the data or any code (``trigger.json``)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from fedskew.federation.world import World

MOST_EXAMPLES = 10
"""Of the classes of one data set."""
MOST_PIXELS = 96
"""Of the longer side of an image; of a longer one every n-th pixel is kept."""
MOST_BYTES = 2_000_000
"""Of the file: 20 images of three channels take 0.8 MB."""

Image = npt.NDArray[np.uint8]
"""[channels, height, width], before normalisation"""


@dataclass(frozen=True)
class TriggerExample:
    """The first test image of a class.

    Attributes:
        name: of the class.
        source: whether the attack starts from this class.
        target: whether it is the attack's target.
    """

    name: str
    source: bool
    target: bool
    before: Image
    after: Image


@dataclass(frozen=True)
class TriggerExamples:
    """Test images as they are and with the trigger.

    Attributes:
        dataset, target: the names of the data set and of the attack's target class.
        classes: how many the data set has.
        every: n, where every n-th pixel of a line is kept.
    """

    dataset: str
    target: str
    classes: int
    every: int
    examples: tuple[TriggerExample, ...]

    @staticmethod
    def of(world: World) -> TriggerExamples | None:
        """The examples of a run; None if its attack has no trigger or no target, or there are no images to show."""
        attack, data, triggered = world.attack, world.dataset, world.triggered_images
        if triggered is None or attack.target is None or data.info.values != "pixels":
            return None
        return examples_of(
            data.info.name,
            data.info.class_names,
            data.y_test.cpu().numpy(),
            lambda at: (data.x_test[at].cpu().numpy(), triggered[at].cpu().numpy()),
            attack.target,
            attack.source_classes,
        )

    @staticmethod
    def from_json(value: Any) -> TriggerExamples:
        """The examples that the file's content describes.

        Raises:
            KeyError, TypeError, ValueError: it describes none.
        """
        examples = tuple(_example(one) for one in value["examples"][:MOST_EXAMPLES])
        return TriggerExamples(
            str(value["dataset"]),
            str(value["target"]),
            int(value["classes"]),
            int(value["every"]),
            examples,
        )

    def to_json(self) -> dict[str, Any]:
        """The file's content; an image is its shape and its bytes in base64."""
        return {
            "dataset": self.dataset,
            "target": self.target,
            "classes": self.classes,
            "every": self.every,
            "examples": [
                {
                    "class": one.name,
                    "source": one.source,
                    "target": one.target,
                    "shape": list(one.before.shape),
                    "before": base64.b64encode(one.before.tobytes()).decode("ascii"),
                    "after": base64.b64encode(one.after.tobytes()).decode("ascii"),
                }
                for one in self.examples
            ],
        }


def examples_of(
    dataset: str,
    names: Sequence[str],
    labels: npt.NDArray[np.int64],
    images: Any,
    target: int,
    sources: tuple[int, ...] | None,
) -> TriggerExamples:
    """The first test image of each class; of more than ``MOST_EXAMPLES`` classes the target and some that the attack
    starts from, evenly spaced. Classes without test images are left out.

    Args:
        images: index of a test image -> (image, image with the trigger), uint8 [channels, height, width] each.
        sources: the classes that the attack starts from; None for all.
    """
    found, first = np.unique(labels, return_index=True)
    where = dict(zip(found.tolist(), first.tolist(), strict=True))
    chosen = list(where)
    if len(chosen) > MOST_EXAMPLES:
        others = [one for one in chosen if one != target and (sources is None or one in sources)]
        places = np.linspace(0, len(others) - 1, min(MOST_EXAMPLES - 1, len(others))).round().astype(int)
        chosen = sorted({target} & where.keys() | {others[place] for place in places})
    examples, every = [], 1
    for number in chosen:
        before, after = images(where[number])
        every = -(-max(before.shape[1:]) // MOST_PIXELS)
        kept = [np.ascontiguousarray(one[:3, ::every, ::every]) for one in (before, after)]
        source = sources is None or number in sources
        examples.append(TriggerExample(names[number], source, number == target, kept[0], kept[1]))
    return TriggerExamples(dataset, names[target], len(names), every, tuple(examples))


def _example(value: Any) -> TriggerExample:
    shape = tuple(map(int, value["shape"]))
    if len(shape) != 3 or not 1 <= shape[0] <= 3 or not all(1 <= side <= MOST_PIXELS for side in shape[1:]):
        raise ValueError(f"an image of the shape {shape}")
    images = [
        np.frombuffer(base64.b64decode(value[key], validate=True), dtype=np.uint8).reshape(shape)
        for key in ("before", "after")
    ]
    return TriggerExample(str(value["class"]), bool(value["source"]), bool(value["target"]), *images)
