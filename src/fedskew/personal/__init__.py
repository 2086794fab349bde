"""Personal models, one kind per file: what each honest client makes of the global model for itself."""
