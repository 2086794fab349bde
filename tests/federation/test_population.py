"""Who holds what, who is malicious, who takes part: disjoint where it must be, paired where it can be."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedskew.attacks.backdoor import backdoor
from fedskew.attacks.none import none
from fedskew.config import Adversaries, Clients, Component, Data, Experiment
from fedskew.errors import PartitionError
from fedskew.federation.poisoning import Poisoning, nothing_taught, only_poisons
from fedskew.federation.population import Population, populate
from fedskew.federation.spread import Spread, spread
from fedskew.partition.owners import even_sizes, shards_of
from fedskew.protocols import Attack, Dataset, Shard
from helpers import PROPERTY, toy_info, view_of
from helpers import uniform_cohort as cohort

LABELS = np.random.default_rng(0).integers(0, 10, 600)
PAPER_LABELS = np.random.default_rng(1).permutation(np.repeat(np.arange(10), 6000))

SPLITS = st.sampled_from(
    [
        Component(name="iid"),
        Component(name="dirichlet", alpha=0.5),
        Component(name="dirichlet", alpha=0.1, remainder="unbiased"),
        Component(name="quantity", alpha=0.5),
        Component(name="shards", classes_per_client=10),
    ]
)
SEEDS = st.integers(0, 10_000)


def experiment(clients: int = 10, **fields: Any) -> Experiment:
    return Experiment(clients=Clients(count=clients), **fields)


def without_attack(config: Experiment) -> Experiment:
    return config.model_copy(update={"adversaries": Adversaries()})


def same(ours: Spread, theirs: Spread, clients: tuple[int, ...]) -> bool:
    return all(np.array_equal(ours.shards[k], theirs.shards[k]) for k in clients)


def together(where: Spread, clients: tuple[int, ...] | range | None = None) -> list[int]:
    """All images that these clients hold, with repetition."""
    parts = [where.shards[k] for k in (range(len(where.shards)) if clients is None else clients)]
    return sorted(np.concatenate([np.empty(0, dtype=np.int64), *parts]).tolist())


# --- one split for several seeds --------------------------------------------------------------------


@PROPERTY
@given(SPLITS, SEEDS, SEEDS)
def test_a_split_seed_stands_in_for_the_seed_in_all_that_says_who_holds_what(
    split: Component, seed: int, of_the_split: int
) -> None:
    fields: dict[str, Any] = {
        "split": split,
        "adversaries": Adversaries(count=2, data="sample", fraction=0.05),
        "data": Data(name="digits", validation=0.1),
    }
    held = spread(view_of(LABELS), experiment(seed=seed, split_seed=of_the_split, **fields))
    other = spread(view_of(LABELS), experiment(seed=of_the_split, **fields))
    assert held.malicious == other.malicious
    assert same(held, other, tuple(range(10)))
    assert np.array_equal(held.validation, other.validation)


# --- a clean run ------------------------------------------------------------------------------------


@PROPERTY
@given(SPLITS, st.integers(1, 12), st.sampled_from([0, 0.1, 50]), SEEDS)
def test_clients_and_validation_split_share_all_images_between_them(
    split: Component, clients: int, validation: float, seed: int
) -> None:
    where = spread(
        view_of(LABELS), experiment(clients, seed=seed, split=split, data=Data(validation=validation))
    )
    assert len(where.shards) == clients
    assert sorted(together(where) + where.validation.tolist()) == list(range(600))
    assert where.malicious == ()
    assert where.honest == tuple(range(clients))


@pytest.mark.parametrize(("size", "count"), [(0, 0), (0.1, 60), (0.25, 150), (1, 1), (50, 50), (599, 599)])
def test_the_validation_split_is_a_count_or_a_fraction_below_one(size: float, count: int) -> None:
    where = spread(view_of(LABELS), experiment(2, data=Data(validation=size)))
    assert len(where.validation) == count
    assert (np.diff(where.validation) > 0).all()


def test_the_validation_images_are_the_same_whatever_the_split_the_clients_and_the_attack() -> None:
    data = Data(validation=0.1)
    expected = spread(view_of(LABELS), experiment(data=data)).validation
    for other in (
        experiment(5, data=data, split=Component(name="dirichlet", alpha=0.5)),
        experiment(data=data, adversaries=Adversaries(count=2, data="sample", fraction=0.1)),
    ):
        assert np.array_equal(spread(view_of(LABELS), other).validation, expected)


@pytest.mark.parametrize("size", [600, 1000])
def test_a_validation_split_that_takes_everything_is_an_error_that_names_field_and_numbers(size: int) -> None:
    with pytest.raises(
        PartitionError, match=rf"data.validation = {size} holds out {size} of the 600 training samples"
    ):
        spread(view_of(LABELS), experiment(data=Data(validation=size)))


def test_counts_is_the_table_of_true_labels() -> None:
    labels = np.array([0, 1, 1, 2])
    where = Spread((np.array([0, 1]), np.array([2, 3])), (1,), np.empty(0, dtype=np.int64))
    assert where.counts(labels, 3).tolist() == [[1, 1, 0], [0, 1, 1]]
    assert where.honest == (0,)


# --- adversaries ------------------------------------------------------------------------------------


@PROPERTY
@given(SPLITS, st.integers(2, 10), st.data(), SEEDS)
def test_exclusive_samples_leave_the_honest_clients_all_the_rest(
    split: Component, clients: int, data: st.DataObject, seed: int
) -> None:
    count = data.draw(st.integers(1, clients - 1))
    adversaries = Adversaries(count=count, data="sample", fraction=data.draw(st.floats(0.002, 0.1)))
    where = spread(view_of(LABELS), experiment(clients, seed=seed, split=split, adversaries=adversaries))
    assert together(where) == list(range(600))  # disjoint, and everything
    assert all(len(where.shards[k]) == int(adversaries.fraction * 600) for k in where.malicious)  # type: ignore[operator]
    assert len(where.malicious) == count
    assert sorted(where.malicious + where.honest) == list(range(clients))


@PROPERTY
@given(SPLITS, st.integers(1, 9), SEEDS, st.booleans(), st.sampled_from(["honest", "all"]))
def test_every_one_of_m_adversaries_gets_its_sample(
    split: Component, count: int, seed: int, exclusive: bool, split_over: Any
) -> None:
    adversaries = Adversaries(count=count, data="sample", size=20, exclusive=exclusive, split_over=split_over)
    where = spread(view_of(LABELS), experiment(10, seed=seed, split=split, adversaries=adversaries))
    for client in where.malicious:
        assert len(where.shards[client]) == 20
        assert (np.diff(where.shards[client]) > 0).all()


@PROPERTY
@given(SPLITS, st.integers(0, 9), st.booleans(), SEEDS)
def test_honest_shards_are_the_same_with_and_without_attack_where_the_threat_model_allows_it(
    split: Component, count: int, share: bool, seed: int
) -> None:
    adversaries = (
        Adversaries(count=count)
        if share
        else Adversaries(count=count, data="sample", size=20, exclusive=False, split_over="all")
    )
    attacked = experiment(10, seed=seed, split=split, adversaries=adversaries)
    with_attack, clean = spread(view_of(LABELS), attacked), spread(view_of(LABELS), without_attack(attacked))
    assert same(with_attack, clean, with_attack.honest)
    if share:
        assert same(with_attack, clean, with_attack.malicious)


def test_exclusive_samples_taken_out_of_a_split_over_all_leave_the_rest_of_each_shard_alone() -> None:
    adversaries = Adversaries(count=3, data="sample", size=40, exclusive=True, split_over="all")
    attacked = experiment(10, split=Component(name="dirichlet", alpha=0.5), adversaries=adversaries)
    with_attack, clean = spread(view_of(LABELS), attacked), spread(view_of(LABELS), without_attack(attacked))
    taken = set(together(with_attack, with_attack.malicious))
    assert len(taken) == 3 * 40
    for client in with_attack.honest:
        expected = [i for i in clean.shards[client].tolist() if i not in taken]
        assert with_attack.shards[client].tolist() == expected


def test_the_authors_code_takes_a_tenth_of_the_training_set_away_from_the_honest_clients() -> None:
    adversaries = Adversaries(count=1, data="sample", fraction=0.1, exclusive=True, split_over="honest")
    where = spread(
        view_of(PAPER_LABELS),
        experiment(split=Component(name="dirichlet", alpha=1.0), adversaries=adversaries),
    )
    (adversary,) = where.malicious
    assert len(where.shards[adversary]) == 6000
    assert len(together(where, where.honest)) == 54_000
    assert together(where) == list(range(60_000))
    # Uniform over the training set: about 600 of each class (hypergeometric, standard deviation 22).
    assert where.counts(PAPER_LABELS, 10)[adversary] == pytest.approx(np.full(10, 600), abs=90)


@pytest.mark.parametrize("split_over", ["honest", "all"])
def test_the_papers_text_gives_1000_uniform_images_that_the_honest_clients_keep(split_over: Any) -> None:
    adversaries = Adversaries(count=1, data="sample", size=1000, exclusive=False, split_over=split_over)
    where = spread(
        view_of(PAPER_LABELS),
        experiment(split=Component(name="dirichlet", alpha=1.0), adversaries=adversaries),
    )
    (adversary,) = where.malicious
    assert len(set(where.shards[adversary].tolist())) == 1000
    honest = together(where, where.honest)
    assert len(set(honest)) == len(honest)
    assert where.counts(PAPER_LABELS, 10)[adversary] == pytest.approx(np.full(10, 100), abs=45)
    if split_over == "honest":
        assert honest == list(range(60_000))
    else:
        assert 0 < len(honest) < 60_000  # the adversary's own share is unused


def test_shared_samples_of_two_adversaries_are_drawn_independently() -> None:
    adversaries = Adversaries(count=2, data="sample", size=300, exclusive=False)
    where = spread(view_of(LABELS), experiment(adversaries=adversaries))
    one, other = (set(where.shards[k].tolist()) for k in where.malicious)
    # Two halves of 600 images have 150 in common on average, with a standard deviation of 6.
    assert 120 < len(one & other) < 180


def test_adversary_samples_never_contain_validation_images() -> None:
    for exclusive in (True, False):
        adversaries = Adversaries(count=2, data="sample", size=100, exclusive=exclusive)
        where = spread(view_of(LABELS), experiment(data=Data(validation=0.5), adversaries=adversaries))
        assert not set(together(where)) & set(where.validation.tolist())


def test_without_adversaries_their_data_means_nothing() -> None:
    clean = spread(view_of(LABELS), experiment())
    configured = spread(
        view_of(LABELS), experiment(adversaries=Adversaries(count=0, data="sample", fraction=0.1))
    )
    assert same(configured, clean, tuple(range(10)))


def test_who_is_malicious_depends_on_seed_and_numbers_alone() -> None:
    one = spread(view_of(LABELS), experiment(seed=3, adversaries=Adversaries(count=2)))
    other = spread(
        view_of(LABELS),
        experiment(
            seed=3,
            split=Component(name="dirichlet", alpha=0.5),
            adversaries=Adversaries(count=2, data="sample", fraction=0.1),
        ),
    )
    assert one.malicious == other.malicious
    assert list(one.malicious) == sorted(set(one.malicious))


def test_every_client_is_malicious_equally_often() -> None:
    labels, counts = LABELS[:10], np.zeros(5)
    for seed in range(200):
        for client in spread(
            view_of(labels), experiment(5, seed=seed, adversaries=Adversaries(count=2))
        ).malicious:
            counts[client] += 1
    # 200 * 2/5 = 80 each, with a standard deviation of 7
    assert counts == pytest.approx(np.full(5, 80), abs=28)


@pytest.mark.parametrize(
    ("adversaries", "words"),
    [
        (Adversaries(count=1, data="sample", size=600), "adversaries.count = 1 with 600 samples each"),
        (Adversaries(count=3, data="sample", size=200), "adversaries.count = 3 with 200 samples each"),
        (
            Adversaries(count=1, data="sample", size=601, exclusive=False),
            "adversaries.count = 1 with 601 samples each",
        ),
        (Adversaries(count=1, data="sample", fraction=0.001), "adversaries.count = 1 with 0 samples each"),
    ],
)
def test_samples_that_cannot_be_served_are_an_error_with_the_numbers(
    adversaries: Adversaries, words: str
) -> None:
    with pytest.raises(PartitionError, match=f"{words} cannot be drawn from 600 training samples"):
        spread(view_of(LABELS), experiment(adversaries=adversaries))


def test_a_shared_sample_may_be_the_whole_training_set() -> None:
    where = spread(
        view_of(LABELS),
        experiment(adversaries=Adversaries(count=2, data="sample", size=600, exclusive=False)),
    )
    assert all(where.shards[k].tolist() == list(range(600)) for k in where.malicious)


def test_an_infeasible_split_names_the_clients_that_share_it() -> None:
    """9 honest clients with 100 images each cannot be had from 600."""
    config = experiment(
        split=Component(name="dirichlet", alpha=0.5, min_size=100, max_draws=3),
        adversaries=Adversaries(count=1, data="sample", size=10),
    )
    with pytest.raises(PartitionError, match=r"alpha = 0.5 over 9 clients.*the smallest shard had at most"):
        spread(view_of(LABELS), config)


# --- cohorts ----------------------------------------------------------------------------------------


def participation(clients: int, fraction: float, seed: int = 0) -> Experiment:
    return Experiment(seed=seed, clients=Clients(count=clients, fraction=fraction))


def test_full_participation_is_everybody_in_every_round() -> None:
    assert all(cohort(participation(10, 1.0), n).tolist() == list(range(10)) for n in (1, 2, 50))


@PROPERTY
@given(st.integers(1, 50), st.floats(0.001, 1.0), st.integers(1, 1000), SEEDS)
def test_a_cohort_is_an_ascending_sample_of_the_fraction_and_a_pure_function_of_seed_and_round(
    clients: int, fraction: float, number: int, seed: int
) -> None:
    config = participation(clients, fraction, seed)
    members = cohort(config, number)
    assert len(members) == max(1, round(fraction * clients))
    assert (np.diff(members) > 0).all()
    assert members[0] >= 0
    assert members[-1] < clients
    assert np.array_equal(members, cohort(config, number))


def test_a_tiny_fraction_still_gives_one_client() -> None:
    assert len(cohort(participation(10, 0.001), 1)) == 1


def test_every_client_takes_part_equally_often() -> None:
    config, counts = participation(5, 0.4), np.zeros(5)
    for number in range(1, 501):
        counts[cohort(config, number)] += 1
    # 500 * 2/5 = 200 each, with a standard deviation of 11
    assert counts == pytest.approx(np.full(5, 200), abs=45)


def test_a_cohort_does_not_depend_on_who_is_malicious() -> None:
    config = participation(10, 0.3)
    attacked = config.model_copy(update={"adversaries": Adversaries(count=4)})
    assert all(np.array_equal(cohort(config, n), cohort(attacked, n)) for n in range(1, 20))


# --- handing out the data ---------------------------------------------------------------------------

INFO = toy_info((1, 8, 8), classes=3)


def toy_dataset() -> Dataset:
    images = torch.randint(0, 200, (12, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    labels = torch.arange(12) % 3
    return Dataset(INFO, images, labels, images[:3], labels[:3])


WHERE = Spread(
    (np.array([0, 1, 2, 3]), np.array([4, 5, 6, 7]), np.array([8, 9]), np.empty(0, dtype=np.int64)),
    (1, 3),
    np.array([10, 11]),
)


def shard_of(population: Population, client: int) -> tuple[torch.Tensor, torch.Tensor]:
    index = torch.from_numpy(population.shards[client])
    return population.images[index], population.labels[index]


def test_without_adversaries_the_training_set_is_used_as_it_is() -> None:
    data = toy_dataset()
    clean = Spread(WHERE.shards, (), WHERE.validation)
    population = populate(data, clean, backdoor(INFO, target=2), 0)
    assert population.images is data.x_train
    assert population.labels is data.y_train
    assert same(clean, Spread(population.shards, (), WHERE.validation), (0, 1, 2, 3))


def test_the_null_attack_trains_everybody_on_the_original_images() -> None:
    data = toy_dataset()
    population = populate(data, WHERE, none(INFO), 0)
    for client, index in enumerate(WHERE.shards):
        images, labels = shard_of(population, client)
        assert torch.equal(images, data.x_train[index])
        assert torch.equal(labels, data.y_train[index])


def test_poisoned_copies_are_appended_and_the_training_set_stays_as_it_was() -> None:
    data = toy_dataset()
    before = data.x_train.clone()
    population = populate(data, WHERE, backdoor(INFO, target=2, poison_fraction=0.5), 0)
    assert torch.equal(data.x_train, before)
    assert torch.equal(population.images[:12], before)
    assert len(population.images) == len(population.labels) == 12 + 4
    assert population.shards[1].tolist() == [12, 13, 14, 15]
    assert population.shards[3].tolist() == []
    assert [population.shards[k].tolist() for k in (0, 2)] == [[0, 1, 2, 3], [8, 9]]
    images, _ = shard_of(population, 1)
    assert (images != before[4:8]).flatten(1).any(dim=1).sum() == 2  # half of 4


def test_an_adversary_is_poisoned_the_same_whoever_else_is_malicious() -> None:
    data, attack = toy_dataset(), backdoor(INFO, target=2, poison_fraction=0.5)
    alone = populate(data, Spread(WHERE.shards, (1,), WHERE.validation), attack, 7)
    with_others = populate(data, Spread(WHERE.shards, (0, 1, 2), WHERE.validation), attack, 7)
    for ours, theirs in zip(shard_of(alone, 1), shard_of(with_others, 1), strict=True):
        assert torch.equal(ours, theirs)


def test_an_attack_may_change_the_number_of_images() -> None:
    doubled = Attack(poison=lambda s, rng: Shard(torch.cat([s.images] * 2), torch.cat([s.labels] * 2)))
    population = populate(toy_dataset(), Spread(WHERE.shards, (0, 2), WHERE.validation), doubled, 0)
    assert population.shards[0].tolist() == list(range(12, 20))
    assert population.shards[2].tolist() == list(range(20, 24))
    assert shard_of(population, 2)[1].tolist() == [2, 0, 2, 0]  # images 8 and 9, twice


# --- what poisoning has done ------------------------------------------------------------------------


def test_what_was_done_to_each_adversary_is_counted() -> None:
    """Adversary 1 holds the labels 1, 2, 0, 1; adversary 3 holds nothing."""
    data = toy_dataset()
    nothing = Poisoning(0, 0, 0, 0)
    attack = backdoor(INFO, target=2, poison_fraction=1.0)
    all_of_them = populate(data, WHERE, attack, 0).poisoning
    assert all_of_them == (Poisoning(4, 4, 4, 3), nothing), "one of the four had the label 2"
    of_one_class = backdoor(INFO, target=2, poison_fraction=1.0, source_classes=[1])
    assert populate(data, WHERE, of_one_class, 0).poisoning == (Poisoning(4, 2, 2, 2), nothing)
    few = populate(data, WHERE, backdoor(INFO, target=2, poison_fraction=0.2), 0).poisoning
    assert few == (Poisoning(4, 4, 0, 0), nothing)
    assert populate(data, WHERE, none(INFO), 0).poisoning == (), "it poisons no data"
    clean = Spread(WHERE.shards, (), WHERE.validation)
    assert populate(data, clean, attack, 0).poisoning == ()


def test_an_attack_that_makes_data_of_its_own_has_poisoned_all_of_it() -> None:
    doubled = Attack(poison=lambda s, rng: Shard(torch.cat([s.images] * 2), torch.cat([s.labels] * 2)))
    assert populate(toy_dataset(), WHERE, doubled, 0).poisoning == (
        Poisoning(4, 4, 8, 8),
        Poisoning(0, 0, 0, 0),
    )


@pytest.mark.parametrize(
    ("found", "relabels", "words"),
    [
        ([], True, ""),
        ([Poisoning(0, 0, 0, 0)], True, ""),
        ([Poisoning(9, 9, 3, 1)], True, ""),
        ([Poisoning(9, 0, 3, 1)], True, ""),  # whatever it calls its source classes, it did something
        ([Poisoning(9, 9, 3, 0)], False, ""),
        ([Poisoning(9, 9, 0, 0), Poisoning(5, 5, 1, 1)], True, ""),
        (
            [Poisoning(9, 9, 3, 0), Poisoning(1, 1, 1, 0)],
            True,
            "all 4 poisoned of the 10 samples that 2 adversaries held had the target's label anyway",
        ),
        (
            [Poisoning(9, 0, 0, 0), Poisoning(0, 0, 0, 0)],
            False,
            "none of the 9 samples that the adversary held was of the attack's source classes",
        ),
        (
            [Poisoning(1, 1, 0, 0)],
            True,
            "none of the 1 sample that the adversary held was poisoned (a share of less than one sample is none)",
        ),
    ],
)
def test_whether_poisoning_can_have_taught_anything(
    found: list[Poisoning], relabels: bool, words: str
) -> None:
    assert nothing_taught(found, relabels) == words


@pytest.mark.parametrize(
    "more", [{"lr": 0.1}, {"epochs": 3}, {"batch_size": 4}, {"report": 2.0}, {"projection": 1.0}]
)
def test_whether_an_attack_does_nothing_but_poison(more: dict[str, Any]) -> None:
    assert only_poisons(backdoor(INFO, target=2, poison_fraction=0.0))
    assert not only_poisons(backdoor(INFO, target=2, poison_fraction=0.0, **more))


# --- large populations ------------------------------------------------------------------------------


@PROPERTY
@given(st.lists(st.integers(0, 9), max_size=60))
def test_an_owner_per_image_becomes_an_ascending_array_per_client(owners: list[int]) -> None:
    found = shards_of(np.array(owners, dtype=np.int64), 10)
    assert [part.tolist() for part in found] == [
        [i for i, k in enumerate(owners) if k == c] for c in range(10)
    ]
    assert all(part.dtype == np.int64 for part in found)


@PROPERTY
@given(st.integers(0, 200), st.integers(1, 40))
def test_even_sizes_are_those_of_numpys_parts(total: int, parts: int) -> None:
    expected = [len(part) for part in np.array_split(np.arange(total), parts)]
    assert even_sizes(total, parts).tolist() == expected


@PROPERTY
@given(SPLITS, st.integers(1, 30), SEEDS)
def test_the_table_of_labels_is_that_of_a_plain_loop(split: Component, clients: int, seed: int) -> None:
    where = spread(view_of(LABELS), experiment(clients, split=split, seed=seed))
    table = where.counts(LABELS, 10)
    for shard, row in zip(where.shards, table.tolist(), strict=True):
        assert row == [int((LABELS[shard] == label).sum()) for label in range(10)]


def test_adversaries_take_their_images_away_from_those_who_had_them() -> None:
    adversaries = Adversaries(count=4, data="sample", size=30, split_over="all")
    split = Component(name="dirichlet", alpha=0.5)
    clean = spread(view_of(LABELS), experiment(20, split=split))
    attacked = spread(view_of(LABELS), experiment(20, split=split, adversaries=adversaries))
    taken = {i for k in attacked.malicious for i in attacked.shards[k].tolist()}
    assert len(taken) == 120
    for k in attacked.honest:
        assert attacked.shards[k].tolist() == [i for i in clean.shards[k].tolist() if i not in taken]


@pytest.mark.parametrize("name", ["iid", "dirichlet", "quantity", "shards"])
def test_the_work_of_a_hundred_thousand_clients_grows_with_their_number_alone(name: str) -> None:
    """Ten times the clients, adversaries and images: work that grew with a product of two would take 100 times."""
    options: dict[str, dict[str, Any]] = {
        "dirichlet": {"alpha": 0.5},
        "quantity": {"alpha": 0.5},
        "shards": {"classes_per_client": 2},
    }

    def spread_over(clients: int) -> tuple[Spread, float]:
        labels = np.random.default_rng(2).integers(0, 10, 4 * clients)
        adversaries = Adversaries(count=clients // 100, data="sample", size=20, split_over="all")
        split = Component(name=name, **options.get(name, {}))
        config = experiment(clients, split=split, adversaries=adversaries)
        begun = time.process_time()
        where = spread(view_of(labels), config)
        return where, time.process_time() - begun

    before = min(spread_over(10_000)[1] for _ in range(3))
    where, seconds = spread_over(100_000)
    assert seconds < 40 * before
    held = np.concatenate(where.shards)
    assert len(np.unique(held)) == len(held), "an image was given out twice"
    assert len(held) > 390_000  # all but what the split gave the adversaries, who use their samples instead
