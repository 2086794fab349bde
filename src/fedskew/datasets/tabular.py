"""A table and what its columns are for -> a data set of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedskew.datasets.own import described, divided, feature_statistics, held_for_test
from fedskew.datasets.table import Column, Table, features_of, is_number
from fedskew.errors import DataError
from fedskew.protocols import Dataset, DatasetInfo


@dataclass(frozen=True)
class Roles:
    """What the columns of a table are for; every other one is a feature.

    Attributes:
        labels: the column with the class of each row.
        groups, clients: the columns that say to which group, and to which client, each row belongs.
        features: the columns that are features; empty for all that have no other role.
        ignore: columns that are not read.
        categorical: columns of numbers that are taken as categories.
        ordinal: categorical columns that become the place of their value in the sorted order.
    """

    labels: str
    groups: str | None = None
    clients: str | None = None
    features: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    ordinal: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuses a column in two roles that exclude each other.

        Raises:
            DataError: names the column and both options.
        """
        named = self.named()
        excluded = [("ignore", other) for other in named if other != "ignore"]
        for one, other in [*excluded, ("labels", "features"), ("categorical", "ordinal")]:
            for column in named[one]:
                if column in named[other]:
                    raise DataError(
                        f"column {column!r} is named by the options `{one}` and `{other}`; expected one of them"
                    )

    def named(self) -> dict[str, Sequence[str]]:
        """Option -> the columns that it names."""
        single = {"labels": self.labels, "groups": self.groups, "clients": self.clients}
        lists = ("features", "ignore", "categorical", "ordinal")
        return {o: (name,) for o, name in single.items() if name is not None} | {
            o: getattr(self, o) for o in lists
        }

    def features_among(self, columns: Sequence[str]) -> list[str]:
        """The features, in the order of the columns."""
        other = {self.labels, self.groups, self.clients, *self.ignore}
        return [name for name in columns if (name in self.features if self.features else name not in other)]

    def used_among(self, columns: Sequence[str]) -> list[str]:
        """The columns that are read, in their order."""
        kept = {*self.features_among(columns), self.labels, self.groups, self.clients}
        return [name for name in columns if name in kept]


def tabular(name: str, path: str, table: Table, roles: Roles, test_fraction: float) -> Dataset:
    """A data set of numbers, with mean and standard deviation of each feature over the training rows.

    Args:
        test_fraction: of a table of one file; the second file, if there is one, is the test part.

    Raises:
        DataError: a role cannot be filled.
    """
    file = table.files[0]
    classes = table.columns[roles.labels]
    if len(classes.values) < 2:
        raise DataError(
            f"{file}: column {roles.labels!r} has one class only, {classes.values[0]!r}; at least two are needed"
        )
    _every_class_has_one_name(file, roles, classes)
    drawn = len(table.sizes) == 1
    is_test = (
        held_for_test(file, classes.codes, test_fraction) if drawn else np.repeat([False, True], table.sizes)
    )
    _every_class_is_trained_on(table, roles, classes, is_test)
    x, feature_names = features_of(
        table, roles.features_among(list(table.columns)), roles.categorical, roles.ordinal
    )
    mean, std = feature_statistics(x[~is_test])
    groups = None if roles.groups is None else table.columns[roles.groups]
    clients = None if roles.clients is None else table.columns[roles.clients]
    info = DatasetInfo(
        name=name,
        class_names=classes.values,
        image_shape=(len(feature_names), 1, 1),
        mean=mean,
        std=std,
        provenance=tuple(described(p.name if i else path, [p]) for i, p in enumerate(table.files)),
        group_names=() if groups is None else groups.values,
        client_names=() if clients is None else clients.values,
        values="numbers",
        feature_names=feature_names,
    )
    belongs = {
        what: column.codes
        for what, column in (("groups", groups), ("clients", clients))
        if column is not None
    }
    return divided(info, is_test, drawn=drawn, x=x[:, :, None, None], y=classes.codes, **belongs)


def _every_class_has_one_name(file: Path, roles: Roles, classes: Column) -> None:
    """Labels are compared as text, in which one number may be written as ``1`` and as ``1.0``."""
    written: dict[float, str] = {}
    for name in filter(is_number, classes.values):
        other = written.setdefault(float(name), name)
        if other != name:
            raise DataError(
                f"{file}: column {roles.labels!r} has the labels {other!r} and {name!r}, which are the same number; "
                "expected one way to write each class"
            )


def _every_class_is_trained_on(table: Table, roles: Roles, classes: Column, is_test: np.ndarray) -> None:
    trained = np.bincount(classes.codes[~is_test], minlength=len(classes.values))
    if (trained == 0).any():
        name = classes.values[int(np.flatnonzero(trained == 0)[0])]
        raise DataError(
            f"{table.files[-1]}: the class {name!r} of column {roles.labels!r} is in no training row",
            "leave out its rows, or add some to the training part",
        )
