"""The networks by name as LightningModules with arguments of their own, for a stranger's Trainer or LightningCLI.

Thin: a network of `repro.networks.create_network` in a `Classifier`. With the same seed, `lightning.seed_everything`
called first, they train as ``repro fit`` does, number by number.
"""

from repro.modules.base import NamedClassifier
from repro.modules.residual import DiracNet, PlainNet, ResNet, ResNeXt
from repro.modules.skipping import CNN13, VGG, DenseNet121, SkipToOutput

__all__ = [
    "CNN13",
    "VGG",
    "DenseNet121",
    "DiracNet",
    "NamedClassifier",
    "PlainNet",
    "ResNeXt",
    "ResNet",
    "SkipToOutput",
]
