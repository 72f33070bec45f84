"""Data sets and batches. Importing this package does not import torch."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from repro.data.registry import DATASETS, LIGHTNING, Dataset, counted, dataset, fingerprint, provenance
from repro.errors import UserError
from repro.importing import load, load_own

if TYPE_CHECKING:
    from repro.data.module import ImageDataModule

__all__ = ["DATASETS", "Dataset", "counted", "create_data", "dataset", "fingerprint", "provenance"]


def create_data(name: str, **options: Any) -> ImageDataModule:
    """The DataModule of a data set.

    Args:
        name: A name in `DATASETS`, or the import path ``package.module:Name`` of a class that takes (some of) the same
            options and has the attributes and methods of `repro.data.module.ImageDataModule`.
        options: See `repro.data.module.ImageDataModule`; ``arguments`` are further ones for a class of your own.

    Raises:
        UserError: If there is no such data set, or the class does not take the options.
    """
    arguments = options.pop("arguments", None) or {}
    kind = load_own(name, "dataset", of=LIGHTNING) if ":" in name else load(dataset(name).module)
    if ":" in name:
        accepted = inspect.signature(kind).parameters
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in accepted.values()):
            options = {key: value for key, value in options.items() if key in accepted}
    elif arguments:
        raise UserError(f"data.arguments is {arguments}; only a data set given by import path takes any")
    try:
        data: ImageDataModule = kind(**options, **arguments)
    except TypeError as error:
        raise UserError(f"'{name}' does not take these arguments: {error}") from error
    return data
