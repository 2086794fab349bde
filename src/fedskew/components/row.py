"""The row of a built-in component: where its code is, what it does, its options, its facts.

Rows are plain data next to the components of their package (``fedskew.attacks.rows`` and so on), so that names, options
and facts can be listed and checked without importing PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a list of rows needs no NumPy
    from pathlib import Path

    from fedskew.protocols import Values


class Required:
    """Marks an option without a default."""

    def __repr__(self) -> str:
        return "required"


REQUIRED = Required()

ON_CLIENTS = ("transform", "aggregator", "learning-rate", "selection", "objective")
"""The kinds of component with which a server makes use of what clients send: what ``Facts.sums`` is about."""
SECURE = "server.secure_aggregation = true"
"""Under which they may need no more than sums."""

ANY_VALUES: tuple[Values, ...] = ("pixels", "numbers", "tokens")
"""What samples may be made of, as in ``protocols``."""


def always(options: Mapping[str, Any]) -> bool:
    """Of a fact that depends on options: yes with any of them."""
    return True


@dataclass(frozen=True)
class Facts:
    """What is known of a component without running it. The defaults are what is assumed of one that states nothing.

    Attributes:
        factory: whether it is a factory of its options that returns a record of ``protocols`` (an ``Aggregator``, an
            ``UpdateTransform``, ...) rather than the rule itself.
        defends: whether it acts against adversaries; for components that work on updates at the server.
        always_acts: whether it changes the result in every round, so that no record of it is needed.
        never_stops: whether it is a stopping rule that never stops before the limit of rounds.
        harmless: whether it is an attack or a shift that changes nothing, or gives clients no personal model.
        relabels: whether it is an attack that acts by giving images another label, so that it does nothing where they
            have this label anyway.
        monitors: options whose value names a loss that it looks at.
        looks_at: losses that it looks at with any options, for example ``("test_loss",)``.
        lacking: of an attack, (options, clients of a round, adversaries of the run, clients of the run) -> why it
            cannot work or does nothing there, as the end of a sentence; "" where it can. Asked only where there are
            adversaries. Of an attack around another one, ``threat_model`` of the options is what its adversaries know.
        wraps: of an attack, the option that holds another one, whose adversaries it lets train or send otherwise. What
            that one poisons, and what evaluation looks for, stays as it is; and it acts even if that one does not.
        norm_bound: of a transform or an aggregator, the option with the L2 norm to which it clips what it gets.
        components: options that hold another component -> the kind of that component.
        idle: options that do nothing while no client is malicious.
        clients: (options) -> the fewest updates that it can work on; None for one.
        clients_why: why, as the end of a sentence.
        most: (options) -> the most updates that it can work on; None for any number.
        most_why: why, as the end of a sentence.
        leaves_out: whether it is a split that may give an image to no client.
        shares: whether it is a split that may give an image to every client, or to none. One that states neither gives
            each image to exactly one client.
        own_tests: of a split, (options) -> whether it may give clients test images of their own, on which they are
            measured; None for no.
        files: options that name a file which determines the run, so that its checksum is kept; a folder too, if
            there is ``reads``.
        reads: of a data set, (folder) -> the files that it reads of a folder that such an option names.
        at_root: of a data set, (data root, options) -> the files below this folder that it reads, where their content
            is not known in advance, so that their checksums are kept.
        pool: of a selection, the option that says from how many clients it chooses a cohort.
        private: whether it is an aggregator that states how much privacy it gives clients. It counts what it releases
            itself, so with it there may be nothing else that makes use of what clients send.
        server_data: of an aggregator, the option with the number of training images that the server sets aside for it;
            for the catalogue, like the next one.
        threat_model: of an attack without an option of this name that is not wrapped around another, what its
            adversaries see.
        blind: whether it is a learning-rate rule, a selection or an objective with which the server makes no use of
            what clients send, updates, losses or uploads.
        rows: of a transform, (updates, options) -> how many updates it leaves; None for all of them.
        merges: of a transform, (options) -> whether it makes one update of several clients, which has none of what a
            single one reports; None for no.
        each_client: of a transform or an aggregator, what it needs that single clients report, in words.
        steps: of a transform or an aggregator, whether it needs the number of steps that each client took.
        unsuited: of a transform, (options, ``training.optimizer``) -> why it is wrong for updates of clients that train
            so, as the end of a sentence; "" where it is not.
        needs: fields of an experiment -> the name of the component, or the value, that must be there, where one method
            has several parts.
        on_uploads: whether it is an attack on what clients upload for the objective, which must then upload something.
        on_training: of an attack around another one, (options) -> whether it changes how the adversaries train, who
            must then send something of it; None for no.
        untrained: of an attack, (options) -> whether its adversaries send nothing of their own training, but rows that
            are made of other clients' updates or of nothing; None for no.
        adapts: of an attack around another one, (options, the norm to which the defence clips or None) -> whether its
            adversaries make use of what they know of the defence; None for no.
        sums: of what works on what clients send, (options) -> whether all that the server needs are sums over the
            clients of a round, to each of which a client adds what it can compute from what it has itself, what the
            server has sent and the sums before; None for no. Only then it works under secure aggregation.
        planted: whether it is a privacy attack that looks for the planted property, which must then be there.
        values: of a data set, what its samples may be made of (``DatasetInfo.values``); of anything else, with which of
            these it works.
    """

    factory: bool = False
    defends: bool = True
    always_acts: bool = False
    never_stops: bool = False
    harmless: bool = False
    relabels: bool = False
    monitors: tuple[str, ...] = ("monitor",)
    looks_at: tuple[str, ...] = ()
    lacking: Callable[[Mapping[str, Any], int, int, int], str] | None = None
    wraps: str | None = None
    norm_bound: str | None = None
    components: Mapping[str, str] = field(default_factory=dict)
    idle: tuple[str, ...] = ()
    clients: Callable[[Mapping[str, Any]], float] | None = None
    clients_why: str = ""
    most: Callable[[Mapping[str, Any]], float] | None = None
    most_why: str = ""
    leaves_out: bool = False
    shares: bool = False
    own_tests: Callable[[Mapping[str, Any]], bool] | None = None
    files: tuple[str, ...] = ("path",)
    reads: Callable[[Path], Iterable[Path]] | None = None
    at_root: Callable[[Path, Mapping[str, Any]], Iterable[Path]] | None = None
    pool: str | None = None
    private: bool = False
    server_data: str | None = None
    threat_model: str = "own-updates"
    blind: bool = False
    rows: Callable[[int, Mapping[str, Any]], int] | None = None
    merges: Callable[[Mapping[str, Any]], bool] | None = None
    each_client: str = ""
    steps: bool = False
    unsuited: Callable[[Mapping[str, Any], Any], str] | None = None
    needs: Mapping[str, str | float] = field(default_factory=dict)
    on_uploads: bool = False
    on_training: Callable[[Mapping[str, Any]], bool] | None = None
    untrained: Callable[[Mapping[str, Any]], bool] | None = None
    adapts: Callable[[Mapping[str, Any], float | None], bool] | None = None
    sums: Callable[[Mapping[str, Any]], bool] | None = None
    planted: bool = False
    values: tuple[Values, ...] = ANY_VALUES


@dataclass(frozen=True)
class Row:
    """One component.

    Attributes:
        target: ``"package.module:function"``, imported when first used.
        summary: one line for ``fedskew list``.
        options: name -> default, or REQUIRED.
    """

    target: str
    summary: str
    options: Mapping[str, Any] = field(default_factory=dict)
    facts: Facts = Facts()
