"""One forward pass -> Evaluation -> metrics. Only this package knows who is malicious (docs/design.md, rule 1)."""
