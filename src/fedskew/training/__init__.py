"""Local training: the batch plan, the arithmetic of a mini-batch, and the engine that runs one with the other."""
