"""The configurations that come with the package. No torch."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def configurations() -> Path:
    """The folder of configurations: `configs/` of the checkout, or the copy that an installed package carries."""
    package = Path(str(resources.files("repro")))
    checkout = package.parent / "configs"
    return checkout if checkout.is_dir() else package / "_configs"


def existing(path: str | Path) -> Path:
    """A file as it is named; where ``configs/NAME`` is not there, the package's own of that name, if it has one."""
    path = Path(path)
    if path.exists() or path.is_absolute() or path.parts[:1] != ("configs",):
        return path
    own = configurations().joinpath(*path.parts[1:])
    return own if own.is_file() else path
