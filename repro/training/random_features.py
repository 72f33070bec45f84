"""The output layer trained alone, on features that are computed once (Nguyen's "rand", section 4).

The hidden layers are drawn and frozen, so an image's features never change: the objective, the batches and the result
are those of running the network at every step in eval mode, at the cost of one linear layer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from repro.config import TrainingConfig
from repro.data.batches import Batches
from repro.errors import UserError
from repro.measurements import passes
from repro.networks import WeightLayer, weight_layers
from repro.networks.skip import SkipToOutput
from repro.training.classifier import Classifier

RESIDENT_SHARE = 0.6
"""Features are held on the device if they take less than this share of its free memory, else in a file."""


class OutputLayer(nn.Module):
    """The weights of a network's output, as a linear function of features: W h + b, V ψ or their sum.

    Freezes everything else.

    Args:
        network: A network with skip connections to the output, or one whose last weight layer is linear.
        image: One image, to find the last weight layer.

    Raises:
        UserError: The last weight layer is not linear.
    """

    def __init__(self, network: nn.Module, image: Float[Tensor, "one channels height width"]) -> None:
        super().__init__()
        skips = isinstance(network, SkipToOutput)
        inner = network.network if isinstance(network, SkipToOutput) else network
        self._last: WeightLayer = weight_layers(inner, image)[-1]
        if not isinstance(self._last.module, nn.Linear):
            raise UserError("model.train output needs a network that ends in a linear layer")
        network.requires_grad_(False)
        self._network = [network]  # in a list: its parameters are not this module's a second time
        self._keeps_head = not (skips and network.head == "replace")
        if isinstance(network, SkipToOutput):
            network.skip.requires_grad_(True)
        if self._keeps_head:
            self._last.module.requires_grad_(True)

    def features(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch features"]:
        """ψ and then h, as far as the output reads them."""
        (network,) = self._network
        read: list[Tensor] = []
        with passes.reading([self._last], lambda _layer, tensor: read.append(tensor)):
            psi = [network.features(images)[0]] if isinstance(network, SkipToOutput) else [network(images)][:0]
        if read[-1].ndim != 2:
            raise UserError(f"the output layer reads features of shape {tuple(read[-1].shape)}; it must read a vector")
        return torch.cat([*psi, *(read[-1:] if self._keeps_head else [])], 1)

    @property
    def has_bias(self) -> bool:
        """Whether a bias is among the output's weights."""
        return self._keeps_head and self._last.module.bias is not None

    @property
    def num_classes(self) -> int:
        """Logits."""
        assert isinstance(self._last.module, nn.Linear)
        return self._last.module.out_features

    @torch.no_grad()
    def assign(self, weights: Float[Tensor, "columns classes"]) -> None:
        """Set all weights: a row for each feature, and a last one for the bias if there is one."""
        (network,) = self._network
        own = self._last.module
        assert isinstance(own, nn.Linear)
        if isinstance(network, SkipToOutput):
            count = network.skip.in_features
            network.skip.weight.copy_(weights[:count].mT)
            weights = weights[count:]
        if self._keeps_head:
            own.weight.copy_(weights[: own.in_features].mT)
            if own.bias is not None:
                own.bias.copy_(weights[-1])

    def forward(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch classes"]:
        """From features to logits."""
        (network,) = self._network
        own = self._last.module
        assert isinstance(own, nn.Linear)
        if not isinstance(network, SkipToOutput):
            return F.linear(features, own.weight, own.bias)
        count = network.skip.in_features
        added: Tensor = network.skip(features[:, :count])
        return added + F.linear(features[:, count:], own.weight, own.bias) if self._keeps_head else added


class OutputClassifier(Classifier):
    """A classifier of which only the output trains; its training batches hold features.

    Args:
        network: Any network that `OutputLayer` takes.
        image: One image.
        num_classes: Its classes.
        training: Rates, momentum, penalty.
        every_n_steps: How often step metrics are recorded.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        image: Float[Tensor, "one channels height width"],
        num_classes: int,
        training: TrainingConfig,
        every_n_steps: int = 10,
    ) -> None:
        super().__init__(network, num_classes=num_classes, training=training, every_n_steps=every_n_steps)
        self._output = [OutputLayer(network, image)]

    @property
    def output(self) -> OutputLayer:
        """The part that trains."""
        return self._output[0]

    def training_scores(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch classes"]:
        """Class scores of features."""
        scores: Tensor = self.output(inputs)
        return scores

    def train(self, mode: bool = True) -> OutputClassifier:
        """The network below the output stays in eval mode: its normalisation is as it was settled."""
        super().train(mode)
        self.network.eval()
        return self


class FeatureBatches:
    """The training batches with the features of their images: same order, same steps.

    Args:
        output: Computes the features, on the batches' device.
        batches: Training batches without augmentation.
        everything: The same images in order.
        folder: Where features that do not fit on the device are kept, a file that a resumed run finds again.
    """

    def __init__(self, output: OutputLayer, batches: Batches, everything: Batches, *, folder: Path) -> None:
        self._batches = batches
        self._features = compute(output, everything, folder=folder)

    @property
    def features(self) -> Float[Tensor, "samples features"]:
        """All features, in the images' own order."""
        return self._features

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return len(self._batches)

    def __iter__(self) -> Iterator[tuple[Float[Tensor, "batch features"], Int[Tensor, " batch"]]]:
        """Features and labels: the rest of the current epoch."""
        labels = self._batches.labels
        _, order, parts = self._batches.remaining()
        of_features, of_labels = order.to(self._features.device), order.to(labels.device)
        for part in parts:
            rows = self._features[of_features[part]]
            yield rows.to(labels.device, non_blocking=True), labels[of_labels[part]]

    def state_dict(self) -> dict[str, object]:
        """Empty, as `Batches`'."""
        return {}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Nothing to do."""


@torch.no_grad()
def settle(network: nn.Module, batches: Batches) -> None:
    """Take the statistics of all batch normalisation once: means over the training set's batches, by their sizes."""
    layers = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not layers:
        return
    network.eval()
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
    seen = 0
    for images, labels in batches:
        seen += len(labels)
        for layer in layers:
            layer.momentum = len(labels) / seen
        network(images)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()


@torch.no_grad()
def compute(output: OutputLayer, batches: Batches, *, folder: Path) -> Float[Tensor, "samples features"]:
    """The features of all images, in float32: on the device where they fit, else in a memory-mapped file."""
    found: Tensor | None = None
    first = 0
    for images, labels in batches:
        part = output.features(images)
        if found is None:
            found, complete = _storage(len(batches.labels), part.shape[1], part.device, folder)
            if complete:
                return found
        found[first : first + len(labels)] = part
        first += len(labels)
    assert found is not None
    if (marker := folder / "features.part").exists():
        marker.unlink()
    return found


def _storage(samples: int, width: int, device: torch.device, folder: Path) -> tuple[Tensor, bool]:
    """A float32 matrix, and whether it is filled already."""
    size = 4 * samples * width
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_host_memory()
    if size <= RESIDENT_SHARE * free:
        return torch.empty(samples, width, device=device), False
    path, marker = folder / "features.npy", folder / "features.part"
    if path.exists() and not marker.exists():
        known: Any = np.load(path, mmap_mode="r+")
        if known.shape == (samples, width):
            return torch.from_numpy(known), True
    marker.touch()
    try:
        mapped = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(samples, width))
    except OSError as error:
        raise UserError(f"cannot write features of {size / 1e9:.1f} GB to '{path}': {error.strerror}") from error
    return torch.from_numpy(mapped), False


def free_host_memory() -> int:
    """Bytes."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
