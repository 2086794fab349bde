"""What the adversaries of a cohort send instead of what their training gave."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fedskew.components.returned import checked_crafted
from fedskew.federation.state import RunState, copied
from fedskew.federation.world import World
from fedskew.protocols import AdversaryView, ClientUpdates, keep_updates
from fedskew.seeding import stream

Simulate = Callable[[Tensor, Tensor], Tensor]
"""(all rows [S, P], n_k that are reported [S]) -> by how much the defence would move the global model, [P]."""


def craft(
    world: World,
    state: RunState,
    updates: ClientUpdates,
    acting: frozenset[int],
    simulate: Simulate,
) -> Tensor:
    """Lets the acting adversaries put their rows into the matrix of updates, and what they upload, in place.

    Args:
        updates: what the clients' training gave, with the true n_k; finite.
        simulate: the run's own defence, handed on only where the threat model knows it.

    Returns:
        int64 [S]: the n_k that the clients report.
    """
    attack, number = world.attack, state.round + 1
    deltas, ids, sizes = updates.deltas, updates.client_ids, updates.num_examples
    bad = torch.tensor([client in acting for client in ids.tolist()], dtype=torch.bool)
    if not bad.any() or attack.craft is keep_updates:
        return sizes
    own = deltas[bad]  # a copy, as ``others`` is: the server sees what the attack returns, nothing else
    uploads = {name: tensor[bad] for name, tensor in updates.uploads.items()}
    threat, malicious = attack.threat, world.population.spread.malicious
    sees_all = threat.sees == "all-updates"

    def trial(rows: Tensor, num_examples: Tensor | None = None) -> Tensor:
        everything, reported = deltas.clone(), sizes.clone()
        everything[bad] = rows.to(everything)
        if num_examples is not None:
            reported[bad] = num_examples.to(reported)
        return simulate(everything, reported)

    view = AdversaryView(
        round=number,
        global_weights=state.weights.clone(),
        layout=world.layout,
        client_ids=ids[bad],
        num_examples=sizes[bad],
        others=deltas[~bad] if sees_all else None,
        other_ids=ids[~bad] if sees_all else None,
        ranks=torch.tensor([malicious.index(int(k)) for k in ids[bad]], dtype=torch.int64),
        count=len(malicious),
        state=copied(state.rules["attack/0"]),
        simulate=trial if threat.knows_defence else None,
        uploads=copied(uploads),
    )
    result = attack.craft(own, view, stream(world.experiment.seed, "craft", number))
    crafted = checked_crafted(world.experiment.attack.label, result, own, uploads)
    deltas[bad] = crafted.deltas
    for name, tensor in (crafted.uploads or {}).items():
        updates.uploads[name][bad] = tensor
    if crafted.state is not None:
        state.rules["attack/0"] = crafted.state
    if crafted.num_examples is None:
        return sizes
    reported = sizes.clone()
    reported[bad] = crafted.num_examples.to(reported)
    return reported
