"""Server steps, one per file: optimisers that take the aggregated delta for a direction."""
