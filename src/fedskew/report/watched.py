"""Which privacy attacks watch the runs of a study, in words."""

from __future__ import annotations

from fedskew.config import Experiment
from fedskew.report.described import about, component_words
from fedskew.report.evidence import Evidence
from fedskew.report.told import told
from fedskew.wording import count


def watched_by(evidence: Evidence) -> list[tuple[str, str]]:
    """Who watches the runs and looks for what clients hold; nothing where nobody does."""
    if not any(plan.experiment.privacy.attacks for plan in evidence.planned):
        return []

    def words(experiment: Experiment) -> str:
        privacy, own = experiment.privacy, evidence.own_words
        if not privacy.attacks:
            return "none"
        attacks = "; ".join(
            component_words("privacy-attack", one, own) + about("privacy-attack", one, own)
            for one in privacy.attacks
        )
        often = "every round" if privacy.every == 1 else f"one round in {privacy.every} and the last"
        return (
            f"{attacks}. They are asked about at most {count(privacy.records, 'image')} of each honest client that it "
            f"trained on and as many that it did not; they see {often}"
        )

    return [("Privacy attacks", told(evidence, words))]
