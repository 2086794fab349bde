"""Rules that look at the history of a run: when to stop, how the clients' learning rate changes."""
