"""What an experiment is, how it is written in TOML, and how a run is done. No torch is imported here."""

from fedskew.config.component import Component, Record, to_plain
from fedskew.config.execution import (
    ClientStatePlace,
    EngineName,
    Execution,
    available_cores,
    default_jobs,
    default_workers,
)
from fedskew.config.experiment import (
    SGD,
    Adam,
    Adversaries,
    Clients,
    Data,
    Defence,
    Evaluation,
    Experiment,
    LastBatch,
    Optimizer,
    Precision,
    Privacy,
    Server,
    Training,
)
from fedskew.config.planted import Property

__all__ = [
    "SGD",
    "Adam",
    "Adversaries",
    "ClientStatePlace",
    "Clients",
    "Component",
    "Data",
    "Defence",
    "EngineName",
    "Evaluation",
    "Execution",
    "Experiment",
    "LastBatch",
    "Optimizer",
    "Precision",
    "Privacy",
    "Property",
    "Record",
    "Server",
    "Training",
    "available_cores",
    "default_jobs",
    "default_workers",
    "to_plain",
]
