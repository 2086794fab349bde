"""Local objectives, one per file: what clients minimise beside their loss, as a map of the gradient."""
