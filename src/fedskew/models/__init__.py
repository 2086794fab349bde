"""Models, one architecture per file: (info, **options) -> nn.Module that maps images to logits.

All of them are plain ``nn.Sequential``s, so that every engine can train them.
"""
