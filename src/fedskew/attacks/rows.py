"""The built-in triggers and attacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedskew.attacks.lacking import (
    flips_nothing,
    goes_beyond_one,
    goes_nowhere,
    sees_one,
    to_the_median,
    without_a_factor,
    without_a_radius,
)
from fedskew.components.row import REQUIRED, Facts, Row, always

_IMAGES = Facts(values=("pixels",))


def _around(**facts: Any) -> Facts:
    """The facts of an attack that is wrapped around another one."""
    return Facts(wraps="of", components={"of": "attack"}, **facts)


def _sees_others(options: Mapping[str, Any]) -> bool:
    """Where adversaries go by the honest updates, and no longer by their own."""
    return bool(options["threat_model"] != "own-updates")


def _too_few_for_the_parts(options: Mapping[str, Any], clients: int, adversaries: int, everybody: int) -> str:
    parts = int(options["parts"])
    if adversaries >= parts:
        return ""
    return (
        f"has a trigger in parts = {parts}, of which each adversary trains with one, and adversaries.count = "
        f"{adversaries}; expected at least as many adversaries as parts"
    )


ROWS = {
    "trigger": {
        "plus": Row(
            "fedskew.attacks.triggers:plus",
            "the paper's 5x5 plus, top left; scaled for images smaller than 28x28",
            {"row": None, "column": None, "size": None, "value": 255},
            _IMAGES,
        ),
        "square": Row(
            "fedskew.attacks.triggers:square",
            "a filled square, bottom right; scaled for images smaller than 28x28",
            {"row": None, "column": None, "size": None, "value": 255},
            _IMAGES,
        ),
        "mask": Row(
            "fedskew.attacks.triggers:mask",
            "any pattern from a .npy file: 0 keeps the pixel, any other value replaces it",
            {"path": REQUIRED, "value": None},
            _IMAGES,
        ),
        "blended": Row(
            "fedskew.attacks.blended:blended",
            "noise over the whole image, or another trigger, mixed with the image instead of replacing it",
            {"alpha": 0.2, "pattern": None, "seed": 0},
            Facts(components={"pattern": "trigger"}, values=("pixels",)),
        ),
        "feature": Row(
            "fedskew.attacks.feature:feature",
            "features of a table set to a value",
            {"feature": 0, "value": None},
            Facts(values=("numbers",)),
        ),
    },
    "attack": {
        "none": Row(
            "fedskew.attacks.none:none", "adversaries that behave honestly", facts=Facts(harmless=True)
        ),
        "backdoor": Row(
            "fedskew.attacks.backdoor:backdoor",
            "trojan: a trigger and the target's label on a part of the adversaries' data (the paper's)",
            {
                "target": REQUIRED,
                "poison_fraction": 0.5,
                "trigger": {"name": "plus"},
                "source_classes": None,
                "projection": None,
                "epochs": None,
                "batch_size": None,
                "lr": None,
                "report": 1.0,
            },
            # Its target, trigger and source classes are not idle: evaluation shows every model the trigger.
            Facts(
                relabels=True,
                components={"trigger": "trigger"},
                idle=("poison_fraction", "projection", "epochs", "batch_size", "lr", "report"),
            ),
        ),
        "dba": Row(
            "fedskew.attacks.dba:dba",
            "the backdoor with a trigger in parts: each adversary trains with one of them",
            {
                "target": REQUIRED,
                "parts": 4,
                "poison_fraction": 0.5,
                "trigger": {"name": "plus"},
                "source_classes": None,
                "epochs": None,
                "batch_size": None,
                "lr": None,
            },
            Facts(
                relabels=True,
                components={"trigger": "trigger"},
                idle=("parts", "poison_fraction", "epochs", "batch_size", "lr"),
                lacking=_too_few_for_the_parts,
            ),
        ),
        "edge-case": Row(
            "fedskew.attacks.edge_case:edge_case",
            "the least typical images of a class, without a trigger, labelled as another class",
            {
                "source": REQUIRED,
                "target": REQUIRED,
                "count": 10,
                "components": 5,
                "epochs": None,
                "batch_size": None,
                "lr": None,
            },
            # Evaluation looks at the tail of the test images with the same count and components.
            Facts(relabels=True, idle=("epochs", "batch_size", "lr"), values=("pixels",)),
        ),
        "unfairness": Row(
            "fedskew.attacks.unfairness:unfairness",
            "one class's images labelled as the class most like it, to make the model fail on that class",
            {"victim": None, "epochs": None, "batch_size": None, "lr": None},
            Facts(
                relabels=True,
                idle=("victim", "epochs", "batch_size", "lr"),
                values=("pixels", "numbers"),
            ),
        ),
        "pgd": Row(
            "fedskew.attacks.pgd:pgd",
            "another attack's adversaries train within an L2 ball around the start weights",
            {"of": REQUIRED, "radius": None, "threat_model": None},
            _around(
                on_training=always,
                lacking=without_a_radius,
                adapts=lambda options, bound: options["radius"] is None and bound is not None,
            ),
        ),
        "neurotoxin": Row(
            "fedskew.attacks.neurotoxin:neurotoxin",
            "another attack's adversaries leave alone the weights that the global model moves most",
            {"of": REQUIRED, "share": 0.05},
            _around(on_training=lambda options: options["share"] > 0),
        ),
        "constrain-and-scale": Row(
            "fedskew.attacks.constrain_and_scale:constrain_and_scale",
            "another attack's adversaries pay for their distance from the global model while they train",
            {"of": REQUIRED, "alpha": REQUIRED, "factor": 1.0},
            # With alpha = 1 there is no constraint, and its factor scales whatever is sent.
            _around(on_training=lambda options: options["alpha"] < 1),
        ),
        "model-replacement": Row(
            "fedskew.attacks.model_replacement:model_replacement",
            "another attack's updates, scaled so that the average becomes the adversaries' model",
            {"of": REQUIRED, "factor": None, "threat_model": None},
            _around(lacking=without_a_factor, adapts=lambda options, bound: options["factor"] is None),
        ),
        "train-and-scale": Row(
            "fedskew.attacks.train_and_scale:train_and_scale",
            "another attack's updates, scaled to a norm",
            {"of": REQUIRED, "norm": REQUIRED, "threat_model": None},
            _around(lacking=to_the_median),
        ),
        "n-k-inflation": Row(
            "fedskew.attacks.n_k_inflation:n_k_inflation",
            "another attack's adversaries report more examples than they have",
            {"of": REQUIRED, "factor": REQUIRED},
            _around(),
        ),
        "upload-scaling": Row(
            "fedskew.attacks.upload_scaling:upload_scaling",
            "another attack's adversaries change what they upload for the objective (SCAFFOLD, FedCurv)",
            {"of": REQUIRED, "factor": REQUIRED},
            _around(on_uploads=True),
        ),
        "sign-flip": Row(
            "fedskew.attacks.sign_flip:sign_flip",
            "the adversaries send their update with the opposite sign, times a factor",
            {"scale": 1.0},
            Facts(idle=("scale",)),
        ),
        "free-rider": Row(
            "fedskew.attacks.free_rider:free_rider",
            "the adversaries do not train: they send the last change of the global model, plus noise",
            {"noise": 0.0},
            Facts(idle=("noise",), untrained=always),
        ),
        "opt-ipm": Row(
            "fedskew.attacks.opt_ipm:opt_ipm",
            "minus the honest mean, scaled to move the result of the run's own defence furthest",
            {"evaluations": 20},
            Facts(idle=("evaluations",), threat_model="knows-the-defence", untrained=always),
        ),
        "label-flip": Row(
            "fedskew.attacks.label_flip:label_flip",
            "wrong labels on the adversaries' images: reversed, one class as another, or at random",
            {"map": "reverse", "source": None, "target": None, "fraction": 1.0},
            Facts(relabels=True, idle=("map", "source", "target", "fraction"), lacking=flips_nothing),
        ),
        "gradient-ascent": Row(
            "fedskew.attacks.gradient_ascent:gradient_ascent",
            "the adversaries negate the gradient in every local step",
            {"lr": None},
            Facts(idle=("lr",)),
        ),
        "gaussian": Row(
            "fedskew.attacks.gaussian:gaussian",
            "Gaussian noise instead of an update, in the scale of the updates",
            {"scale": 1.0, "threat_model": "own-updates"},
            Facts(idle=("scale", "threat_model"), untrained=_sees_others),
        ),
        "ipm": Row(
            "fedskew.attacks.ipm:ipm",
            "minus the honest mean, times a factor (inner-product manipulation)",
            {"eps": REQUIRED},
            Facts(threat_model="all-updates", untrained=always),
        ),
        "alie": Row(
            "fedskew.attacks.alie:alie",
            "the honest mean minus z standard deviations (A Little Is Enough)",
            {"z": None, "threat_model": "all-updates"},
            Facts(idle=("z", "threat_model"), lacking=goes_nowhere, untrained=_sees_others),
        ),
        "opt-alie": Row(
            "fedskew.attacks.opt_alie:opt_alie",
            "alie with the z that moves the result of the run's own defence furthest",
            {"evaluations": 20},
            Facts(
                idle=("evaluations",), lacking=sees_one, threat_model="knows-the-defence", untrained=always
            ),
        ),
        "min-max": Row(
            "fedskew.attacks.min_max:min_max",
            "as far against the honest mean as the two most distant honest updates allow",
            {"direction": "unit", "threat_model": "all-updates"},
            Facts(idle=("direction", "threat_model"), lacking=sees_one, untrained=_sees_others),
        ),
        "min-sum": Row(
            "fedskew.attacks.min_sum:min_sum",
            "as far against the honest mean as the sums of squared distances allow",
            {"direction": "unit", "bound": "max", "threat_model": "all-updates"},
            Facts(idle=("direction", "bound", "threat_model"), lacking=sees_one, untrained=_sees_others),
        ),
        "fang-trim": Row(
            "fedskew.attacks.fang_trim:fang_trim",
            "values just beyond all honest ones, drawn against the mean's sign, entry by entry",
            {"b": 2.0, "threat_model": "all-updates"},
            Facts(idle=("b", "threat_model"), lacking=goes_beyond_one, untrained=_sees_others),
        ),
        "mimic": Row(
            "fedskew.attacks.mimic:mimic",
            "all adversaries repeat the update of one honest client",
            {"warmup": 1},
            Facts(idle=("warmup",), threat_model="all-updates", untrained=always),
        ),
    },
}
