"""Reasons to distrust that lie in where and from what the runs were made (``environment.json``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from fedskew.analysis.distrust.reasons import Finished, Reason, Severity, listed, names
from fedskew.runs.session import Session
from fedskew.wording import count, file_words


def environment_reasons(runs: Sequence[Finished]) -> Iterator[Reason]:
    """Runs of one study that were not all done in the same way: it shows in the last digits, or in more."""
    for code, severity, what, key, consequence in _MIXED:
        yield from _mixed(runs, code, severity, what, key, consequence)
    edited = [run for run in runs if any(str(s.commit).endswith("+changes") for s in run.sessions)]
    if edited:
        yield Reason(
            "uncommitted-source",
            "caution",
            f"{count(len(names(edited)), 'run')} of {len(names(runs))} were done with a source tree that was "
            "edited after its last commit, so that others cannot get the same",
            names(edited),
        )


def _versions(session: Session) -> str:
    found = {name: getattr(session, name) for name in ("fedskew", "torch", "numpy")}
    return ", ".join(f"{name} {version}" for name, version in found.items() if version is not None)


def _data(session: Session) -> str:
    return "; ".join(session.data)


def _of(key: str) -> Callable[[Session], str]:
    return lambda session: str(getattr(session, key) or "")


_DIGITS = "their numbers may differ in the last digits, and after many rounds in more"
_MIXED: tuple[tuple[str, Severity, str, Callable[[Session], str], str], ...] = (
    ("mixed-engines", "caution", "engines", _of("engine"), _DIGITS),
    ("mixed-devices", "caution", "devices", _of("device"), _DIGITS),
    ("mixed-processors", "caution", "processors", _of("processor"), _DIGITS),
    ("mixed-versions", "caution", "versions", _versions, _DIGITS),
    ("mixed-commits", "caution", "commits of fedskew", _of("commit"), "what changed between them may show"),
    (
        "mixed-data",
        "serious",
        "files of the same data set",
        _data,
        "their differences may be those of the data",
    ),
)


def _mixed(
    runs: Sequence[Finished],
    code: str,
    severity: Severity,
    what: str,
    key: Callable[[Session], str],
    consequence: str,
) -> Iterator[Reason]:
    """One reason if runs that use the same model and data set differ in a key of their sessions."""
    groups: dict[tuple[str, str], dict[str, dict[str, Finished]]] = {}
    for run in runs:
        kind = (run.experiment.data.label, run.experiment.model.label)
        for session in run.sessions:
            if value := key(session):
                groups.setdefault(kind, {}).setdefault(value, {})[run.name] = run
    mixed = [values for values in groups.values() if len(values) > 1]
    if not mixed:
        return
    words, fewer, twice = [], [], set()
    for values in mixed:
        ordered = sorted(values.items(), key=lambda item: -len(item[1]))
        words += [f"{value} ({count(len(found), 'run')})" for value, found in ordered]
        fewer += [run for _, found in ordered[1:] for run in found.values()]
        met = Counter(name for found in values.values() for name in found)
        twice |= {name for name, times in met.items() if times > 1}
    both = f" ({count(len(twice), 'run')} in several of them)" if twice else ""
    yield Reason(
        code,
        severity,
        f"the runs were done with different {what}, {consequence}: {listed(words)}{both}",
        names(fewer),
    )


def data_reasons(runs: Sequence[Finished]) -> Iterator[Reason]:
    """Data that is not what its name says, as its loader has written into the run's record.

    A user's own arrays have no official content and are not a reason.
    """
    kinds: tuple[tuple[str, Severity, str], ...] = (
        ("known variant", "caution", "is a known variant of the official data set"),
        ("unknown content", "serious", "has not the official content of the data set that it is called"),
    )
    for mark, severity, words in kinds:
        found: dict[str, list[Finished]] = {}
        for run in runs:
            for line in dict.fromkeys(line for session in run.sessions for line in session.data):
                if line.partition(": ")[2].startswith(mark):
                    found.setdefault(line, []).append(run)
        if found:
            affected = names(run for group in found.values() for run in group)
            yield Reason(
                "unofficial-data",
                severity,
                f"the data of {count(len(affected), 'run')} {words}: {listed(file_words(found))}",
                affected,
            )
