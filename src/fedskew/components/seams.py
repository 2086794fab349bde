"""The kinds of component and how each is called (docs/plugins.md)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Seam:
    """How components of a kind are called.

    Attributes:
        arguments: the positional arguments a component must take first, by name; the rest are its options.
        factory: the record of ``protocols`` that a component may return, as a factory of its options alone, instead
            of being the rule itself (for rules that keep state). Without arguments, it always is one.
        rng: what a component may draw from, for the hint where it has used something else.
        seeded: libraries whose global generator is seeded around the call, so that it may be used.
        shared: whether what is given is the run's own records, which others are given too; they are compared before
            and after the call. What the other kinds are given is a copy, or compared where it is given.
    """

    arguments: tuple[str, ...]
    factory: str | None = None
    rng: str = "a generator with a fixed seed, for example numpy.random.default_rng(0)"
    seeded: tuple[str, ...] = ()
    shared: bool = False


def _numpy(rng: str, name: str = "rng") -> str:
    """How to draw from a generator of NumPy, which no function of PyTorch takes."""
    return f"{rng}, a NumPy generator, for example `torch.from_numpy({name}.random(n))`"


_RNG = _numpy("the `rng` that it is given")
_TORCH = "PyTorch's global generator (in every forward pass, if in any), which is seeded for it"
_OWN = "a generator of its own, seeded for example from a count of steps that the client keeps"

SEAMS: dict[str, Seam] = {
    "dataset": Seam(("root",)),
    "split": Seam(("labels", "num_clients", "rng"), factory="ViewedSplit", rng=_RNG),
    "model": Seam(("info",), rng=_TORCH, seeded=("torch", "torch.cuda")),
    "trigger": Seam(("info",)),
    "attack": Seam(("info",), rng=_numpy("the `rng` that `poison` and `craft` are given")),
    "shift": Seam(("view", "rng"), rng=_RNG),
    "selection": Seam(("view", "rng"), rng=_RNG),
    "start": Seam(("view", "rng"), factory="StartWeights", rng=_RNG),
    "objective": Seam((), factory="LocalObjective", rng=_OWN),
    "personal": Seam((), factory="PersonalModel", rng=_OWN),
    "transform": Seam(("updates", "view", "rng"), factory="UpdateTransform", rng=_RNG),
    "aggregator": Seam(("updates", "view"), factory="Aggregator", rng=_numpy("`view.rng`", "view.rng")),
    "learning-rate": Seam(("updates", "lr")),
    "server-step": Seam(("delta",), factory="ServerStep"),
    "lr-schedule": Seam(("history",), shared=True),
    "stopping": Seam(("history",), shared=True),
    "metric": Seam(("evaluation",)),
    "client-metric": Seam(("evaluation",)),
    "observer": Seam((), factory="Observer"),
    "privacy-attack": Seam((), factory="PrivacyAttack", rng=_numpy("`view.rng`", "view.rng")),
    "callback": Seam(("run",)),
}
