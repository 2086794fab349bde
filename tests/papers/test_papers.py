"""The papers behind one door: what each says of itself fits its numbers and what a study can refer to."""

from __future__ import annotations

import pandas as pd
import pytest

from fedskew.config.origin import Origin
from fedskew.errors import ConfigError
from fedskew.evaluation.metric_table import METRICS
from fedskew.papers import PAPERS, Paper, check_reference, claims_of, published_beside
from fedskew.papers.ozdayi_kantarcioglu import PAPER
from fedskew.report.tables.paper import tables_words
from fedskew.study.grid import Study

AXES = {
    "alpha": {"field": "split.alpha", "values": [1.0, 0.5]},
    "setting": {"variants": {"no attack": {}, "backdoor": {}}},
}


def study(**changes: object) -> Study:
    return Study.model_validate({"name": "mine", "seeds": [0], "axes": AXES} | changes)


def test_every_reference_is_of_exactly_one_paper() -> None:
    references = [reference for paper in PAPERS for reference in paper.references]
    assert len(set(references)) == len(references)
    for reference in (None, *references):
        check_reference(study(reference=reference), Origin())


def test_an_unknown_reference_is_named_with_its_line() -> None:
    text = 'name = "mine"\nreference = "cifar-100"\n'
    with pytest.raises(ConfigError) as caught:
        check_reference(study(reference="cifar-100"), Origin("mine.toml", text))
    assert caught.value.message == (
        "mine.toml, line 2: reference: unknown reference 'cifar-100'; valid: cifar-10, fashion-mnist"
    )
    assert caught.value.hint == "did you mean 'cifar-10'?"


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.short)
def test_front_matter_fits_the_numbers(paper: Paper) -> None:
    assert set(paper.metrics) <= METRICS
    assert paper.url.startswith("https://")
    for reference in paper.references:
        numbers = paper.beside(pd.DataFrame(), reference)
        assert list(dict.fromkeys(numbers["table"])) == list(paper.tables)
        assert set(numbers["metric"]) == set(paper.metrics)
        assert {*paper.axes, "paper", "paper_std", "ours", "ours_std", "seeds", "z", "p_value", "p_holm"} <= {
            *numbers
        }
        assert (numbers["seeds"] == 0).all()
        assert numbers["ours"].isna().all()


def test_how_a_paper_is_named() -> None:
    assert PAPER.short == "Ozdayi & Kantarcioglu (2021)"
    assert PAPER.citation.startswith(
        "Mustafa Safa Ozdayi, Murat Kantarcioglu: The Impact of Data Distribution on"
    )
    assert tables_words(PAPER) == "Tables I to V of Ozdayi & Kantarcioglu (2021)"


def test_published_numbers_need_a_reference_and_the_papers_axes() -> None:
    none = pd.DataFrame()
    found = published_beside(study(reference="fashion-mnist"), none)
    assert found is not None
    assert found.paper is PAPER
    assert len(found.numbers) == 36
    assert published_beside(study(), none) is None
    one_axis = study(reference="fashion-mnist", axes={"alpha": AXES["alpha"]})
    assert published_beside(one_axis, none) is None


def test_a_studys_own_claims_come_first() -> None:
    own = {"text": "mine", "metric": "bias", "direction": "rises", "over": "alpha"}
    claims = claims_of(study(claims=[own]))
    assert claims[0].text == "mine"
    assert [claim.text for claim in claims[1:]] == [claim.text for claim in PAPER.claims(study())]
    assert len(claims) > 1
