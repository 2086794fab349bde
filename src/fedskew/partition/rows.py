"""The built-in splits."""

from __future__ import annotations

from fedskew.components.row import REQUIRED, Facts, Row

ROWS = {
    "split": {
        "iid": Row("fedskew.partition.iid:iid", "uniformly at random, equal sizes"),
        "dirichlet": Row(
            "fedskew.partition.dirichlet:dirichlet",
            "label skew: each class divided by one draw from Dirichlet(alpha) (the paper's)",
            {"alpha": REQUIRED, "remainder": "unbiased", "min_size": 0, "max_draws": 1000},
        ),
        "shards": Row(
            "fedskew.partition.shards:shards",
            "label skew: each client holds a fixed number of classes",
            {"classes_per_client": REQUIRED},
        ),
        "quantity": Row(
            "fedskew.partition.quantity:quantity",
            "size skew: sizes by one draw from Dirichlet(alpha), labels alike",
            {"alpha": REQUIRED, "min_size": 0, "max_draws": 1000},
        ),
        "data-sharing": Row(
            "fedskew.partition.data_sharing:data_sharing",
            "another split, and a sample of the server's images for every client as well",
            {"of": REQUIRED, "fraction": 0.1, "share": 0.5},
            Facts(factory=True, shares=True, components={"of": "split"}),
        ),
        "shuffled": Row(
            "fedskew.partition.shuffled:shuffled",
            "what another split gives, dealt out at random: the same sizes and samples without the skew of labels",
            {"of": REQUIRED},
            Facts(factory=True, leaves_out=True, components={"of": "split"}),
        ),
        "natural": Row(
            "fedskew.partition.natural:natural",
            "clients as the data set has them: its writers, sites or hospitals",
            {"test": True},
            Facts(factory=True, leaves_out=True, own_tests=lambda options: options["test"] is not False),
        ),
        "file": Row(
            "fedskew.partition.file:from_file",
            "clients as a file says: a client for each sample, or a table client x class",
            {"path": REQUIRED, "test": True, "scale": False},
            Facts(
                factory=True,
                leaves_out=True,
                own_tests=lambda options: options["test"] is not False,
                files=("path", "test"),
            ),
        ),
        "linear": Row("fedskew.partition.sizes:linear", "size skew: sizes grow as 1, 2, ..., K"),
        "square": Row("fedskew.partition.sizes:square", "size skew: sizes grow as 1, 4, ..., K^2"),
        "exponential": Row(
            "fedskew.partition.sizes:exponential", "size skew: sizes grow as e, e^2, ..., e^K"
        ),
        "log-normal": Row(
            "fedskew.partition.sizes:log_normal",
            "size skew: sizes by a log-normal draw for each client",
            {"sigma": REQUIRED, "min_size": 0, "max_draws": 1000},
        ),
        "pathological": Row(
            "fedskew.partition.pathological:pathological",
            "label skew: each client is assigned its own classes, and some class perhaps to nobody",
            {"classes_per_client": REQUIRED, "assignment": "random"},
            Facts(leaves_out=True),
        ),
        "extended-dirichlet": Row(
            "fedskew.partition.extended_dirichlet:extended_dirichlet",
            "label skew: some classes for each client, then each class divided over its holders by Dirichlet(alpha)",
            {"classes_per_client": REQUIRED, "alpha": REQUIRED, "min_size": 0, "max_draws": 1000},
        ),
        "inner-dirichlet": Row(
            "fedskew.partition.inner_dirichlet:inner_dirichlet",
            "label skew with given sizes: each client draws its mix of classes from Dirichlet(alpha)",
            {"alpha": REQUIRED, "sizes": None},
            Facts(leaves_out=True),
        ),
        "similarity": Row(
            "fedskew.partition.similarity:similarity",
            "label skew: a share gamma of the images is spread evenly, the rest sorted by label",
            {"gamma": REQUIRED},
        ),
    }
}
