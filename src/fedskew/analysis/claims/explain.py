"""The words beside a verdict: the numbers in one sentence, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Mapping

from fedskew.analysis.claims.judgement import LEVEL, Judgement
from fedskew.analysis.contrasts import PerSeed
from fedskew.analysis.significance import FEWEST
from fedskew.evaluation.metric_table import meaning
from fedskew.wording import cell_in_words, count

MOST = 3
"""Single seeds that are listed."""


def why(judgement: Judgement, judged: int, effect: PerSeed | None) -> str:
    """The numbers of a judgement in one sentence.

    Args:
        judged: how many claims it was corrected for.
        effect: in each seed; None if no seed has the runs for it.
    """
    claim, n = judgement.claim, judgement.n
    subject = meaning(claim.metric).label
    if claim.faster_than:
        subject = f"the rate of {subject} beyond that of {meaning(claim.faster_than.metric).label}"
    if claim.compare:
        ((axis, (first, second)),) = claim.compare.items()
        subject += f", {axis} {second} minus {first}"
    if claim.where:
        subject += ", " + cell_in_words(claim.where)
    if claim.worst_of:
        subject += f", worst {claim.worst_of}"
    if n == 0:
        return f"{subject}: no seed has complete runs for it"
    digits = claim.digits
    numbers = f"{subject}: {judgement.effect:+.{digits}f} {judgement.unit}".rstrip()
    if claim.margin:
        numbers += f", claimed to be {'above' if claim.side > 0 else 'below'} {claim.threshold:+g}"
    if n == 1:
        return f"{numbers} (one seed)"
    if effect and effect.cells:
        numbers += f", the mean of {_cells(effect.cells, digits)}"
    numbers += f" (95 % interval {judgement.low:+.{digits}f} to {judgement.high:+.{digits}f}, {n} seeds"
    if n < FEWEST:
        return f"{numbers}, too few for a test)"
    corrected = f", {_p(judgement.p_holm)} corrected for {judged} claims" if judged > 1 else ""
    return f"{numbers}; p = {_p(judgement.p_value)}{corrected})"


def caution(judgement: Judgement, judged: int, exact: float, effect: PerSeed | None) -> str:
    """What limits a verdict: few seeds, missing runs, cells that disagree; "" if nothing does.

    Args:
        judged, effect: as for ``why``.
        exact: the sign-flip p-value, corrected for the same number of claims.
    """
    found = [_small_sample(judgement, judged, exact)]
    if effect and effect.left_out:
        seeds = ", ".join(map(str, effect.left_out))
        what = "seed" if len(effect.left_out) == 1 else "seeds"
        found.append(
            f"left out, because some of their runs are missing or have no such number: {what} {seeds}"
        )
    if effect and effect.cells_left_out:
        found.append(f"left out, because too few seeds have it: {'; '.join(effect.cells_left_out)}")
    if effect:
        found.append(_against(judgement, effect))
    found += [_places_apart(judgement), _two_points(judgement)]
    return "; ".join(filter(None, found))


def _against(judgement: Judgement, effect: PerSeed) -> str:
    """The cells, of those that the effect is a mean of, in which it lies on the other side."""
    threshold = judgement.claim.threshold
    others = {cell: mean for cell, mean in effect.cells.items() if (mean > threshold) != judgement.above}
    if judgement.verdict in ("not decided", "depends") or not others:
        return ""
    listed = _cells(others, judgement.claim.digits)
    return (
        f"the effect is a mean over cells, and these lie on the other side of {threshold + 0.0:g}: {listed}"
    )


def _places_apart(judgement: Judgement) -> str:
    """Places with another verdict of their own than the one on the mean, where that is no reason to say it depends."""
    others = judgement.places_apart
    if judgement.verdict == "depends" or not others:
        return ""
    words = [
        f"{place.axis} {place.label} ({place.verdict}, {place.some} on the claimed side)" for place in others
    ]
    by_itself = f"by itself it would have another verdict at {', '.join(words)}"
    if judgement.size:
        return f"the verdict is on the mean over {others[0].axis}, over which the effect changes: {by_itself}"
    return f"{by_itself}, and no difference between places is shown"


def _two_points(judgement: Judgement) -> str:
    """What a slope over two points cannot show."""
    claim, places = judgement.claim, judgement.places
    if claim.over is None or judgement.verdict == "not decided" or len(places) != 2:
        return ""
    return f"it compares {claim.over} {places[0].label} and {places[1].label}; what lies between them is not known"


def exceptions(judgement: Judgement, effect: PerSeed | None) -> tuple[str, tuple[int, int]]:
    """The single seeds in which a decided effect lies on the other side, the farthest first, or "" if there are none;
    and how many there are, of how many."""
    if judgement.verdict == "not decided" or effect is None:
        return "", (0, 0)
    threshold, pairs = judgement.claim.threshold, _singles(effect)
    # Where a verdict depends on the place, its mean says nothing; what counts then is the side that is claimed.
    above = judgement.claim.side > 0 if judgement.verdict == "depends" else judgement.above
    others = [pair for pair in pairs if pair[0] != threshold and (pair[0] > threshold) != above]
    if not others:
        return "", (0, len(pairs))
    others.sort(key=lambda pair: -abs(pair[0] - threshold))
    shown = [_single(*pair, judgement.claim.digits) for pair in others[:MOST]]
    more = f" and {len(others) - MOST} more" if len(others) > MOST else ""
    words = (
        f"in {len(others)} of {len(pairs)} single comparisons the effect lies on the other side of "
        f"{threshold + 0.0:g}: {'; '.join(shown)}{more}"
    )
    return words, (len(others), len(pairs))


def worst(judgement: Judgement, effect: PerSeed | None) -> str:
    """The single seed whose effect is farthest from what is claimed, e.g. "alpha 0.3, seed 0 (+17.78)"; "" if none is
    there."""
    if effect is None:
        return ""
    side = judgement.claim.side
    return _single(*min(_singles(effect), key=lambda pair: side * pair[0]), judgement.claim.digits)


def _singles(effect: PerSeed) -> list[tuple[float, str, int]]:
    """(number, cell in words, seed) of every single comparison, or of every seed's slope."""
    singles = effect.singles or {"": effect.values}
    return [(value, cell, seed) for cell, found in singles.items() for seed, value in found.items()]


def _single(value: float, cell: str, seed: int, digits: int) -> str:
    return f"{cell + ', ' if cell else ''}seed {seed} ({value:+.{digits}f})"


def _cells(means: Mapping[str, float], digits: int) -> str:
    return "; ".join(f"{cell} ({mean:+.{digits}f})" for cell, mean in means.items())


def _small_sample(judgement: Judgement, judged: int, exact: float) -> str:
    """What so few seeds cannot show, and which assumption the verdict rests on."""
    n = judgement.n
    if n == 0:
        return ""
    if n < FEWEST:
        return f"with {count(n, 'seed')} nothing is decided"
    same = judgement.low == judgement.high
    if same and judgement.smallest_p * judged >= LEVEL:
        return (
            "all seeds give the same number, which leaves the t-test no spread to compare it with; the sign-flip "
            f"test cannot give less than {_least(judgement, judged)} with {n} seeds"
        )
    if judgement.verdict == "not decided" and judgement.p_value < LEVEL:
        claim, above = judgement.claim, judgement.above
        alone = "hold" if above == (claim.side > 0) else "not hold"
        return (
            f"by itself it would {alone} (p = {_p(judgement.p_value)}): the interval, which is of this claim alone, "
            f"lies {'above' if above else 'below'} {claim.threshold + 0.0:g}; of {judged} claims judged together one "
            f"may look so by chance, and corrected for that it is not decided (p = {_p(judgement.p_holm)})"
        )
    if judgement.verdict == "not decided":
        return "not decided is not the same as no effect: the interval says which effects remain possible"
    if judgement.verdict == "depends":
        return ""
    if judgement.smallest_p * judged >= LEVEL:
        return (
            "it rests on the assumption that the effect is normally distributed over seeds: the sign-flip test, "
            f"which does not assume it, cannot give less than {_least(judgement, judged)} with {n} seeds"
        )
    if exact >= LEVEL:
        return (
            f"the sign-flip test, which assumes no normal distribution, does not confirm it: p = "
            f"{_p(judgement.exact_p)}, corrected {_p(exact)}"
        )
    return ""


def _least(judgement: Judgement, judged: int) -> str:
    """The smallest p-value that the sign-flip test can give, before and after the correction."""
    corrected = f", {_p(min(1.0, judgement.smallest_p * judged))} corrected" if judged > 1 else ""
    return f"p = {_p(judgement.smallest_p)}{corrected}"


def _p(value: float) -> str:
    """A p-value with two significant digits."""
    return f"{value:.2g}" if value >= 1e-4 else "0.0001 or less"
