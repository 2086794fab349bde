"""Draws docs/shifts.svg, the shifts of clients' data side by side: python docs/make_shifts.py [FILE].

Ten clients of 8x8 digits, seed 0, with the draws that a run makes for them: one image as it looks at each client, and
under label noise the share of the client's labels that may be wrong.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from fedskew.components.binding import resolve
from fedskew.config import Component, Execution, Experiment
from fedskew.federation.world import load_data
from fedskew.protocols import ClientShift, ShiftView
from fedskew.report.figures.files import own_settings, save_figure
from fedskew.seeding import stream

SHIFTS: dict[str, dict[str, Any]] = {
    "none": {},
    "rotation": {"degrees": 60},
    "contrast": {"strength": 0.9},
    "noise": {"std": 0.5},
    "label-noise": {"rate": 0.5},
}
CLIENTS, IMAGE, SEED = 10, 3, 0


def figure(path: Path) -> None:
    """A row for each shift, a column for each client."""
    data = load_data(Experiment(), Execution())
    image = data.x_train[IMAGE : IMAGE + 1]
    with own_settings(), mpl.rc_context({"font.size": 8.0}):
        drawn = Figure(figsize=(7.2, 0.85 * len(SHIFTS)), layout="constrained")
        for (name, options), line in zip(SHIFTS.items(), drawn.subplots(len(SHIFTS), CLIENTS), strict=True):
            rule = resolve("shift", Component.model_validate({"name": name, **options}))
            for client, axes in enumerate(line):
                view = ShiftView(data.info, client, CLIENTS)
                shift: ClientShift = rule(view, stream(SEED, "shift", client))
                seen = (
                    shift.images(image.clone(), stream(SEED, "shift images", client))
                    if shift.images
                    else image
                )
                axes.imshow(seen[0, 0].numpy(), cmap="gray", vmin=0, vmax=255)
                axes.set(xticks=[], yticks=[])
                (value,) = shift.values.values() or (None,)
                axes.set_xlabel(
                    ""
                    if value is None
                    else f"{100 * value:.0f} %"
                    if name == "label-noise"
                    else f"{value:.2g}"
                )
            options_of = ", ".join(f"{option} = {value:g}" for option, value in options.items())
            line[0].set_ylabel(f"{name}\n{options_of}", rotation=0, ha="right", va="center")
        save_figure(drawn, path, dpi=150)


if __name__ == "__main__":
    figure(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("shifts.svg")))
