"""Writes docs/catalogue.md from the rows and docstrings of the built-in components: python docs/make_catalogue.py.

A test compares the page with what ``page`` gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from fedskew.components.catalogue import Entry, entry, said
from fedskew.components.table import BUILT_IN

OPENING = """\
# The catalogue

All {count} built-in components by kind: formula, options, what each needs, and where it comes from. The page is made
from the components themselves, by `python docs/make_catalogue.py`; `fedskew list KIND NAME` shows the same entry in a
terminal. Which values the options take, and what an unset one means, is in
[config.md](config.md#the-built-in-components). An option without a default must be given. What is *needed* and
*refused* is checked when a config is read; where it depends on an option or on the number of clients, it is given for
an example. How to add your own: [plugins.md](plugins.md).

In the formulas, delta_i is the update of client i, its local minus its start weights, and delta_ij its entry for
parameter j. A round has S clients (n in some attacks) and f adversaries, a run K clients; client k has n_k examples,
the model P parameters, the data C classes. w_t are the global weights of round t, and eta is the server's learning
rate. mu and sigma are the mean and the standard deviation of the updates that an adversary sees, and simulate(rows)
is what the run's own defence makes of them. z_c is a model's logit of class c. `x <- y`: y is used instead of x.
Norms are L2 unless they say otherwise.

{contents}
"""

KINDS = {
    "dataset": ("Data sets", "Images and their labels. Field `data`."),
    "split": (
        "Data partitions",
        "How the training images are spread over the clients: label skew, size skew or neither. `fedskew inspect` "
        "shows a split without training. Field `split`.",
    ),
    "shift": (
        "Shifts of clients' data",
        "How the features or labels of each honest client differ from what the data set has; x is an image, y its "
        "label, client k is one of 0 .. K-1. Field `clients.shift`.",
    ),
    "model": ("Models", "A network for the shape of the images and the number of classes. Field `model`."),
    "selection": ("Client selection", "Which clients are a round's cohort. Field `clients.selection`."),
    "start": ("Start weights", "Which weights local training starts from. Field `clients.start`."),
    "personal": (
        "Personal models",
        "What each honest client makes of the global model for itself, measured on its own held-out data; but for "
        "`fedbn` the global model is trained without it. Field `clients.personal`.",
    ),
    "objective": (
        "Local objectives",
        "What clients minimise instead of the loss alone: the client's side of a remedy for heterogeneity. Field "
        "`training.objective`.",
    ),
    "trigger": (
        "Triggers",
        "The pattern that a backdoor answers to, in an image x before normalisation. Field `attack.trigger`.",
    ),
    "attack": (
        "Attacks",
        "What adversaries do to their data, in their training or to their updates. The *threat model* says what they "
        "see: own-updates, their own and the global model; all-updates, the honest clients' of the round too; "
        "knows-the-defence, all updates, and they may try rows on the run's own defence. An attack in `of` is the one "
        "that another is *around*: its adversaries train or send otherwise. Field `attack`.",
    ),
    "transform": (
        "Update transforms",
        "Steps between the clients and the aggregator; a defence may chain several. Field `defence.transforms`.",
    ),
    "aggregator": (
        "Aggregators",
        "From the updates of a round to one. f and b are options, never read from the truth. A rule with *weights* "
        "says whom it keeps: the run records them, and with them how many adversaries and how many honest clients it "
        "leaves out ([metrics.md](metrics.md)). Field `defence.aggregator`.",
    ),
    "learning-rate": (
        "Server learning-rate rules",
        "The server's learning rate, one number or one for each parameter, from the updates as clients sent them. "
        "Field `defence.learning_rate`.",
    ),
    "server-step": (
        "Server steps",
        "The server's optimiser: what is made of the aggregate delta_t of round t. Field `server.step`.",
    ),
    "lr-schedule": (
        "Schedules of the clients' learning rate",
        "The factor of the clients' learning rate, from round to round. Field `training.lr_schedule`.",
    ),
    "stopping": ("Stopping rules", "After which round t a run ends. Field `stopping`."),
    "metric": ("Metrics", "Numbers of the global model. Field `evaluation.metrics`."),
    "client-metric": (
        "Client metrics",
        "Numbers of each client, on its held-out data. Field `evaluation.client_metrics`.",
    ),
    "observer": ("Observers", "What somebody sees who watches the run. Field `evaluation.observers`."),
    "privacy-attack": (
        "Privacy attacks",
        "What somebody finds out about the clients' data ([privacy-attacks.md](privacy-attacks.md)). Field "
        "`privacy.attacks`.",
    ),
    "callback": ("Trackers", "Where rounds are sent besides the run's own files. Option `--track`."),
}
"""Title and introduction of each kind, in the order of the page: data, clients, adversaries, server, the run."""
PIPE = r"\|"
MEASURED = "None is built in beside the [standard metrics](metrics.md), which are always measured."


def page() -> str:
    """The whole page."""
    listed = [f"[{title}](#{_anchor(title)})" for title, _ in KINDS.values()]
    count = sum(len(rows) for rows in BUILT_IN.values())
    return "\n".join([OPENING.format(count=count, contents=" · ".join(listed)), *_kinds()])


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z -]", "", title.lower()).replace(" ", "-")


def _kinds() -> Iterator[str]:
    for kind, (title, introduction) in KINDS.items():
        names = BUILT_IN[kind]
        others = ", ".join(f"`{name}`" for name, row in names.items() if not row.facts.defends)
        mixed = others and any(row.facts.defends for row in names.values())
        apart = f" No defence: {others}." if mixed else ""
        yield f"## {title}\n\nKind `{kind}`. {introduction}{apart}\n"
        yield "| name | what it does |\n| --- | --- |" if names else MEASURED
        yield from (_row(entry(kind, name)) for name in names)
        yield ""


def _row(one: Entry) -> str:
    cells = [_text(one.summary), *(f"`{part}`" for part in one.formula)]
    for label, text in said(one).items():
        if label != "formula":
            cells.append(f"*{label}:* " + (f"`{text}`" if label == "options" else _text(text)))
    return f"| `{one.name}` | {'<br>'.join(cells).replace('|', PIPE)} |"


def _text(text: str) -> str:
    """Prose as Markdown: only what is in backticks is code."""
    return re.sub(r"(?<!\\)[*<_](?=(?:[^`]*`[^`]*`)*[^`]*$)", r"\\\g<0>", text.replace("``", "`"))


if __name__ == "__main__":
    Path(__file__).with_name("catalogue.md").write_text(page(), encoding="utf-8")
