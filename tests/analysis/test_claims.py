"""Claims of a study file and of the paper: what they mean, their verdicts, and what is refused."""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedskew.analysis import Claim, Judgement, judge
from fedskew.analysis.claims.words import what_is_tested
from fedskew.analysis.significance import student
from fedskew.config.toml_io import write_toml
from fedskew.errors import ConfigError
from fedskew.papers import claims_of
from fedskew.papers.ozdayi_kantarcioglu import attacked_claims, paper_claims, paper_numbers
from fedskew.partition.heterogeneity import Heterogeneity
from fedskew.report.words import effect_words
from fedskew.study.claim import SKEWS
from fedskew.study.folder import StudyFolder
from fedskew.study.grid import Study, planned_runs
from fedskew.study.source import as_study, find_config

ALPHAS, SETTINGS = [1.0, 0.5, 0.25], ["no attack", "backdoor", "backdoor + RLR"]
CONTENT: dict[str, Any] = {
    "name": "s",
    "seeds": [0, 1, 2, 3, 4],
    "base": {"split": {"name": "dirichlet", "alpha": 1.0}},
    "axes": {
        "alpha": {"field": "split.alpha", "values": ALPHAS},
        "setting": {
            "variants": {
                "no attack": {},
                "backdoor": {"adversaries.count": 1},
                "backdoor + RLR": {
                    "adversaries.count": 1,
                    "defence.learning_rate": {"name": "rlr", "theta": 4},
                },
            }
        },
    },
}
STUDY = Study.model_validate(CONTENT)
NOISE = {0: -0.004, 1: 0.001, 2: 0.003, 3: -0.002, 4: 0.002, 5: 0.005, 6: -0.005, 7: 0.0, 8: 0.004, 9: -0.003}


def grid(
    seeds: Sequence[int] = (0, 1, 2, 3, 4), **measures: Callable[[float, str, int], float]
) -> pd.DataFrame:
    """Results of the whole grid; a measure takes the number of halvings of alpha, the setting and the seed."""
    return pd.DataFrame(
        {"alpha": a, "setting": s, "seed": seed, "run": f"{a} {s} {seed}", "rounds": 3}
        | {name: measure(-math.log2(a), s, seed) for name, measure in measures.items()}
        for seed, a, s in itertools.product(seeds, ALPHAS, SETTINGS)
    )


def claim(**changes: Any) -> Claim:
    content = {"text": "t", "metric": "accuracy", "direction": "falls", "over": "alpha"}
    return Claim.model_validate({k: v for k, v in (content | changes).items() if v is not None})


def one(results: pd.DataFrame, **changes: Any) -> Judgement:
    (judgement,) = judge(STUDY, results, [claim(**changes)])
    return judgement


BOTH = {"setting": ["backdoor", "backdoor + RLR"]}
FALLING = grid(accuracy=lambda h, s, seed: 0.9 - (0.02 + NOISE[seed]) * h)


# --- verdicts ---------------------------------------------------------------------------------------


def test_a_trend_by_hand() -> None:
    found = one(FALLING)
    slopes = [-100 * (0.02 + NOISE[seed]) for seed in range(5)]
    assert found.verdict == "holds"
    assert found.effect == pytest.approx(np.mean(slopes))
    assert found.p_value == found.p_holm == pytest.approx(student(slopes))
    assert found.low < found.effect < found.high < 0
    assert found.unit == "percentage points per halving of alpha"
    assert found.why.startswith(
        "accuracy: -2.00 percentage points per halving of alpha (95 % interval -2.36 to -1.64, "
    )
    assert "corrected" not in found.why, "one claim needs no correction"
    assert len(found.runs) == 45


def test_the_same_numbers_refute_the_opposite() -> None:
    assert one(FALLING, direction="rises").verdict == "does not hold"


def test_what_the_seeds_do_not_agree_on_is_not_decided() -> None:
    results = grid(accuracy=lambda h, s, seed: 0.9 + NOISE[seed] * h)
    found = one(results)
    assert found.verdict == "not decided"
    assert found.p_value > 0.05
    assert found.low < 0 < found.high
    assert "not the same as no effect" in found.caution


def test_a_comparison_pools_the_alphas_within_each_seed() -> None:
    results = grid(
        bias=lambda h, s, seed: 0.2 + 0.1 * seed + (0.05 + NOISE[seed] if "RLR" in s else 0) + 0.1 * h
    )
    found = one(results, metric="bias", direction="rises", compare=BOTH, over=None)
    assert found.verdict == "holds"
    assert found.effect == pytest.approx(5)
    assert found.n == 5, "seeds, not cells"
    assert len(found.runs) == 30
    assert (
        "bias, setting backdoor + RLR minus backdoor: +5.00 percentage points, the mean of "
        "alpha 1.0 (+5.00); alpha 0.5 (+5.00); alpha 0.25 (+5.00) (95 % interval" in found.why
    )
    turned = one(
        results, metric="bias", direction="rises", compare={"setting": BOTH["setting"][::-1]}, over=None
    )
    assert turned.verdict == "does not hold"
    narrowed = one(results, metric="bias", direction="rises", compare=BOTH, over=None, where={"alpha": 0.25})
    assert len(narrowed.runs) == 10
    assert "alpha 0.25" in narrowed.why


def test_a_verdict_names_the_single_seeds_that_go_the_other_way() -> None:
    """RLR lowers the bias by 20 points but at alpha 0.25 with seeds 1 and 3, where it raises it by 5 and 10."""
    odd: dict[tuple[float, int], float] = {(2, 1): 0.05, (2, 3): 0.10}
    results = grid(bias=lambda h, s, seed: 0.3 + (odd.get((h, seed), -0.2) if "RLR" in s else 0))
    found = one(results, metric="bias", direction="falls", compare=BOTH, over=None)
    assert found.verdict == "holds"
    assert (
        "in 2 of 15 single comparisons the effect lies on the other side of 0: "
        "alpha 0.25, seed 3 (+10.00); alpha 0.25, seed 1 (+5.00)"
    ) in found.exceptions
    steady = grid(bias=lambda h, s, seed: 0.3 - (0.1 + NOISE[seed]) * ("RLR" in s))
    clean = one(steady, metric="bias", direction="falls", compare=BOTH, over=None)
    assert clean.verdict == "holds"
    assert clean.exceptions == ""


def test_a_mean_that_hides_a_cell_that_goes_the_other_way_says_so() -> None:
    """RLR raises the bias by 20 and 10 points and lowers it by 3 at alpha 0.25 (h counts the halvings)."""
    steps: dict[float, float] = {0: 0.20, 1: 0.10, 2: -0.03}
    results = grid(bias=lambda h, s, seed: 0.3 + (steps[h] + NOISE[seed] if "RLR" in s else 0))
    found = one(results, metric="bias", direction="rises", compare=BOTH, over=None)
    assert found.effect == pytest.approx(9)
    assert (found.verdict, found.depends) == ("depends", "holds at alpha >= 0.5, not at 0.25")
    assert [place.verdict for place in found.places] == ["holds", "holds", "does not hold"]
    alone = one(results, metric="bias", direction="rises", compare=BOTH, over=None, where={"alpha": 1.0})
    assert "the mean of" not in alone.why
    assert "other way" not in alone.caution


def test_more_so_at_low_alpha_is_the_trend_of_the_difference() -> None:
    """RLR costs 1 point at alpha 1 and d more with each halving; what alpha does by itself cancels."""
    results = grid(
        accuracy=lambda h, s, seed: 0.9 - 0.03 * h - (0.01 + (0.01 + NOISE[seed]) * h if "RLR" in s else 0)
    )
    found = one(results, compare=BOTH)
    assert found.effect == pytest.approx(-1)
    assert found.unit == "percentage points per halving of alpha"
    assert found.verdict == "holds"
    # The same cost at every alpha: RLR costs accuracy, and not more so at low alpha.
    even = grid(
        accuracy=lambda h, s, seed: 0.9 - 0.03 * h + NOISE[seed] * h * ("RLR" in s) - 0.02 * ("RLR" in s)
    )
    assert one(even, compare=BOTH, over=None).verdict == "holds"
    assert one(even, compare=BOTH).verdict == "not decided"


def test_faster_than_compares_relative_changes() -> None:
    """Bias grows by 20 % and accuracy falls by 2 % with each halving."""
    results = grid(
        accuracy=lambda h, s, seed: (0.9 - 0.01 * seed) * 0.98**h,
        bias=lambda h, s, seed: (0.2 + 0.02 * seed) * (1.2 + NOISE[seed]) ** h,
    )
    pace = {"metric": "accuracy", "direction": "falls"}
    found = one(results, metric="bias", direction="rises", faster_than=pace)
    expected = np.mean([100 * (math.log(1.2 + NOISE[seed]) + math.log(0.98)) for seed in range(5)])
    assert found.effect == pytest.approx(expected)
    assert found.verdict == "holds"
    assert found.unit == "percent (relative) per halving of alpha"
    # The claim turned round: accuracy falls faster than bias rises.
    turned = one(results, faster_than={"metric": "bias", "direction": "rises"})
    assert turned.effect == pytest.approx(expected)
    assert turned.verdict == "does not hold"
    # Both in the same direction: the difference of the rates counts.
    alike = one(
        results, metric="bias", direction="rises", faster_than={"metric": "accuracy", "direction": "rises"}
    )
    assert alike.effect == pytest.approx(expected - 200 * math.log(0.98))


def test_noise_in_the_bias_is_no_faster_change() -> None:
    """Relative change by logarithms: bias that halves with one seed and doubles with another has not risen."""
    results = grid(
        (0, 1, 2, 3), accuracy=lambda h, s, seed: 0.9, bias=lambda h, s, seed: 0.2 * 2 ** (h * (-1) ** seed)
    )
    found = one(
        results, metric="bias", direction="rises", faster_than={"metric": "accuracy", "direction": "falls"}
    )
    assert found.effect == pytest.approx(0, abs=1e-9)


def test_a_seed_without_a_logarithm_is_left_out() -> None:
    results = grid(
        accuracy=lambda h, s, seed: 0.9, bias=lambda h, s, seed: 0.0 if seed == 2 else 0.1 * (1 + seed) ** h
    )
    found = one(
        results, metric="bias", direction="rises", faster_than={"metric": "accuracy", "direction": "falls"}
    )
    assert found.n == 4
    assert "left out, because some of their runs are missing or have no such number: seed 2" in found.caution


COST = grid(
    accuracy=lambda h, s, seed: 0.9 - (0.01 + NOISE[seed] if "RLR" in s else 0)
)  # 1 point, 0.6 to 1.3


@pytest.mark.parametrize(
    ("direction", "margin", "verdict"),
    [
        ("falls", 0, "holds"),
        ("falls", 0.3, "holds"),
        ("falls", 1.0, "not decided"),
        ("falls", 3, "does not hold"),
        ("does not fall", 3, "holds"),
        ("does not fall", 1.0, "not decided"),
        ("does not fall", 0.3, "does not hold"),
        ("does not rise", 0.3, "holds"),
        ("rises", 0, "does not hold"),
        ("rises", 2, "does not hold"),
    ],
)
def test_margins(direction: str, margin: float, verdict: str) -> None:
    found = one(COST, direction=direction, margin=margin, compare=BOTH, over=None)
    assert found.verdict == verdict
    assert found.effect == pytest.approx(-1), "the margin moves the threshold, not the effect"
    assert ("claimed to be" in found.why) == bool(margin)


def test_an_interval_and_a_verdict_agree() -> None:
    """Without a correction a claim is decided exactly where the interval leaves out the threshold."""
    rng = np.random.default_rng(3)
    seen = set()
    for _ in range(60):
        noise, effect = rng.normal(0, 1, 6) / 100, rng.normal(0, 1) / 100

        def measured(h: float, s: str, seed: int, n: np.ndarray = noise, e: float = effect) -> float:
            return 0.5 + float(e + n[seed]) * ("RLR" in s)

        results = grid(range(6), accuracy=measured)
        found = one(results, direction="rises", compare=BOTH, over=None)
        expected = "holds" if found.low > 0 else "does not hold" if found.high < 0 else "not decided"
        assert found.verdict == expected
        seen.add(expected)
    assert seen == {"holds", "does not hold", "not decided"}


def test_judged_together_claims_are_corrected_together() -> None:
    weak = grid(accuracy=lambda h, s, seed: 0.9 - (0.004 + NOISE[seed]) * h)
    alone = one(weak)
    assert 0.025 < alone.p_value < 0.05
    assert alone.verdict == "holds"
    two = judge(STUDY, weak, [claim(), claim(where={"setting": "backdoor"})])
    assert [j.p_holm for j in two] == pytest.approx([2 * alone.p_value] * 2)
    assert {j.verdict for j in two} == {"not decided"}
    assert "corrected for 2 claims" in two[0].why
    with_an_empty_one = judge(STUDY, weak, [claim(), claim(metric="bias")])
    assert with_an_empty_one[0].verdict == "holds", "what cannot be tested costs nothing"
    assert math.isnan(with_an_empty_one[1].p_holm)
    assert judge(STUDY, weak, []) == []


# --- how little few seeds show ----------------------------------------------------------------------


def test_below_three_seeds_nothing_is_decided() -> None:
    for seeds in ([0], [0, 1]):
        found = one(grid(seeds, accuracy=lambda h, s, seed: 0.9 - (0.2 + 1e-6 * seed) * h))
        assert found.verdict == "not decided"
        assert found.n == len(seeds)
        assert "nothing is decided" in found.caution
    assert math.isnan(found.p_value), "two seeds may agree by chance"
    assert found.why.endswith("2 seeds, too few for a test)")
    nothing = one(grid([], accuracy=lambda h, s, seed: 0.9))
    assert (nothing.n, nothing.verdict, nothing.runs) == (0, "not decided", ())
    assert "no seed has complete runs for it" in nothing.why


def test_five_seeds_rest_on_the_normal_distribution() -> None:
    found = one(FALLING)
    assert (found.exact_p, found.smallest_p) == (0.0625, 0.0625)
    assert "assumption that the effect is normally distributed over seeds" in found.caution
    assert "cannot give less than p = 0.062" in found.caution
    assert "with 5 seeds" in found.caution


def test_ten_seeds_rest_on_no_assumption() -> None:
    results = grid(range(10), accuracy=lambda h, s, seed: 0.9 - (0.02 + NOISE[seed]) * h)
    found = one(results)
    assert found.exact_p == pytest.approx(2 / 1024)
    assert found.caution == ""
    # After a correction for so many claims, ten seeds cannot do without it either.
    many = judge(STUDY, results, [claim()] * 40)
    assert many[0].verdict == "holds"
    assert "cannot give less than p = 0.002, 0.078 corrected with 10 seeds" in many[0].caution


def test_a_verdict_that_the_sign_flips_do_not_confirm_says_so() -> None:
    """Six seeds, five of which agree and one that hardly moves the other way."""
    slopes = [1.0, 0.3, 1.1, 0.9, 1.2, -0.31]
    results = grid(range(6), accuracy=lambda h, s, seed: 0.5 + 0.01 * slopes[seed] * h)
    found = one(results, direction="rises")
    assert found.verdict == "holds"
    assert found.exact_p > 0.05
    assert "does not confirm it" in found.caution


def test_seeds_that_agree_to_the_last_bit_leave_no_spread() -> None:
    results = grid(accuracy=lambda h, s, seed: 0.9 - 0.1 * ("RLR" in s))
    found = one(results, compare=BOTH, over=None)
    assert found.effect == found.low == found.high == pytest.approx(-10)
    assert (found.p_value, found.verdict) == (0.0625, "not decided")
    assert "all seeds give the same number" in found.caution
    more = one(grid(range(6), accuracy=lambda h, s, seed: 0.9 - 0.1 * ("RLR" in s)), compare=BOTH, over=None)
    assert (more.p_value, more.verdict) == (0.03125, "holds")


def test_a_seed_that_lacks_runs_is_named() -> None:
    results = FALLING[
        ~((FALLING["seed"] == 3) & (FALLING["alpha"] == 0.5) & (FALLING["setting"] == "backdoor"))
    ]
    found = one(results, where={"setting": "backdoor"})
    assert found.n == 4
    assert "seed 3" in found.caution
    few = one(FALLING[(FALLING["alpha"] != 0.25) | (FALLING["seed"] == 0)])
    assert few.n == 5
    assert "too few seeds have it: alpha 0.25, setting no attack; alpha 0.25, setting backdoor" in few.caution


def test_an_interval_that_excludes_zero_beside_a_verdict_of_not_decided_is_explained() -> None:
    """One claim of seven with p = 0.013: by itself it would hold, times seven it does not."""
    results = grid(
        accuracy=lambda h, s, seed: 0.9 - (0.0055 + NOISE[seed]) * h,
        bias=lambda h, s, seed: 0.3 + NOISE[seed] * h,
    )
    claims = [claim()] + [claim(metric="bias", direction="rises")] * 6
    found = judge(STUDY, results, claims)[0]
    assert found.verdict == "not decided"
    assert found.low < found.high < 0
    assert found.p_value < 0.05 < found.p_holm
    assert found.caution.startswith(
        "by itself it would hold (p = 0.013): the interval, which is of this claim alone, "
    )
    assert "lies below 0; of 7 claims" in found.caution
    assert effect_words(found).endswith(
        "percentage points per halving of alpha; p = 0.013, 0.094 corrected for all claims"
    )
    assert one(results).verdict == "holds"
    assert "corrected" not in effect_words(one(results))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "accuracy falls as alpha falls, averaged over setting"),
        (
            {"over": "skew_total_variation"},
            "accuracy falls as skew total variation grows, averaged over alpha and setting",
        ),
        (
            {"over": None, "compare": BOTH, "margin": 2, "where": {"alpha": 0.5}},
            "accuracy falls from setting backdoor to setting backdoor + RLR by more than 2 percentage points, where "
            "alpha is 0.5",
        ),
        (
            {"compare": BOTH, "direction": "does not rise", "margin": 0.5},
            "the difference in accuracy between setting backdoor + RLR and setting backdoor does not rise as alpha "
            "falls by more than 0.5 percentage points per halving of alpha",
        ),
        (
            {
                "metric": "bias",
                "direction": "rises",
                "faster_than": {"metric": "test_loss", "direction": "rises"},
            },
            "bias rises relatively faster than test loss rises as alpha falls, averaged over setting",
        ),
    ],
)
def test_what_is_tested_is_said_from_the_fields_alone(changes: dict[str, Any], words: str) -> None:
    assert what_is_tested(STUDY, claim(text="the moon is made of cheese", **changes)) == words
    assert one(FALLING, text="cheese", **changes).tested == words


@pytest.mark.parametrize(
    ("field", "values", "words"),
    [
        (
            "split.alpha",
            [1.0, 0.25],
            "as concentration falls by more than 1 percentage points per halving of",
        ),
        ("clients.count", [10, 20], "as concentration grows by more than 1 percentage points per unit of"),
        (
            "clients.count",
            [10, 40],
            "as concentration grows by more than 1 percentage points per doubling of",
        ),
    ],
)
def test_which_way_an_axis_goes_is_that_of_its_scale(field: str, values: list[float], words: str) -> None:
    """The split's concentration under another name is still followed downwards."""
    study = Study.model_validate(CONTENT | {"axes": {"concentration": {"field": field, "values": values}}})
    assert words in what_is_tested(study, claim(over="concentration", margin=1))


def test_a_margin_that_the_interval_leaves_out() -> None:
    """The claim that accuracy does not fall by more than 1 point, where it falls by 0 to 1: beyond -1 at p = 0.007."""
    results = grid(
        accuracy=lambda h, s, seed: 0.9 - (0.0040 + NOISE[seed]) * h,
        bias=lambda h, s, seed: 0.3 + NOISE[seed] * h,
    )
    claims = [claim(direction="does not fall", margin=1)] + [claim(metric="bias", direction="rises")] * 6
    refuted = [claim(margin=1), *claims[1:]]
    for family, word in ((claims, "hold"), (refuted, "not hold")):
        found = judge(STUDY, results, family)[0]
        assert found.p_value < 0.05 < found.p_holm
        assert f"by itself it would {word} (" in found.caution
        assert "lies above -1;" in found.caution


def test_one_point_of_an_axis_has_no_trend() -> None:
    found = one(FALLING[FALLING["alpha"] == 1.0])
    assert (found.n, found.verdict) == (0, "not decided")


# --- the paper's ------------------------------------------------------------------------------------


def test_the_papers_claims() -> None:
    found = paper_claims(STUDY)
    assert [c.text for c in found] == [
        "accuracy falls as alpha falls",
        "bias rises as alpha falls",
        "bias changes faster than accuracy as alpha falls (relative change)",
        "backdoor accuracy rises as alpha falls",
        "RLR lowers backdoor accuracy",
        "RLR costs accuracy",
        "RLR costs more accuracy at low alpha",
        "RLR raises the bias under attack",
        "RLR raises the bias under attack more at low alpha",
    ]
    assert all("section III-" in c.source and "Table" in c.source for c in found)
    assert [c.text for c in attacked_claims(STUDY)] == [
        "accuracy falls as alpha falls (backdoor)",
        "bias rises as alpha falls (backdoor)",
        "accuracy falls as alpha falls (backdoor + RLR)",
        "bias rises as alpha falls (backdoor + RLR)",
    ]
    planned_runs(STUDY.model_copy(update={"claims": found + attacked_claims(STUDY)}))  # valid in a study file


def test_a_study_has_the_claims_that_it_has_the_settings_for() -> None:
    def axes(**changed: Any) -> Study:
        return Study.model_validate(CONTENT | {"axes": changed})

    two: dict[str, Any] = {"variants": {"no attack": {}, "backdoor": {}}}
    assert len(paper_claims(axes(alpha=CONTENT["axes"]["alpha"], setting=two))) == 4
    assert len(attacked_claims(axes(alpha=CONTENT["axes"]["alpha"], setting=two))) == 2
    assert paper_claims(axes(setting=CONTENT["axes"]["setting"])) == ()
    assert attacked_claims(axes(setting=CONTENT["axes"]["setting"])) == ()
    assert paper_claims(axes(alpha=CONTENT["axes"]["alpha"], setting={"variants": {"a": {}}})) == ()
    further = axes(**CONTENT["axes"], clients={"field": "clients.count", "values": [10, 20]})
    assert paper_claims(further) == attacked_claims(further) == (), "they would be averaged over it"
    single = axes(**CONTENT["axes"], clients={"field": "clients.count", "values": [20]})
    assert len(paper_claims(single)) == 9, "an axis of one point averages nothing"


@pytest.mark.parametrize("dataset", ["fashion-mnist", "cifar-10"])
def test_the_papers_own_means_are_on_the_side_that_it_claims(dataset: str) -> None:
    """Two seeds around the published means: every effect has the claimed sign, except where noted."""
    means = {
        (row["alpha"], row["setting"], row["metric"]): row["mean"] / 100
        for row in paper_numbers().query("dataset == @dataset").to_dict("records")
    }
    metrics = ("accuracy", "bias", "backdoor_accuracy")
    results = grid(
        (0, 1),
        **{
            metric: lambda h, s, seed, m=metric: means.get((2.0**-h, s, m), math.nan) + 1e-3 * (seed - 0.5)
            for metric in metrics
        },
    )
    for judgement in judge(STUDY, results, claims_of(STUDY)):
        assert judgement.n == 2, judgement.claim.text
        assert judgement.effect * judgement.claim.side > 0, judgement.claim.text


def test_by_default_a_studys_own_claims_come_before_the_papers() -> None:
    own = STUDY.model_copy(update={"claims": (claim(text="mine"),)})
    found = judge(own, FALLING, claims_of(own))
    assert [j.claim.text for j in found] == ["mine", *(c.text for c in paper_claims(STUDY))]


# --- the study file ---------------------------------------------------------------------------------

FILE = """\
name = "mine"
seeds = [0, 1]
base.rounds = 1

[axes.setting.variants]
none = {}
clip = { "defence.transforms" = [{ name = "clip", norm = 1.0 }] }

[axes.alpha]
field = "server.learning_rate"
values = [1.0, 0.25]

[[claims]]
text = "clipping costs at most 2 points of accuracy"
metric = "accuracy"
direction = "does not fall"
margin = 2.0
compare = { setting = ["none", "clip"] }

[[claims]]
text = "accuracy falls as alpha falls, with clipping"
metric = "accuracy"
direction = "falls"
over = "alpha"
where = { setting = "clip" }
"""


def load(folder: Path, text: str = FILE, *overrides: str) -> Study:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    source = find_config(str(path), overrides)
    study = as_study(source)
    planned_runs(study, source.origin)
    return study


def test_claims_of_a_study_file(tmp_path: Path) -> None:
    first, second = load(tmp_path).claims
    assert (first.side, first.threshold) == (1, -2.0)
    assert first.compare == {"setting": ("none", "clip")}
    assert (second.side, second.threshold, second.where) == (-1, 0.0, {"setting": "clip"})


@pytest.mark.parametrize(
    ("old", "new", "line", "message", "hint"),
    [
        (
            'over = "alpha"',
            'over = "alpa"',
            24,
            'claims.1.over: unknown axis or measured skew "alpa"',
            '"alpha"',
        ),
        ('over = "alpha"', 'over = "setting"', 24, 'not numeric: "none", "clip"', None),
        (
            'where = { setting = "clip" }',
            'where = { seting = "clip" }',
            25,
            "claims.1.where: unknown axis",
            '"setting"',
        ),
        (
            '{ setting = "clip" }',
            '{ setting = "clp" }',
            25,
            'unknown label of setting "clp"; valid: "none", "clip"',
            '"clip"',
        ),
        (
            '["none", "clip"]',
            '["none", "clipp"]',
            18,
            'claims.0.compare: unknown label of setting "clipp"',
            '"clip"',
        ),
        ('["none", "clip"]', '["clip", "clip"]', 18, "'clip' is compared with itself", None),
        ("{ setting = [", "{ sett = [", 18, 'claims.0.compare: unknown axis "sett"', '"setting"'),
        (
            'over = "alpha"\nwhere = { setting = "clip" }',
            'over = "alpha"\nwhere = { alpha = 1.0 }',
            20,
            "is used twice",
            None,
        ),
        ('= { setting = "clip" }', "= { alpha = 2 }", 25, "unknown label of alpha 2; valid: 1.0, 0.25", None),
        (
            '= { setting = "clip" }',
            '= { alpha = "1.0" }',
            25,
            'label of alpha "1.0"; valid: 1.0, 0.25',
            "did you mean 1.0?",
        ),
        (
            '= { setting = ["none", "clip"] }',
            '= { setting = ["none"] }',
            18,
            "claims.0.compare.setting",
            None,
        ),
        (
            'metric = "accuracy"\ndirection = "falls"',
            'metric = "acuracy"\ndirection = "falls"',
            22,
            'unknown metric "acuracy"',
            '"accuracy"',
        ),
        (
            'direction = "falls"',
            'direction = "drops"',
            23,
            "claims.1.direction = 'drops'; valid: rises, falls",
            None,
        ),
        ('direction = "falls"', 'direction = "does not fall"', 20, "needs a margin > 0", None),
        ("margin = 2.0", "margin = -2.0", 17, "claims.0.margin = -2.0", None),
        ("margin = 2.0", "magin = 2.0", 17, "unknown field 'claims.0.magin'", "margin"),
        ('over = "alpha"\n', "", 20, "a claim needs compare", None),
        ('text = "acc', 'texts = "acc', 20, "claims.1.text is missing", None),
    ],
)
def test_bad_claims_are_refused(
    tmp_path: Path, old: str, new: str, line: int, message: str, hint: str | None
) -> None:
    assert old in FILE
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, FILE.replace(old, new))
    assert message in caught.value.message
    assert f"mine.toml, line {line}: " in caught.value.message, caught.value.message
    if hint:
        assert hint in (caught.value.hint or "")


def test_metrics_of_ones_own_are_known_to_runs_only(tmp_path: Path) -> None:
    text = FILE.replace('metric = "accuracy"', 'metric = "share_of_zero"')
    with pytest.raises(ConfigError, match="unknown metric"):
        load(tmp_path, text)
    own = 'evaluation.metrics=["plugins:share_of_zero"]'
    assert load(tmp_path, text, own).claims[0].metric == "share_of_zero"
    assert load(tmp_path, FILE.replace('"accuracy"', '"rounds"')).claims[0].metric == "rounds"


def test_the_measures_of_skew_are_those_of_a_run() -> None:
    assert {name.removeprefix("skew_") for name in SKEWS} < set(Heterogeneity.__dataclass_fields__)
    results = FALLING.assign(skew_total_variation=0.3 - np.log2(FALLING["alpha"]) / 10)
    found = one(results, over="skew_total_variation")
    assert found.effect == pytest.approx(-20)
    assert found.unit == "percentage points per unit of total variation"


def test_claims_change_no_run(tmp_path: Path) -> None:
    bare = load(tmp_path, FILE.partition("[[claims]]")[0])
    assert bare.claims == ()
    assert [p.identity for p in planned_runs(bare)] == [p.identity for p in planned_runs(load(tmp_path))]


def test_a_study_folder_takes_other_claims(tmp_path: Path) -> None:
    """They are brought up to date like the seeds, and read back; its runs stay where they are."""
    bare, full = FILE.partition("[[claims]]")[0], FILE
    folder = tmp_path / "studies"
    for text in (bare, full, FILE.replace("margin = 2.0", "margin = 3.0"), bare):
        study = load(tmp_path, text)
        opened = StudyFolder.open(folder, study, find_config(str(tmp_path / "mine.toml")))
        for plan in opened.planned:
            opened.run_folder(plan).path.mkdir(parents=True, exist_ok=True)
        assert StudyFolder.read(folder).study == study
    assert tomllib.loads((folder / "study.toml").read_text(encoding="utf-8"))["claims"] == []


def test_the_papers_claims_as_toml(tmp_path: Path) -> None:
    """What judges the paper can be copied into a study file and changed there."""
    plain = [c.model_dump(mode="json", exclude_none=True) for c in paper_claims(STUDY)]
    path = tmp_path / "s.toml"
    path.write_text(write_toml(CONTENT | {"claims": plain}), encoding="utf-8")
    assert as_study(find_config(str(path))).claims == paper_claims(STUDY)
