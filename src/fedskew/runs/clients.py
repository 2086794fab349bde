"""Who holds what in a run, as its folder says it without the data (``clients.json``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedskew.evaluation.clients import MOST_CLIENTS
from fedskew.federation.poisoning import Poisoning, only_poisons

if TYPE_CHECKING:
    from fedskew.federation.world import World


@dataclass(frozen=True)
class ClientsSummary:
    """What a report says of the clients.

    Attributes:
        class_names: in label order; C of them.
        clients: K, how many there are.
        malicious: the ids of the adversaries.
        held_out: images in the validation split.
        label_counts: [K][C], true labels before anything was poisoned; None for more than 1,000 clients.
        poisoning: what was done to the images of each adversary, in the order of ``malicious``; empty where the attack
            poisons no data; None in folders that do not say it.
        only_poisons: whether poisoning is all that the attack does (``federation.poisoning``); None in folders that do
            not say it, and where the attack poisons no data.
        shared: images that several clients hold; in ``label_counts`` each of them counts them.
        names: of the clients; empty where they have none, and for more than 1,000.
        shift: of each honest client whose data is shifted: its number as ``client``, how many of its training images
            are ``altered`` and ``relabelled``, and what was drawn for it; empty where nothing is, and for more than
            1,000 clients.
    """

    class_names: tuple[str, ...]
    clients: int
    malicious: tuple[int, ...]
    held_out: int
    label_counts: list[list[int]] | None = None
    poisoning: tuple[Poisoning, ...] | None = None
    only_poisons: bool | None = None
    shared: int = 0
    names: tuple[str, ...] = ()
    shift: tuple[dict[str, float], ...] = ()

    @staticmethod
    def of(world: World) -> ClientsSummary:
        """The summary of a run's clients."""
        where, info = world.population.spread, world.dataset.info
        table = len(where.shards) <= MOST_CLIENTS
        return ClientsSummary(
            tuple(info.class_names),
            len(where.shards),
            tuple(where.malicious),
            len(where.validation),
            where.counts(world.dataset.y_train.numpy(), info.num_classes).tolist() if table else None,
            world.population.poisoning,
            only_poisons(world.attack) if world.population.poisoning else None,
            len(where.shared),
            where.names if table else (),
            tuple(
                {"client": client, "altered": one.altered, "relabelled": one.relabelled, **one.values}
                for client, one in world.population.shifted.items()
                if table
            ),
        )

    @staticmethod
    def from_json(value: Any) -> ClientsSummary:
        """The summary that the file's content describes.

        Raises:
            KeyError, TypeError, ValueError: it describes none.
        """
        counts, poisoning = value.get("label_counts"), value.get("poisoning")
        if poisoning and len(poisoning) != len(value["malicious"]):
            raise ValueError(
                f"poisoning has {len(poisoning)} entries for {len(value['malicious'])} adversaries"
            )
        clients, malicious = int(value["clients"]), tuple(map(int, value["malicious"]))
        if strange := [client for client in malicious if not 0 <= client < clients]:
            raise ValueError(f"malicious names the client {strange[0]}; there are 0 to {clients - 1}")
        alone = value.get("only_poisons")
        if alone is not None and not isinstance(alone, bool):
            raise ValueError(f"only_poisons is {alone!r}; expected true or false")
        return ClientsSummary(
            tuple(map(str, value["class_names"])),
            clients,
            malicious,
            int(value["held_out"]),
            counts and [[int(number) for number in row] for row in counts],
            None if poisoning is None else tuple(map(Poisoning.from_json, poisoning)),
            alone,
            int(value.get("shared", 0)),
            tuple(map(str, value.get("names", ()))),
            tuple({str(name): float(one[name]) for name in one} for one in value.get("shift", ())),
        )

    def to_json(self) -> dict[str, Any]:
        """The file's content."""
        plain: dict[str, Any] = {
            "class_names": list(self.class_names),
            "clients": self.clients,
            "malicious": list(self.malicious),
            "held_out": self.held_out,
        }
        if self.poisoning is not None:
            plain["poisoning"] = [one.to_json() for one in self.poisoning]
        if self.only_poisons is not None:
            plain["only_poisons"] = self.only_poisons
        if self.shared:
            plain["shared"] = self.shared
        if self.names:
            plain["names"] = list(self.names)
        if self.shift:
            plain["shift"] = list(self.shift)
        return plain if self.label_counts is None else plain | {"label_counts": self.label_counts}

    def images(self, client: int) -> int | None:
        """How many images a client trains on; None if nothing says it."""
        if self.poisoning and client in self.malicious:
            return self.poisoning[self.malicious.index(client)].images
        counts = self.label_counts or []
        return sum(counts[client]) if client < len(counts) else None
