"""Ozdayi & Kantarcioglu, "The Impact of Data Distribution on Fairness and Robustness in Federated Learning"."""

from fedskew.papers.ozdayi_kantarcioglu.claims import attacked_claims, paper_claims
from fedskew.papers.ozdayi_kantarcioglu.tables import beside_paper, paper_numbers

__all__ = ["attacked_claims", "beside_paper", "paper_claims", "paper_numbers"]
