"""The families of networks, without torch.

A new family is a file in `families` with a callable ``(depth, options) -> nn.Module``, and an entry here that says
where that is, which depths it has and which options it reads. `tests/networks/test_registry.py` then tests it. An
option that no family has yet is a field of `repro.networks.options.NetworkOptions`: the configuration's key, the flag
and its help are made from that. A network may list its weight layers in
a method ``weight_layer_names``; `repro.networks.weight_layers` finds them by a forward pass otherwise.
"""

from __future__ import annotations

from functools import partial

from repro.errors import UserError
from repro.networks.families import residual_spec as layout
from repro.networks.families import sequential_spec as plans
from repro.networks.family import Depths, Family
from repro.networks.options import Options

_STACK = frozenset({"activation", "gamma", "slope", "initialization"})
DENSENET_DEPTHS = Depths((121,), "121")
_COMMON = _STACK | {"form", "width", "normalization", "normalization_groups", "preactivation"}
_SKIPS = frozenset({"block", "shortcut", "skip_strength", "residual"})
_DENSENET_LEAST = {"small": 8, "imagenet": 29}
"""Sides of the images that three transitions, and ImageNet's stem, leave a pixel of."""


def _densenet(depth: int | None, options: Options) -> int | None:
    """DenseNet (Huang et al. 2017): dense blocks with transitions that halve channels and image."""
    if options.image_size < (least := _DENSENET_LEAST[options.form]):
        raise UserError(f"image_size {options.image_size} is too small for densenet{depth}; it needs {least} or more")
    plans.check_densenet(options)
    return depth


NETWORKS: dict[str, Family] = {
    "plainnet": Family(
        builder="repro.networks.families.residual:ResidualNetwork",
        takes=_COMMON | {"block"},
        depths=layout.depths,
        spec=layout.plainnet,
    ),
    "resnet": Family(
        builder="repro.networks.families.residual:ResidualNetwork",
        takes=_COMMON | _SKIPS,
        depths=layout.depths,
        spec=layout.resnet,
    ),
    "resnext": Family(
        builder="repro.networks.families.residual:ResidualNetwork",
        takes=_COMMON | _SKIPS | {"groups"},
        depths=partial(layout.depths, block="bottleneck"),
        spec=layout.resnext,
    ),
    "diracnet": Family(
        builder="repro.networks.families.residual:ResidualNetwork",
        takes=_COMMON | {"diagonal"},
        depths=partial(layout.depths, block="basic"),
        spec=layout.diracnet,
    ),
    "cnn": Family(
        builder="repro.networks.families.sequential:SequentialNet",
        takes=_STACK | {"width", "pooling", "printed"},
        depths=lambda _options: plans.CNN_DEPTHS,
        spec=plans.cnn,
    ),
    "vgg": Family(
        builder="repro.networks.families.sequential:SequentialNet",
        takes=_STACK | {"width", "pooling"},
        depths=lambda _options: plans.VGG_DEPTHS,
        spec=plans.vgg,
    ),
    "densenet": Family(
        builder="repro.networks.families.densenet:DenseNet",
        takes=_STACK | {"form"},
        depths=lambda _options: DENSENET_DEPTHS,
        spec=_densenet,
    ),
    "fc": Family(
        builder="repro.networks.families.sequential:SequentialNet",
        takes=_STACK | {"width"},
        depths=lambda _options: plans.FC_DEPTHS,
        spec=plans.fc,
    ),
    "mlp": Family(
        builder="repro.networks.families.sequential:SequentialNet", takes=_STACK | {"hidden"}, spec=plans.mlp
    ),
}
"""The families by name. A network's name is the family's and its depth: ``resnet110``."""
