"""How far the native kernels' gradients lie from float64: direct convolution beside minimal filtering, in one run.

    python benchmarks/rounding.py [--batches 4] [--json FILE]

The 6-layer CNN on uniform random images, at its initial weights and after some steps of Adam. A gradient is compared
with that of PyTorch in float64 for the same batch and the same dropout masks, tensor by tensor: ||found - exact|| /
||exact||. Much of it is not rounding of sums but decisions: where two units of a pooling window, or a unit and zero,
are as near as the rounding, another one is the maximum, and the gradient takes another path. So the table also has the
error of the losses without dropout, which have no such decisions behind them (kernels evaluate in float32 in either
format), and PyTorch's own float32 and bfloat16 (autocast).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedskew.models.build import fresh
from fedskew.models.cnn6 import cnn6
from fedskew.protocols import DatasetInfo
from fedskew.runs.session import commit, processor
from fedskew.training.arithmetic import flatten
from fedskew.training.native import NativeModel, build, codegen

INFO = DatasetInfo("c", tuple("0123456789"), (3, 32, 32), (0.5,) * 3, (0.25,) * 3)
BATCH = 256


@contextmanager
def direct() -> Iterator[None]:
    """Kernels built inside the block convolve directly."""
    before = codegen.minimal
    codegen.minimal = lambda layer: False
    try:
        yield
    finally:
        codegen.minimal = before


class Masked(nn.Module):
    """Dropout with given masks [n, units]."""

    def __init__(self) -> None:
        super().__init__()
        self.mask = torch.ones(1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask.to(x.dtype)


def torch_results(
    module: nn.Module,
    weights: Tensor,
    images: Tensor,
    labels: Tensor,
    masks: list[Tensor],
    dtype: torch.dtype,
) -> tuple[Tensor, list[Tensor]]:
    """Losses [n] without dropout, and the gradient of the mean loss with it, by tensor."""
    model = nn.Sequential(*(layer for layer in module))
    layers = list(model)
    places = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Dropout)]
    for place, mask in zip(places, masks, strict=True):
        layers[place] = Masked()
        layers[place].mask = mask
    masked = nn.Sequential(*layers).to(dtype)
    torch.nn.utils.vector_to_parameters(weights.to(dtype), masked.parameters())
    x = (images.to(dtype) / 255 - 0.5) / 0.25
    logits = masked(x)
    loss = functional.cross_entropy(logits.to(dtype), labels)
    gradients = torch.autograd.grad(loss, list(masked.parameters()))
    for place in places:
        layers[place].mask = torch.ones(1)
    with torch.no_grad():
        losses = functional.cross_entropy(masked(x).to(dtype), labels, reduction="none")
    return losses.double(), [g.double() for g in gradients]


def measure(batches: int) -> dict[str, dict[str, Any]]:
    """Largest and root mean square relative errors over batches, by kind of kernel and tensor."""
    found: dict[str, dict[str, list[float]]] = {}
    for seed in range(batches):
        rng = torch.Generator().manual_seed(seed)
        module = fresh(cnn6, INFO, seed)
        flat = nn.Sequential(*[layer for layer in module.modules() if not list(layer.children())])
        names = [name for name, _ in module.named_parameters()]
        images = torch.randint(0, 256, (BATCH, *INFO.image_shape), dtype=torch.uint8, generator=rng)
        labels = torch.randint(0, 10, (BATCH,), generator=rng)
        with direct():
            kernels = {"direct": build(module, INFO.image_shape, INFO.mean, INFO.std)}
        kernels["minimal filtering"] = build(module, INFO.image_shape, INFO.mean, INFO.std)
        kernels["the same, bfloat16"] = build(module, INFO.image_shape, INFO.mean, INFO.std, half=True)
        weights = flatten(list(module.parameters()))
        if seed % 2:
            train(kernels["direct"], weights, images, labels)
        masks = [
            torch.stack([kernels["direct"].dropout_mask(layer, seed, i) for i in range(BATCH)])
            for layer in range(3)
        ]
        exact_losses, exact = torch_results(flat, weights, images, labels, masks, torch.float64)
        sizes = [g.numel() for g in exact]
        for name in (*kernels, "torch float32", "torch bfloat16"):
            if name in kernels:
                gradient = torch.zeros_like(weights)
                kernels[name].loss_and_gradient(weights, gradient, images, labels, torch.arange(BATCH), seed)
                losses = kernels[name].evaluate(weights, images, labels, None)[0].double()
                parts = [p.view_as(e).double() for p, e in zip(gradient.split(sizes), exact, strict=True)]
            else:
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=name == "torch bfloat16"):
                    losses, parts = torch_results(flat, weights, images, labels, masks, torch.float32)
            rows = found.setdefault(name, {})
            rows.setdefault("losses", []).append(_relative(losses, exact_losses))
            for label, part, wanted in zip(names, parts, exact, strict=True):
                rows.setdefault(label, []).append(_relative(part, wanted))
    return {
        kind: {
            name: {"rms": float(torch.tensor(v).square().mean().sqrt()), "largest": max(v)}
            for name, v in rows.items()
        }
        for kind, rows in found.items()
    }


def train(model: NativeModel, weights: Tensor, images: Tensor, labels: Tensor) -> None:
    """Some steps of Adam, so that weights and activations are not those of the start."""
    gradient = torch.zeros_like(weights)
    weights.requires_grad_(False)
    optimizer = torch.optim.Adam([weights])
    for step in range(20):
        model.loss_and_gradient(weights, gradient, images, labels, torch.arange(BATCH), step)
        weights.grad = gradient
        optimizer.step()
    weights.grad = None


def _relative(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).norm() / exact.norm())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = measure(options.batches)
    print(f"{processor()}, PyTorch {torch.__version__}, commit {commit()}")
    kinds = list(results)
    print(f"{'relative error, rms (largest)':<30}" + "".join(f"{kind:>21}" for kind in kinds))
    for name in results[kinds[0]]:
        cells = [f"{results[k][name]['rms']:.1e} ({results[k][name]['largest']:.1e})" for k in kinds]
        print(f"{name:<30}" + "".join(f"{cell:>21}" for cell in cells))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
