"""The shipped studies and experiments: one TOML file each, which opens with its exact command."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def preset_names() -> list[str]:
    """The names of the shipped presets."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def preset_path(name: str) -> Path | None:
    """The file of a preset; None if there is none of that name."""
    path = FOLDER / f"{name}.toml"
    return path if name in preset_names() else None
