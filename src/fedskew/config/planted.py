"""A property of images that is planted in the data of some clients, for attacks that look for it. No torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fedskew.config.component import Record
from fedskew.rounding import whole


class Property(Record):
    """A property that is independent of the labels, planted in the training data of some honest clients.

    It changes the run, unlike everything else in ``[privacy]``: its holders train on altered copies of some of their
    images, in every round. Labels stay as they are; so do the images of adversaries and those that are held out.

    Attributes:
        name: ``"inverted"``: a grey value v becomes 255 - v; ``"rotated"``: the image is turned left by 90 degrees.
        share: of a holder's training images that have the property, rounded down to whole images. Which they are is
            drawn by seed; a larger share adds to them.
        clients: the share of the honest clients with data that are holders, rounded down to whole clients, likewise.
    """

    name: Literal["inverted", "rotated"]
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    clients: Annotated[float, Field(gt=0, lt=1)] = 0.5

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    def holders(self, clients: int) -> int:
        """How many of so many clients hold it."""
        return whole(self.clients * clients)

    def altered(self, images: int) -> int:
        """How many of a holder's images have it."""
        return whole(self.share * images)
