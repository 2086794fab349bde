"""Ozdayi & Kantarcioglu, "The Impact of Data Distribution on Fairness and Robustness in Federated Learning" (2021).

Title, authors, venue and tables are in ``PAPER``; its statements are in ``claims``, the numbers of its Tables I to V
in ``tables`` and tables.csv. The presets ``paper-fashion-mnist``, ``paper-text-fashion-mnist`` and ``paper-cifar-10``
run its experiment; docs/reproduction.md compares the results.
"""

from fedskew.papers.ozdayi_kantarcioglu.claims import attacked_claims, paper_claims
from fedskew.papers.ozdayi_kantarcioglu.tables import PAPER_RUNS, beside_paper, paper_numbers
from fedskew.papers.paper import Paper

__all__ = ["PAPER", "attacked_claims", "beside_paper", "paper_claims", "paper_numbers"]

PAPER = Paper(
    title="The Impact of Data Distribution on Fairness and Robustness in Federated Learning",
    authors=("Mustafa Safa Ozdayi", "Murat Kantarcioglu"),
    venue="IEEE International Conference on Trust, Privacy and Security in Intelligent Systems and Applications",
    year=2021,
    url="https://arxiv.org/abs/2112.01274",
    tables={
        "I": "Effect of data distribution on fairness",
        "II": "Effect of data distribution on robustness",
        "III": "Effect of data distribution on robustness under the RLR defence",
        "IV": "Fairness and robustness under the attack without a defence",
        "V": "Fairness and robustness under the attack with the RLR defence",
    },
    runs=PAPER_RUNS,
    axes={"alpha": "Dirichlet alpha", "setting": "setting"},
    metrics=("accuracy", "bias", "backdoor_accuracy"),
    references=("fashion-mnist", "cifar-10"),
    claims=paper_claims,
    beside=beside_paper,
)
