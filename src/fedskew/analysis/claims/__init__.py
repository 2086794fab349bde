"""Claims and the verdict that a study's data gives on each."""
