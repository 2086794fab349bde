"""What the adversaries of a cohort send instead of what their training gave."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fedskew.components.returned import checked_crafted
from fedskew.federation.world import RunState, World
from fedskew.protocols import AdversaryView, keep_updates
from fedskew.seeding import stream

Simulate = Callable[[Tensor], Tensor]
"""(all rows [S, P]) -> by how much the defence would move the global model, [P]."""


def craft(
    world: World,
    state: RunState,
    deltas: Tensor,
    ids: Tensor,
    sizes: Tensor,
    acting: frozenset[int],
    simulate: Simulate,
) -> Tensor:
    """Lets the acting adversaries put their rows into the matrix of updates, in place.

    Args:
        deltas: float32 [S, P].
        ids, sizes: int64 [S]: of the rows; the true n_k.
        simulate: the run's own defence, passed on only if the threat model knows it.

    Returns:
        int64 [S]: the n_k that the clients report.
    """
    attack, number = world.attack, state.round + 1
    bad = torch.tensor([int(k) in acting for k in ids], dtype=torch.bool)
    if not bad.any() or attack.craft is keep_updates:
        return sizes
    own = deltas[bad]  # a copy, as ``others`` is: the server sees what the attack returns, nothing else
    threat, malicious = attack.threat, world.population.spread.malicious

    def trial(rows: Tensor) -> Tensor:
        everything = deltas.clone()
        everything[bad] = rows.to(everything)
        return simulate(everything)

    view = AdversaryView(
        round=number,
        global_weights=state.weights.clone(),
        layout=world.layout,
        client_ids=ids[bad],
        num_examples=sizes[bad].to(deltas.device),
        others=deltas[~bad] if threat.sees == "all-updates" else None,
        ranks=torch.tensor([malicious.index(int(k)) for k in ids[bad]], dtype=torch.int64),
        count=len(malicious),
        state=dict(state.rules["attack/0"]),
        simulate=trial if threat.knows_defence else None,
    )
    result = attack.craft(own, view, stream(world.experiment.seed, "craft", number))
    crafted = checked_crafted(world.experiment.attack.label, result, own)
    deltas[bad] = crafted.deltas
    if crafted.state is not None:
        state.rules["attack/0"] = crafted.state
    if crafted.num_examples is None:
        return sizes
    reported = sizes.clone()
    reported[bad] = crafted.num_examples.to(reported)
    return reported
