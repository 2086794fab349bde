"""Writes patients.csv: a made-up table, for examples/table.toml and docs/data.md.

    python table.py && fedskew audit median --data patients.csv --set data.labels=outcome     (in this folder)

1,500 patients of five hospitals, one per line. Whether somebody "returns" depends on age, blood pressure, ward and
smoking, and on chance.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

PATIENTS = 1500


def main(path: Path) -> None:
    """Write the file."""
    rng = np.random.default_rng(0)
    age = rng.normal(60, 15, PATIENTS).round().clip(18, 100).astype(int)
    pressure = rng.normal(130, 18, PATIENTS).round(1)
    ward = rng.choice(["heart", "lung", "surgery"], PATIENTS, p=[0.3, 0.3, 0.4])
    smoker = rng.choice(["no", "yes"], PATIENTS, p=[0.7, 0.3])
    sex = rng.choice(["female", "male"], PATIENTS)
    hospital = rng.choice(
        ["east", "harbour", "north", "south", "west"], PATIENTS, p=[0.1, 0.1, 0.2, 0.2, 0.4]
    )
    risk = (age - 60) / 8 + (pressure - 130) / 12 + 1.5 * (ward == "heart") + 2.0 * (smoker == "yes") - 1
    outcome = np.where(risk + rng.logistic(0, 0.5, PATIENTS) > 0, "returns", "stays away")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["patient", "age", "pressure", "ward", "smoker", "sex", "hospital", "outcome"])
        columns = (age, pressure, ward, smoker, sex, hospital, outcome)
        writer.writerows(zip(range(PATIENTS), *columns, strict=True))


if __name__ == "__main__":
    main(Path("patients.csv"))
