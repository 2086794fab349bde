"""Doing studies and single runs from Python: in a script, in a notebook, and for the command line."""
