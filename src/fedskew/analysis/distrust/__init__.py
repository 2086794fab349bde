"""Reasons to distrust a study's numbers, found in its own records."""
