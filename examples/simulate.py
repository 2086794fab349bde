"""fedskew from Python: one experiment, round by round.  `python examples/simulate.py`."""

import fedskew

experiment = fedskew.Experiment(
    rounds=10,
    data="digits",
    split={"name": "dirichlet", "alpha": 0.25},
    adversaries={"count": 1, "data": "sample", "fraction": 0.1},
    attack={"name": "backdoor", "target": 7, "poison_fraction": 0.5},
    training={"batch_size": 32, "optimizer": {"name": "adam", "lr": 0.01}},
    defence={"learning_rate": {"name": "rlr", "theta": 4}},
)

if __name__ == "__main__":
    for record in fedskew.simulate(experiment):
        shown = {
            name: round(100 * record.metrics[name], 1) for name in ("accuracy", "bias", "backdoor_accuracy")
        }
        print(record.round, shown)
