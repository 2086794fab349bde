"""Server steps, one per file: optimisers that take the aggregated delta as their direction."""
