"""Results as data: what a study's or a run's folder says as pandas frames, and its models as PyTorch modules.

Frames hold numbers as they are recorded, shares as fractions; ``metrics_frame`` says what each of them means.
"""
