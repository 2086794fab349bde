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
            Facts(shares=True, components={"of": "split"}),
        ),
    }
}
