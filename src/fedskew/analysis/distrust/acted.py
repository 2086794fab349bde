"""Reasons to distrust: an attack that cannot have acted, which says nothing of attack or defence. It has not failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fedskew.analysis.distrust.reasons import Finished, Reason, Severity, names, placed
from fedskew.components.known import facts_of, is_attacked
from fedskew.federation.poisoning import nothing_taught
from fedskew.wording import count

NEVER, NO_DATA, NOTHING = "attack-never-ran", "adversaries-without-data", "attack-poisons-nothing"
_WHOLLY = {
    NEVER: "the attack never ran in {runs}, so it has neither failed nor been stopped there",
    NO_DATA: "the adversaries held no data in {runs}, so the attack never ran there and has not failed",
    NOTHING: "the attack poisoned nothing that a model could learn from in {runs}, so it has not failed there",
}
_PARTLY = {
    NO_DATA: "some adversaries held no data in {runs}, so that there were fewer than the config says",
    NOTHING: "some adversaries poisoned nothing that a model could learn from in {runs}",
}


def idle(run: Finished) -> tuple[str, str] | None:
    """(code, why) where the attack of a run cannot have acted; None where it may have, or where no record says it."""
    held, adversaries = run.clients, run.experiment.adversaries
    if held is None or not held.malicious or not run.records or not is_attacked(run.experiment):
        return None
    rounds = [record for record in run.records if adversaries.act_in(record.round)]
    if not rounds:
        return (
            NEVER,
            f"the adversaries were not to act in any of the {count(len(run.records), 'round')} that were run",
        )
    who = set(held.malicious)
    if not any(who.intersection(record.cohort) for record in rounds):
        return NEVER, (
            f"no adversary ({len(who)} of {held.clients} clients) was in a cohort in the "
            f"{count(len(rounds), 'round')} in which they were to act"
        )
    sent = [who.intersection(record.cohort).difference(record.empty) for record in rounds]
    if not any(sent):
        return NO_DATA, "no adversary that was in a cohort held an image"
    arrived = {k for record, ids in zip(rounds, sent, strict=True) for k in ids if k not in record.rejected}
    if not arrived:
        return NEVER, "no update of an adversary was finite, so that each was rejected"
    if not held.only_poisons:
        return None  # its updates may be harmful whatever the images are, or nothing says that they are not
    relabels = facts_of("attack", run.experiment.attack).relabels
    done = zip(held.malicious, held.poisoning or (), strict=False)
    why = nothing_taught([one for k, one in done if k in arrived], relabels)
    return (NOTHING, why) if why else None


def _partly(run: Finished) -> Iterator[tuple[str, str]]:
    """(code, how many) where some adversaries cannot have acted."""
    held = run.clients
    if held is None or not is_attacked(run.experiment):
        return
    empty = sum(held.images(k) == 0 for k in held.malicious)
    if empty:
        yield NO_DATA, f"{empty} of {len(held.malicious)}"
    relabels = facts_of("attack", run.experiment.attack).relabels
    nothing = sum(bool(nothing_taught([one], relabels)) for one in held.poisoning or ())
    if nothing:
        more = ", by an attack that does not poison alone" if held.only_poisons is False else ""
        yield NOTHING, f"{nothing} of {len(held.malicious)}{more}"


def idle_reasons(runs: Sequence[Finished]) -> Iterator[Reason]:
    """Attacks that cannot have acted at all, and those in which some of the adversaries cannot have."""
    wholly: dict[str, list[tuple[Finished, str]]] = {}
    partly: dict[str, list[tuple[Finished, str]]] = {}
    for run in {run.name: run for run in runs}.values():
        if found := idle(run):
            wholly.setdefault(found[0], []).append((run, found[1]))
        else:
            for code, why in _partly(run):
                partly.setdefault(code, []).append((run, why))
    grades: tuple[tuple[Severity, dict[str, str], dict[str, list[tuple[Finished, str]]]], ...] = (
        ("serious", _WHOLLY, wholly),
        ("caution", _PARTLY, partly),
    )
    for severity, words, group in grades:
        for code, items in group.items():
            text = words[code].format(runs=count(len(items), "run"))
            yield Reason(code, severity, f"{text}: {placed(items)}", names(run for run, _ in items))
