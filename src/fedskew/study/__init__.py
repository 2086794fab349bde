"""Studies: a grid of experiments and seeds, what its author claims, its folder, the processes that do it."""
