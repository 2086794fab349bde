"""Images from the update that a client sends.  `python examples/gradient_inversion.py [PICTURE]`, some seconds.

What a server can make of it that knows the model and the labels (that of a single image it finds by itself). This is
easy for one step on a few images and a small fully connected model. A demonstration, no measure of practical risk.
"""

import copy
import sys

import matplotlib.pyplot as plt
import torch
from torch.nn.functional import cross_entropy, pad
from torch.nn.utils import parameters_to_vector as vector

from fedskew.datasets import load
from fedskew.evaluation.reconstruction import identified, paired, psnr
from fedskew.models.build import fresh
from fedskew.models.mlp import mlp
from fedskew.privacy.gradient_inversion import invert


def train(model, info, images, labels, optimiser, epochs, batch_size):
    """What a client's training makes of a model."""
    local, order = copy.deepcopy(model), torch.Generator().manual_seed(0)
    stepper = optimiser(local.parameters(), lr=0.1)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels), generator=order).split(batch_size):
            stepper.zero_grad()
            cross_entropy(local((images[batch] - info.mean[0]) / info.std[0]), labels[batch]).backward()
            stepper.step()
    return local


def main(picture="gradient_inversion.png", steps=500):
    """Prints a table and writes a picture; the attack takes so many steps."""
    data = load("digits")
    info, pixels = data.info, data.x_train.float() / 255
    sgd, adam, new = torch.optim.SGD, torch.optim.Adam, fresh(mlp, info, seed=0)
    trained = train(new, info, pixels[32:], data.y_train[32:], sgd, 20, 32)
    settings = [("one step", new, count, sgd, 1, count) for count in (1, 2, 4, 8, 32)]
    settings += [("one step, trained model", trained, 8, sgd, 1, 8), ("one step of Adam", new, 8, adam, 1, 8)]
    settings += [(f"2 epochs, batches of {n // 4}", new, n, sgd, 2, n // 4) for n in (8, 32)]
    figure, axes = plt.subplots(3, 3, figsize=(12, 5), layout="constrained")
    print(f"update                   images  PSNR     identified among {len(pixels)}")
    for (name, model, count, *recipe), place in zip(settings, axes.flat, strict=True):
        truth, labels = pixels[:count], data.y_train[:count]
        delta = vector(train(model, info, truth, labels, *recipe).parameters()) - vector(model.parameters())
        found = paired(invert(model, info, delta, labels if count > 1 else None, steps=steps), truth)
        quality, share = psnr(found, truth).mean(), identified(found, pixels, torch.arange(count))
        print(f"{name:23}  {count:6}  {quality:4.1f} dB  {share:4.0%}", flush=True)
        rows = [torch.cat([*pad(part[:8, 0], (0, 1, 0, 1), value=1)], dim=1) for part in (truth, found)]
        place.imshow(torch.cat(rows).numpy(), cmap="gray", vmin=0, vmax=1)
        place.set(xticks=[], yticks=[], frame_on=False, title=f"{name}: {count}")
    figure.suptitle("Originals over reconstructions: the first eight images")
    figure.savefig(picture)


if __name__ == "__main__":
    main(*sys.argv[1:2])
