"""Trackers: callbacks that send a run's records to another tool, chosen by ``--track``."""
