"""Who pays for a defence: which honest clients it gives less weight, and what it costs the worst class and client."""
