"""Local objectives, one per file: what clients minimise in addition to their loss, as a map of the gradient."""
