"""One forward pass -> Evaluation -> metrics. Only here is it known who is malicious (docs/design.md, rule 1)."""
