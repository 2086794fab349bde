"""Privacy attacks: one per file, each from a seat, with a guess that evaluation compares with the truth."""
