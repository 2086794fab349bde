"""One forward pass -> Evaluation -> metrics. Only here is it known who is malicious (DESIGN.md, rule 1)."""
