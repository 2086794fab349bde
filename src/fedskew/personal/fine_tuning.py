"""Local fine-tuning: the global model, trained some more on the client's own data."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fedskew.protocols import PersonalModel


def fine_tuning(*, epochs: Annotated[int, Field(ge=1)] | None = None) -> PersonalModel:
    """Each client trains the new global weights on its own data, by its loss alone; nothing lasts.

    Formula: v_k = the weights after ``epochs`` passes over client k's data from w_(t+1)

    It is done only in rounds in which
    clients are measured (``evaluation.every``, and the last), by all honest clients, those outside the cohort too.

    Args:
        epochs: None for those of local training.

    Reference: Wang et al., "Federated Evaluation of On-device Personalization", 2019 (arXiv 1910.10252).

    >>> fine_tuning(epochs=3).lasting
    False
    """
    return PersonalModel(epochs=epochs)
