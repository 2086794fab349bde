"""What an experiment is: frozen records that refuse unknown fields. No torch is imported here.

An experiment's records hold everything that determines its result and nothing else: where data lies, the
device and the number of jobs are not part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from fedskew.config.component import Component, Named, Record
from fedskew.config.planted import Property


class Data(Component):
    """The data set, and how much of its training set is held out before the rest is divided among the clients.

    Attributes:
        validation: images held out for a validation split: a count, or a fraction below 1; 0 for none.
        verify: whether file contents must have the official checksum.
    """

    name: str | Callable[..., Any] = "digits"
    validation: Annotated[float, Field(ge=0)] = 0
    verify: bool = True

    if TYPE_CHECKING:  # as for every component

        def __init__(
            self,
            *,
            name: str | Callable[..., Any] = ...,
            validation: float = ...,
            verify: bool = ...,
            **options: Any,
        ) -> None: ...

    @field_validator("validation")
    @classmethod
    def _whole_count(cls, value: float) -> float:
        if value >= 1 and not value.is_integer():
            raise ValueError("must be a fraction below 1 or a whole number of samples")
        return value


class Clients(Record):
    """Who takes part.

    Attributes:
        count: K, all clients, adversaries included.
        fraction: the share of them that takes part in each round (at least one).
        selection: which clients these are.
        start: from which weights they start; the global ones unless said otherwise.
        personal: what each honest client makes of the global model for itself; needs ``held_out`` to be measured.
        held_out: the share of each client's own data, class by class, that is set aside after the split: never
            trained on, only for measuring the global model on this client's data.
        shift: how the data of each honest client differs from what the data set has, in features or labels.
    """

    count: Annotated[int, Field(ge=1)] = 10
    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    selection: Component = Component(name="uniform")
    start: Component = Component(name="global")
    personal: Component = Component(name="none")
    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.0
    shift: Component = Component(name="none")

    @property
    def per_round(self) -> int:
        """How many clients a round has."""
        return max(1, round(self.fraction * self.count))


class Adversaries(Record):
    """How many clients are malicious and which data they hold (paper, section III-B; what it leaves open: docs).

    Attributes:
        count: m, the number of malicious clients; 0 for a clean run. Which clients they are is drawn by seed.
        data: ``"share"``: what the split gives them; ``"sample"``: a uniform sample of the training set each.
        size, fraction: of that sample, absolute (the paper's text: 1,000) or as a share of the training set
            (the authors' code: 0.1); one of the two, with ``data = "sample"``.
        exclusive: whether the sampled images are taken away from the honest clients (the authors' code).
        split_over: with ``"sample"``, whether the split is made over the ``"honest"`` clients only (the
            authors' code), or over ``"all"`` as in a clean run, the adversaries' own shares then being unused.
        start, stop, every: they act in rounds start, start + every, ... up to and including stop (None: to the
            end); in all other rounds they are honest, with their data as it was before it was poisoned.
    """

    count: Annotated[int, Field(ge=0)] = 0
    data: Literal["share", "sample"] = "share"
    size: Annotated[int, Field(ge=1)] | None = None
    fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    exclusive: bool = True
    split_over: Literal["honest", "all"] = "honest"
    start: Annotated[int, Field(ge=1)] = 1
    stop: Annotated[int, Field(ge=1)] | None = None
    every: Annotated[int, Field(ge=1)] = 1

    def act_in(self, round_number: int) -> bool:
        """Whether they act in a round (1-based); never without adversaries."""
        late = self.stop is not None and round_number > self.stop
        return not late and round_number >= self.start and (round_number - self.start) % self.every == 0

    @model_validator(mode="after")
    def _one_size(self) -> Adversaries:
        given = [name for name in ("size", "fraction") if getattr(self, name) is not None]
        if self.data == "sample" and len(given) != 1:
            raise ValueError('data = "sample" needs either size or fraction, and not both')
        if self.data == "share" and given:
            raise ValueError(f'{given[0]} has no meaning with data = "share"')
        return self


class Adam(Record):
    """Adam (Kingma & Ba 2014), torch.optim.Adam's settings and defaults.

    Attributes:
        state: whether a client's moments start ``"fresh"`` in each round or ``"persist"`` over rounds (the authors'
            code).
        decoupled_weight_decay: AdamW's weight decay instead of the L2 penalty.
    """

    name: Literal["adam"] = "adam"
    lr: Annotated[float, Field(gt=0)] = 1e-3
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    eps: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    amsgrad: bool = False
    decoupled_weight_decay: bool = False
    state: Literal["persist", "fresh"] = "fresh"


class SGD(Record):
    """Stochastic gradient descent, torch.optim.SGD's settings; ``state`` as for Adam."""

    name: Literal["sgd"] = "sgd"
    lr: Annotated[float, Field(gt=0)] = 0.01
    momentum: Annotated[float, Field(ge=0)] = 0.0
    dampening: float = 0.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    nesterov: bool = False
    state: Literal["persist", "fresh"] = "fresh"

    @model_validator(mode="after")
    def _nesterov(self) -> SGD:
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError("nesterov needs momentum > 0 and dampening = 0")
        return self


Optimizer = Annotated[Adam | SGD, Field(discriminator="name")]


Precision = Literal["float32", "tf32", "bfloat16"]
LastBatch = Literal["keep", "merge", "drop"]


class Training(Record):
    """A client's work in a round: epochs over its shard, reshuffled each time and cut into batches.

    Attributes:
        last_batch: what becomes of the last batch of an epoch if it is short: a step of its own (``"keep"``), a part
            of the batch before it (``"merge"``), or left out of this epoch (``"drop"``). Where it is the only batch,
            all three keep it.
        objective: what clients minimise in addition to their loss.
        lr_schedule: scales the clients' learning rate from round to round, given the history.
        precision: of the products in forward and backward pass (``fedskew.training.precision``).
    """

    epochs: Annotated[int, Field(ge=1)] = 2
    batch_size: Annotated[int, Field(ge=1)] = 256
    last_batch: LastBatch = "keep"
    optimizer: Optimizer = Adam()
    objective: Component = Component(name="none")
    lr_schedule: Component = Component(name="constant")
    precision: Precision = "float32"

    @field_validator("optimizer", mode="before")
    @classmethod
    def _optimizer_from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class Defence(Record):
    """What is done with the updates: transforms, an aggregator, a learning-rate rule (docs/design.md).

    Attributes:
        local_transforms: how many of the transforms, from the first on, the clients do before they send. The model is
            the one of a server that does them, but nobody sees what was there before, nor does a learning-rate rule.
    """

    transforms: tuple[Component, ...] = ()
    local_transforms: Annotated[int, Field(ge=0)] = 0
    aggregator: Component = Component(name="fedavg")
    learning_rate: Component = Component(name="constant")


class Server(Record):
    """The server's own step: w + learning_rate * step(g(updates)), the paper's eta.

    Attributes:
        step: an optimiser on the server (FedAvgM, FedAdam, ...) that takes the aggregated delta as its direction.
        secure_aggregation: whether the server learns only sums over the clients of a round. Nothing is encrypted, and
            no number changes but where a single update arrives, which is not taken. What would need more than sums is
            refused (docs/privacy-attacks.md).
    """

    learning_rate: Annotated[float, Field(gt=0)] = 1.0
    step: Component = Component(name="plain")
    secure_aggregation: bool = False


class Evaluation(Record):
    """What is measured in addition to the standard metrics.

    Attributes:
        metrics: of the global model on the test images.
        client_metrics: of the global model on the clients' own held-out data (``clients.held_out``).
        every: the client metrics are measured in every n-th round and in the last.
        observers: what observers of the run record, each from its seat.
    """

    metrics: tuple[Component, ...] = ()
    client_metrics: tuple[Component, ...] = ()
    every: Annotated[int, Field(ge=1)] = 1
    observers: tuple[Component, ...] = ()


class Privacy(Record):
    """What privacy attacks try to find out; they change nothing, a planted property does (docs/privacy-attacks.md).

    Attributes:
        attacks: each with a seat from which it sees the run.
        records: of each honest client, how many images that it trained on the attacks are asked about at most, and as
            many of the same classes that it did not train on (``clients.held_out``).
        every: attacks look at every n-th round and at the last.
        property: what some honest clients' images have in common, for attacks that look for it; none by default.
    """

    attacks: tuple[Component, ...] = ()
    records: Annotated[int, Field(ge=1)] = 200
    every: Annotated[int, Field(ge=1)] = 5
    property: Property | None = None


class Experiment(Record):
    """One run of the protocol; a pure function of these fields.

    Attributes:
        seed: of every random draw; the split and the initial weights of a seed are the same with and without
            attack or defence wherever the adversaries' data allows it.
        split_seed: instead of ``seed``, for who holds what: validation split, partition, who is malicious and their
            sample. One split for several seeds shows how much of the variation between runs comes from the split.
        rounds: the most rounds there will be, whatever ``stopping`` says.

    >>> experiment = Experiment(split={"name": "dirichlet", "alpha": 0.5}, defence={"aggregator": "median"}, seed=3)
    >>> experiment.split.options["alpha"], experiment.clients.count
    (0.5, 10)
    """

    seed: Annotated[int, Field(ge=0)] = 0
    split_seed: Annotated[int, Field(ge=0)] | None = None
    rounds: Annotated[int, Field(ge=1)] = 200
    data: Data = Data()
    split: Component = Component(name="iid")
    clients: Clients = Clients()
    adversaries: Adversaries = Adversaries()
    attack: Component = Component(name="none")
    model: Component = Component(name="mlp")
    training: Training = Training()
    defence: Defence = Defence()
    server: Server = Server()
    stopping: Component = Component(name="rounds")
    evaluation: Evaluation = Evaluation()
    privacy: Privacy = Privacy()

    if TYPE_CHECKING:  # a record is made of a table, a component of a name too

        def __init__(
            self,
            *,
            seed: int = ...,
            split_seed: int | None = ...,
            rounds: int = ...,
            data: Data | str | Callable[..., Any] | Mapping[str, Any] = ...,
            split: Named = ...,
            clients: Clients | Mapping[str, Any] = ...,
            adversaries: Adversaries | Mapping[str, Any] = ...,
            attack: Named = ...,
            model: Named = ...,
            training: Training | Mapping[str, Any] = ...,
            defence: Defence | Mapping[str, Any] = ...,
            server: Server | Mapping[str, Any] = ...,
            stopping: Named = ...,
            evaluation: Evaluation | Mapping[str, Any] = ...,
            privacy: Privacy | Mapping[str, Any] = ...,
        ) -> None: ...

    @model_validator(mode="after")
    def _someone_is_honest(self) -> Experiment:
        if self.adversaries.count >= self.clients.count:
            raise ValueError(
                f"adversaries.count = {self.adversaries.count} leaves no honest client among "
                f"clients.count = {self.clients.count}"
            )
        return self
