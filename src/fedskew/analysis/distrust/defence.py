"""Reasons to distrust what a study says of a defence: it never acted, or nothing says whether it did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fedskew.analysis.distrust.reasons import Finished, Reason, listed, names
from fedskew.analysis.distrust.roles import defence_parts, defending, undefended
from fedskew.components.known import facts_of
from fedskew.config import Experiment
from fedskew.protocols import RoundRecord
from fedskew.wording import count


def _all_act(experiment: Experiment) -> bool:
    return all(facts_of(kind, part).always_acts for kind, part in defending(experiment))


def defence_reasons(runs: Sequence[Finished]) -> Iterator[Reason]:
    """Defences that never acted, and those of which nothing says whether they did.

    A defence never acted if the run has, round by round and to the last bit, the metrics of the same run without
    it; or if everything that it had recorded is 0 in every round. A learning-rate rule never acted if it made no
    rate negative (``negative_rate_share``).
    """
    done = {run.unwatched: run for run in runs}
    idle, unknown = [], []
    for run in {run.name: run for run in runs}.values():
        if not defence_parts(run.experiment):
            continue
        twins = (done.get(run.twin(**changes)) for changes in undefended(run.experiment))
        bare = next(filter(None, twins), None)
        verdict = _acted(run, bare)
        if verdict is None:
            unknown.append(run)
        elif verdict:
            idle.append((run, verdict))
    if idle:
        words = dict.fromkeys(f"{run.cell}: {why}" for run, why in idle)
        yield Reason(
            "defence-never-acted",
            "serious",
            f"a defence did nothing in {count(len(idle), 'run')}: {listed(list(words))}",
            names(run for run, _ in idle),
        )
    if unknown:
        parts = {
            part.label
            for run in unknown
            for kind, part in defending(run.experiment)
            if not facts_of(kind, part).always_acts
        }
        yield Reason(
            "defence-not-observed",
            "caution",
            f"nothing recorded says whether {', '.join(sorted(parts))} ever acted in "
            f"{count(len(unknown), 'run')}, and the study has no such run without it to compare with",
            names(unknown),
        )


def _acted(run: Finished, bare: Finished | None) -> str | None:
    """Why it is known that a part of the defence did nothing; empty if it acted; None if that is unknown."""
    parts = defence_parts(run.experiment)
    traces = [record.trace for record in run.records]
    rate = run.experiment.defence.learning_rate
    shares = [trace["negative_rate_share"] for trace in traces if "negative_rate_share" in trace]
    if rate in parts and shares and len(shares) == len(traces) and not any(shares):
        return f"{rate.label} made no learning rate negative in any round"
    recorded = [value for trace in traces for value in trace.values()]
    if recorded and not any(recorded):
        return f"what {' and '.join(part.label for part in parts)} recorded is 0 in every round"
    if bare is not None:
        return "the same numbers in every round as without it" if _same(run.records, bare.records) else ""
    if recorded or _all_act(run.experiment):
        return ""
    return None


def _same(records: Sequence[RoundRecord], others: Sequence[RoundRecord]) -> bool:
    """Whether both have all numbers in common that both have: a rule's own, such as its detection, are in one alone,
    and a record of an earlier version lacks those that are new."""
    shared = [one.metrics.keys() & other.metrics.keys() for one, other in zip(records, others, strict=False)]
    return (
        len(records) == len(others)
        and any(shared)
        and all(
            one.metrics[name] == other.metrics[name]
            for names, one, other in zip(shared, records, others, strict=True)
            for name in names
        )
    )
