"""Which conditions of Nguyen's Assumption 3.1 a network with skip connections does not meet."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from repro.networks.layers import weight_layers
from repro.networks.skip import SkipToOutput

_NORMALISES = (nn.modules.batchnorm._BatchNorm,)


def unmet(
    model: SkipToOutput, images: Float[Tensor, "batch channels height width"], *, trained: bool = True
) -> list[str]:
    """What the theorems ask for (Assumption 3.1) and this network, on these images, does not give: a sentence each.

    The assumption is sufficient, not necessary: training goes on without it. `trained`: the hidden layers are, so that
    batch normalisation is in training mode.
    """
    modules = dict(model.network.named_modules())
    kinds = {type(modules[site.name]).__name__: modules[site.name] for site in model.sites}
    gaps = [sentence for name, module in kinds.items() if (sentence := _activation(name, module))]
    convolutions = [module for module in modules.values() if isinstance(module, nn.Conv2d)]
    if any(isinstance(module, nn.Softplus) for module in kinds.values()):
        if convolutions and any(site is not model.sites[0] for site in model.connected()):
            gaps.append("with softplus no chosen neuron may share weights with those on its path, as convolutions do")
        elif model.filled_layers():
            gaps.append("with softplus every layer below a chosen neuron needs a neuron that is not chosen")
    if any(isinstance(module, nn.MaxPool2d | nn.AdaptiveMaxPool2d) for module in modules.values()):
        gaps.append("max-pooling is not analytic")
    if trained and any(isinstance(module, _NORMALISES) for module in modules.values()):
        gaps.append("batch normalisation in training mode makes an image's features depend on the other images")
    if any(module.bias is not None for module in convolutions):
        gaps.append("the biases of a convolution are shared by its whole feature map")
    if _equal_patches(model.network, images):
        gaps.append("two images have an equal patch under the first layer's kernel")
    return gaps


def _activation(name: str, module: nn.Module) -> str | None:
    if isinstance(module, nn.Sigmoid | nn.Softplus):
        return None
    if isinstance(module, nn.Tanh):
        return "tanh does not go to 0 at minus infinity"
    if isinstance(module, nn.ReLU | nn.LeakyReLU | nn.ReLU6 | nn.Hardtanh | nn.Hardswish | nn.Hardsigmoid | nn.ELU):
        return f"{name} is not analytic"
    if isinstance(module, nn.GELU | nn.SiLU | nn.Mish):
        return f"{name} is not strictly increasing"
    return f"{name} is not known to be analytic, strictly increasing and bounded with limit 0"


def _equal_patches(network: nn.Module, images: Tensor) -> bool:
    """Whether two different images agree wherever some unit of the first layer looks."""
    first = weight_layers(network, images[:1])[0].module
    if isinstance(first, nn.Conv2d) and first.groups == 1 and not isinstance(first.padding, str):
        patches = F.unfold(images, first.kernel_size, first.dilation, first.padding, first.stride)
    else:
        patches = images.flatten(1).unsqueeze(2)
    return any(len(torch.unique(position, dim=0)) < len(images) for position in patches.unbind(2))
