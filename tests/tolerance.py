"""How far float32 may be from exact arithmetic: derived from the format, the length of the sums and the conditioning.

Nothing here is measured on float32 results, so no number depends on the processor that the tests run on.

Sums
    Let u be the unit roundoff of a format, 2^-24 for float32. In whatever order n numbers are added or n products
    are summed, with or without fused multiply-adds, the result differs from the exact one by at most::

        gamma_n * sum_i |x_i|,    gamma_n = n u / (1 - n u)

    (Higham, Accuracy and Stability of Numerical Algorithms, 2002, sections 3.1 and 4.2). The worst case needs all n
    errors to have one sign. With a probability of at least 1 - 2 exp(-t^2 / 2) the bound holds with t sqrt(n) in the
    place of n (Higham and Mary, A new approach to probabilistic rounding error analysis, 2019, theorem 2.4);
    ``likely_gamma`` takes t = 5.

Training
    A gradient is a composition of such sums, and rounds of training compose gradients, so that the error of one step
    is magnified by the next. The product of worst cases says nothing here, because it exceeds the result itself. But
    every computed product W x is the *exact* product with weights W (1 + d), |d| <= gamma_n (backward error; Higham,
    section 3.5), hence the question is what such changes of the weights do to the result: its conditioning. ``expect``
    answers it by experiment in float64: it runs the exact computation once as it is and several times with every
    weight, input, loss and gradient of every step changed by that much, with random signs (Monte Carlo arithmetic:
    Parker 1997; Vignes, discrete stochastic arithmetic, 2004). Twice the largest change of a result is what float32
    may do to it. Where a ReLU or a pooling lies so near its kink that rounding decides, replicas fall on the other
    side too, and as far away as float32; hence twice.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

UNIT = 2.0**-24
"""The unit roundoff of float32: half the distance from 1 to the next larger number."""

SMALLEST = 2.0**-149
"""The smallest float32 above 0: what a result so small that it is rounded to its multiples may be off by."""

BFLOAT16 = 2.0**-8
"""The unit roundoff of bfloat16, which keeps 8 bits."""

MAGNIFIED = 32.0
"""How much more than a sum of products minimal filtering F(4x4, 3x3) rounds, for factors of random signs.

An output is a sum over points p of A'_p times a product whose two factors are sums with B'_p and G_p. Errors add like
variances, so in one dimension the magnification squared is the largest over outputs of
sum_p A'_p^2 |B'_p|^2 |G_p|^2 / 3, which is 31; two dimensions square it. (``tests/training/test_minimal.py`` has the
matrices.)
"""

MAGNIFIED_HALF = 9.0
"""The same with the points that the products in bfloat16 use: 8.8."""

HALVED = MAGNIFIED_HALF * BFLOAT16 / UNIT
"""How much more than a float32 sum those products round."""

REPLICAS = 4


def gamma(terms: float, unit: float = UNIT) -> float:
    """Higham's n u / (1 - n u): the relative error of a sum of n numbers of one sign, at most."""
    return terms * unit / (1 - terms * unit)


def likely_gamma(terms: float) -> float:
    """The same with 5 sqrt(n) instead of n where that is less: exceeded with a probability below 1e-5."""
    return gamma(min(terms, 5 * math.sqrt(terms)))


def within(found: Tensor, terms: Sequence[Tensor], extra: int = 0) -> bool:
    """Is every entry what a float32 sum of the terms may be, in any order?

    Args:
        extra: further roundings of each term (by a weight, by a division).
    """
    rows = torch.stack(list(terms)).double()
    bound = gamma(len(rows) + extra) * rows.abs().sum(0) + len(rows) * SMALLEST
    return bool(((found - rows.sum(0)).abs() <= bound).all())


def longest_sum(module: nn.Module, image_shape: Sequence[int], batch: int) -> int:
    """The terms of the longest sum in the gradient of one batch: images, times the places of a map."""
    longest = batch

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal longest
        longest = max(longest, batch * output[0, 0].numel())

    probe = copy.deepcopy(module).double().eval()
    for layer in probe.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(note)
    with torch.no_grad():
        probe(torch.zeros(1, *image_shape, dtype=torch.float64))
    return longest


class Rounding:
    """Changes float64 numbers as float32 arithmetic may; with ``terms`` 0 not at all.

    Args:
        terms: of the longest sum.
        unit: of the factors and results of products, where that is a narrower format; their sums are in float32.
    """

    def __init__(self, terms: int, seed: int = 0, unit: float = UNIT) -> None:
        self.terms, self.unit = terms, unit
        self.generator = torch.Generator().manual_seed(seed)

    def _size(self, terms: int) -> float:
        narrow = gamma(3, self.unit) if self.unit > UNIT else 0.0  # two factors and their product
        return likely_gamma(terms) + narrow

    def _changed(self, x: Tensor, size: float) -> Tensor:
        if not self.terms:
            return x
        signs = torch.randint(0, 2, x.shape, generator=self.generator, dtype=torch.int8)
        return x * (1 + size * (2 * signs - 1).to(x.dtype))

    def summed(self, x: Tensor, factor: float = 1.0) -> Tensor:
        """A number that is the longest of the sums, or goes into it; ``factor``: how much it is magnified."""
        return self._changed(x, factor * self._size(self.terms))

    def multiplied(self, weights: Tensor, factor: float = 1.0) -> Tensor:
        """Weights [out, in, ...] of a layer, which sums over its inputs and, backwards, over its outputs."""
        terms = max(weights[0].numel() + 1, weights.numel() // (weights.shape[1] if weights.dim() > 1 else 1))
        return self._changed(weights, factor * self._size(terms))

    def stored(self, x: Tensor) -> Tensor:
        """A weight after a step of an optimiser, which rounds it at most four times."""
        return self._changed(x, gamma(4))

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Losses [n]; the difference of probability and truth, of numbers up to 1, is known to some units only."""
        if self.terms and logits.requires_grad:
            noise = self._changed(torch.ones_like(logits), gamma(4)) - 1
            logits.register_hook(lambda gradient: gradient + noise / len(logits))  # type: ignore[no-untyped-call]
        return self.summed(functional.cross_entropy(logits, labels, reduction="none"))


EXACT = Rounding(0)


@dataclass(frozen=True)
class Expected:
    """What exact arithmetic gives, in blocks (one client's change of one parameter tensor, say), and what float32 may.

    Attributes:
        blocks: float64.
        allowed: of each block, the largest distance (2-norm) that rounding explains.
    """

    blocks: list[Tensor]
    allowed: list[float]

    def of_weights(self) -> Expected:
        """Without the blocks that are single numbers (losses, accuracies)."""
        kept = [i for i, block in enumerate(self.blocks) if block.dim()]
        return Expected([self.blocks[i] for i in kept], [self.allowed[i] for i in kept])

    def excess(self, found: Sequence[Tensor]) -> float:
        """The distance of a result in units of what is allowed, in its worst block: above 1 is a mistake."""
        worst = 0.0
        for block, wanted, allowed in zip(found, self.blocks, self.allowed, strict=True):
            assert block.shape == wanted.shape
            distance = float((block.double().cpu() - wanted).norm())
            if not distance <= allowed:  # also where it is not a number
                worst = max(worst, distance / allowed) if allowed and distance == distance else math.inf
            elif allowed:
                worst = max(worst, distance / allowed)
        return worst


def expect(
    run: Callable[[Rounding], Sequence[Tensor]],
    terms: int,
    unit: float = UNIT,
    at_most: float = math.inf,
    replicas: int = REPLICAS,
) -> Expected:
    """The exact result of a computation, and what rounding may do to it.

    Args:
        run: the computation in float64, in blocks; passes what float32 would round through the ``Rounding``.
        terms: the longest sum in it.
        unit: the unit roundoff of the products in it.
        at_most: the share of each block that rounding may change; a problem where a kink, say, makes it more is
            ill-conditioned and a poor test, whatever it is computed with.
        replicas: how often it is tried; more where few inputs matter much (Adam's first step divides by a gradient
            that may be nearly 0).
    """
    blocks = [block.double() for block in run(EXACT)]
    changed = [run(Rounding(terms, seed, unit)) for seed in range(replicas)]
    allowed = [
        2 * max(float((replica[i] - block).norm()) for replica in changed) + UNIT * float(block.norm())
        for i, block in enumerate(blocks)
    ]
    for block, size in zip(blocks, allowed, strict=True):
        assert not size > at_most * float(block.norm()), "an ill-conditioned problem: choose other inputs"
    return Expected(blocks, allowed)
