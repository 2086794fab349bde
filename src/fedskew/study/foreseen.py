"""What is known before any training to go wrong: splits that cannot be made, attacks that cannot act on the data that
their adversaries hold, and defences that the clients with data are too few for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fedskew.components.attacking import attack_in
from fedskew.components.binding import components_of
from fedskew.components.known import facts_of, is_attacked, is_built_in, needs_several, with_inner
from fedskew.components.permission import may_import
from fedskew.components.values import check_values
from fedskew.config import Execution, Experiment, to_plain
from fedskew.config.origin import blamed
from fedskew.errors import ConfigError, PartitionError
from fedskew.federation.poisoning import nothing_taught, only_poisons
from fedskew.federation.population import poisoned_shards
from fedskew.federation.senders import check_senders
from fedskew.federation.spread import Spread
from fedskew.files import to_json
from fedskew.protocols import Dataset, keep_shard
from fedskew.study.grid import PlannedRun
from fedskew.study.splits import Drawn, drawn_splits
from fedskew.wording import cell_in_words, count


def foreseen(planned: Sequence[PlannedRun], execution: Execution) -> list[list[str]]:
    """Cautions, for each of the ``distinct_splits`` of these runs in its order.

    Raises:
        ConfigError: an attack does not fit its data set; says where it stands.
    """
    return cautions_of(drawn_splits(planned, execution))


def cautions_of(drawn: Iterable[Drawn]) -> list[list[str]]:
    """The same of splits that are drawn already.

    A plug-in's attack is looked at if it may be imported.

    Raises:
        ConfigError: an attack does not fit its data set; says where it stands.
    """
    found = []
    for plans, dataset, where in drawn:
        lines: dict[str, dict[str, None]] = {}
        for plan in plans:
            for line in _of_run(plan, dataset, where):
                lines.setdefault(line, {})[cell_in_words(plan.cell)] = None
        found.append([_with_cells(line, [*filter(None, cells)]) for line, cells in lines.items()])
    return found


def refuse_fixed_splits(planned: Sequence[PlannedRun], execution: Execution) -> None:
    """Refuse splits over clients that are there already, a file's or the data set's own, that cannot be made. Little of
    them is drawn, so each is made once, with the first of its seeds.

    Raises:
        ConfigError: says where the split stands in the config.
    """
    first: dict[str, PlannedRun] = {}
    for plan in planned:
        parts = with_inner("split", "split", plan.experiment.split)
        if any(facts_of(kind, part).own_tests is not None for _, kind, part in parts):
            plain = to_plain(plan.experiment)
            key = to_json([plain[name] for name in ("data", "split", "clients", "adversaries")])
            first.setdefault(key, plan)
    for plan in first.values():
        with blamed(plan.origin):
            try:
                list(drawn_splits([plan], execution))
            except PartitionError as error:
                raise ConfigError(error.message, error.hint, "split") from None


def refuse_too_few(planned: Sequence[PlannedRun], execution: Execution) -> None:
    """Refuse runs whose defence needs more updates than there are clients with data. Another split that cannot be
    made is the failure of its run alone.

    Raises:
        ConfigError: says where the defence stands in the config.
    """
    demanding = [plan for plan in planned if needs_several(plan.experiment.defence)]
    for plans, _, where in drawn_splits(demanding, execution, skip_impossible=True):
        for plan in plans:
            with blamed(plan.origin):
                check_senders(where, plan.experiment)


def _with_cells(line: str, cells: Sequence[str]) -> str:
    return f"{'; '.join(cells)}: {line}" if cells else line


def _of_run(plan: PlannedRun, dataset: Dataset, where: Spread) -> Iterator[str]:
    experiment = plan.experiment
    fits = True
    try:
        check_values(experiment, components_of(experiment), dataset.info.name, (dataset.info.values,))
    except ConfigError as error:
        fits = False
        yield _refused(error)
    if is_attacked(experiment):
        empty = sum(not len(where.shards[k]) for k in where.malicious)
        if empty:
            yield f"adversaries that hold no samples, so that they cannot act: {empty} of {len(where.malicious)}"
        if not any(map(experiment.adversaries.act_in, range(1, experiment.rounds + 1))):
            rounds = count(experiment.rounds, "round")
            yield f"the adversaries never act: their first round is {experiment.adversaries.start}, of {rounds}"
        if fits:
            with blamed(plan.origin):
                yield from _taught_nothing(experiment, dataset, where)
    try:
        check_senders(where, experiment)
    except ConfigError as error:
        yield _refused(error)


def _refused(error: ConfigError) -> str:
    return f"this will be refused: {error.message}"


def _taught_nothing(experiment: Experiment, dataset: Dataset, where: Spread) -> Iterator[str]:
    component = experiment.attack
    module = component.label.partition(":")[0]
    if not is_built_in("attack", component) and not may_import(module):
        return
    attack = attack_in(experiment, dataset.info)
    if attack.poison is keep_shard:
        return
    done = poisoned_shards(dataset, where, attack, experiment.seed, component.label)
    if why := nothing_taught([what for _, _, what in done], facts_of("attack", component).relabels):
        what = "the attack" if only_poisons(attack) else "the poisoning, which is not all of the attack,"
        yield f"{what} does nothing: {why}"
