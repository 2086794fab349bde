"""How much arithmetic a planned model is."""

from __future__ import annotations

from fedskew.training.native.plan import Conv, Linear, Plan


def work_of_a_step(plan: Plan, batch: int) -> float:
    """Nominal floating-point operations of a forward and backward pass of one batch.

    Two per multiply-add; forward, gradient by the weights and, after the first layer, gradient by the input.
    """
    total, passes = 0.0, 2
    for layer in plan.layers:
        if isinstance(layer, Conv):
            height = layer.source.height + 2 * layer.padding[0] - layer.kernel[0] + 1
            width = layer.source.width + 2 * layer.padding[1] - layer.kernel[1] + 1
            taps = layer.source.channels * layer.kernel[0] * layer.kernel[1]
            total += 2.0 * passes * height * width * taps * layer.target.channels
            passes = 3
        elif isinstance(layer, Linear):
            total += 2.0 * passes * layer.source.units * layer.target.units
            passes = 3
    return total * batch
