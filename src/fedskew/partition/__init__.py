"""Splits: labels -> one index array per client. ``heterogeneity`` measures any of them, ``rounding`` is shared."""
