"""Trackers: observers that hand a run's records to another tool, chosen by ``--track``."""
