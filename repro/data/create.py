"""The DataModule of a data set, and what names its content."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from repro.data.protocol import ImageData, require_image_data
from repro.data.registry import OWN, TORCH, dataset
from repro.errors import UserError
from repro.importing import load, load_own, makes


def create_data(name: str, **options: Any) -> ImageData:
    """Make the DataModule of a data set.

    Args:
        name: A name in `DATASETS`, or the import path ``package.module:Name`` of a class that takes (some of) the same
            options and has the attributes and methods of `ImageData`, or of a torch `Dataset` (see
            `repro.data.sources.of_dataset`).
        options: See `repro.data.module.ImageDataModule`; ``arguments`` are arguments of your own class.

    Raises:
        UserError: If there is no such data set, or the class does not take the options.

    Example:
        >>> create_data("MNIST5k", batch_size=64).in_channels
        1
    """
    arguments = options.pop("arguments", None) or {}
    kind = load_own(name, "dataset", of=OWN) if ":" in name else load(dataset(name).module)
    if ":" in name and makes(kind, load(TORCH)):
        from repro.data.sources.of_dataset import OfDataset

        kind = partial(OfDataset, kind, name)
        arguments = {"arguments": arguments}
    elif ":" in name:
        accepted = inspect.signature(kind).parameters
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in accepted.values()):
            options = {key: value for key, value in options.items() if key in accepted}
    elif arguments:
        raise UserError(f"data.arguments is {arguments}; only a data set given by import path takes any")
    try:
        data = kind(**options, **arguments)
    except TypeError as error:
        raise UserError(f"'{name}' does not take these arguments: {error}") from error
    return require_image_data(data, name)


def fingerprint(name: str, root: str | Path, arguments: Mapping[str, Any] | None = None) -> str:
    """A checksum of a data set's content, for the run's identity; checks the files on the way.

    That of a set given by import path is what its ``fingerprint(root, **arguments)`` says, if it has one; else a
    checksum of the arrays that its ``load()`` gives, if it has that; else its path and arguments alone.
    """
    if ":" in name:
        own: Callable[..., str] | None = getattr(load_own(name, "dataset", of=OWN), "fingerprint", None)
        return own(root, **(arguments or {})) if own else _of_own(name, root, dict(arguments or {}))
    entry = dataset(name)
    if entry.check is not None:
        return str(load(entry.check)(Path(root)))
    assert entry.tree is not None
    return str(load(entry.tree)(Path(root)).fingerprint)


def _of_own(name: str, root: str | Path, arguments: dict[str, Any]) -> str:
    import numpy as np

    content = f"{name} {sorted(arguments.items())}"
    data: Any = create_data(name, root=root, arguments=arguments)
    arrays = data.load() if callable(getattr(data, "load", None)) else None
    if not isinstance(arrays, tuple):
        return content
    total = hashlib.sha256(content.encode())
    for array in arrays:
        plain = np.ascontiguousarray(array)
        total.update(f"{plain.dtype} {plain.shape}".encode())
        total.update(plain.data)
    return total.hexdigest()
