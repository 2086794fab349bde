"""The built-in triggers and attacks."""

from __future__ import annotations

from fedskew.attacks.lacking import flips_nothing, goes_beyond_one, goes_nowhere, sees_one
from fedskew.components.row import REQUIRED, Facts, Row

ROWS = {
    "trigger": {
        "plus": Row(
            "fedskew.attacks.triggers:plus",
            "the paper's 5x5 plus, top left; scaled for images smaller than 28x28",
            {"row": None, "column": None, "size": None, "value": 255},
        ),
        "square": Row(
            "fedskew.attacks.triggers:square",
            "a filled square, bottom right; scaled for images smaller than 28x28",
            {"row": None, "column": None, "size": None, "value": 255},
        ),
        "mask": Row(
            "fedskew.attacks.triggers:mask",
            "any pattern from a .npy file: 0 keeps the pixel, any other value replaces it",
            {"path": REQUIRED, "value": None},
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
            Facts(idle=("noise",)),
        ),
        "opt-ipm": Row(
            "fedskew.attacks.opt_ipm:opt_ipm",
            "minus the honest mean, scaled to move the result of the run's own defence furthest",
            {"evaluations": 20},
            Facts(idle=("evaluations",)),
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
            Facts(idle=("scale", "threat_model")),
        ),
        "ipm": Row(
            "fedskew.attacks.ipm:ipm",
            "minus the honest mean, times a factor (inner-product manipulation)",
            {"eps": REQUIRED},
        ),
        "alie": Row(
            "fedskew.attacks.alie:alie",
            "the honest mean minus z standard deviations (A Little Is Enough)",
            {"z": None, "threat_model": "all-updates"},
            Facts(idle=("z", "threat_model"), lacking=goes_nowhere),
        ),
        "opt-alie": Row(
            "fedskew.attacks.opt_alie:opt_alie",
            "alie with the z that moves the result of the run's own defence furthest",
            {"evaluations": 20},
            Facts(idle=("evaluations",)),
        ),
        "min-max": Row(
            "fedskew.attacks.min_max:min_max",
            "as far against the honest mean as the two most distant honest updates allow",
            {"direction": "unit", "threat_model": "all-updates"},
            Facts(idle=("direction", "threat_model"), lacking=sees_one),
        ),
        "min-sum": Row(
            "fedskew.attacks.min_sum:min_sum",
            "as far against the honest mean as the sums of squared distances allow",
            {"direction": "unit", "bound": "max", "threat_model": "all-updates"},
            Facts(idle=("direction", "bound", "threat_model"), lacking=sees_one),
        ),
        "fang-trim": Row(
            "fedskew.attacks.fang_trim:fang_trim",
            "values just beyond all honest ones, drawn against the mean's sign, entry by entry",
            {"b": 2.0, "threat_model": "all-updates"},
            Facts(idle=("b", "threat_model"), lacking=goes_beyond_one),
        ),
        "mimic": Row(
            "fedskew.attacks.mimic:mimic",
            "all adversaries repeat the update of one honest client",
            {"warmup": 1},
            Facts(idle=("warmup",)),
        ),
    },
}
