"""The table of built-in components, and everything between a name in a config and the function that it means."""
