"""Who takes part in a round, one rule per file: (view, rng) -> ids."""
