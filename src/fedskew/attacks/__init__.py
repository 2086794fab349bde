"""Attacks: triggers, data poisoning (shard -> shard), update poisoning (updates -> updates)."""
