"""Reproduce, extend and check two papers on why skip connections make very deep networks trainable.

``repro.measure(network, images)`` and ``repro.MeasureCallback`` look at any network; ``repro.build(configuration)`` and
``repro.restore(run)`` give the Lightning parts of an experiment. The networks and data sets stand by name, too, as
LightningModules and LightningDataModules for anyone's Trainer or LightningCLI: ``repro.ResNet(110)``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repro.api import build, restore
    from repro.data.sources.folders import ImageFolder, ImageNet
    from repro.data.sources.small import CIFAR10, CIFAR100, MNIST, MNIST5k
    from repro.measurements.run import measure
    from repro.modules import CNN13, VGG, DenseNet121, DiracNet, PlainNet, ResNet, ResNeXt, SkipToOutput
    from repro.training.measure_callback import MeasureCallback
    from repro.watch import Watch, plot

__version__ = "0.2.0"
__all__ = [
    "CIFAR10",
    "CIFAR100",
    "CNN13",
    "MNIST",
    "VGG",
    "DenseNet121",
    "DiracNet",
    "ImageFolder",
    "ImageNet",
    "MNIST5k",
    "MeasureCallback",
    "PlainNet",
    "ResNeXt",
    "ResNet",
    "SkipToOutput",
    "Watch",
    "build",
    "measure",
    "plot",
    "restore",
]

_WHERE = {
    "repro.api": ("build", "restore"),
    "repro.data.sources.folders": ("ImageFolder", "ImageNet"),
    "repro.data.sources.small": ("CIFAR10", "CIFAR100", "MNIST", "MNIST5k"),
    "repro.measurements.run": ("measure",),
    "repro.modules": ("CNN13", "VGG", "DenseNet121", "DiracNet", "PlainNet", "ResNeXt", "ResNet", "SkipToOutput"),
    "repro.training.measure_callback": ("MeasureCallback",),
    "repro.watch": ("Watch", "plot"),
}
_MODULES = {name: module for module, names in _WHERE.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import what needs torch or Lightning when it is first asked for."""
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    if name in ("records",):  # ``import repro; repro.records.metrics(...)`` works as it reads
        return importlib.import_module(f"repro.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The names that the package offers."""
    return sorted([*__all__, "__version__", "records"])
