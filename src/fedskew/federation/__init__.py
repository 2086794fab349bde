"""Clients, what they hold and keep, and everything that a run needs before its first round."""
