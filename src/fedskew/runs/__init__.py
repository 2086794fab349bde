"""One run's folder: its files, how it is resumed, what is shared between runs, who works on it."""
