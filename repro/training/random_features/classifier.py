"""The output layer trained alone, on features that are computed once (Nguyen's "rand", section 4).

The hidden layers are drawn and frozen, so an image's features never change: the objective, the batches and the result
are those of running the network at every step in eval mode, at the cost of one linear layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from repro.config import TrainingConfig
from repro.data.loading.batches import Batches, handed_over
from repro.data.protocol import ImageData
from repro.distributed.ranks import Ranks
from repro.training.classifier import Classifier
from repro.training.random_features.output_layer import OutputLayer
from repro.training.random_features.store import expect, keep


class OutputClassifier(Classifier):
    """A classifier of which only the output trains (see `OutputLayer`); its training batches hold features."""

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
        """The output layer, the part that trains."""
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
    """The training batches, which have no augmentation, with the features of their images: same order, same steps.

    `everything` holds the same images in order, all of them on this rank; `output` computes features, on the batches'
    device. Those that do not fit there are kept in `folder`, in a file that a resumed run finds again, shared by
    `ranks`.
    """

    def __init__(
        self, output: OutputLayer, batches: Batches, everything: Batches, *, folder: Path, ranks: Ranks | None = None
    ) -> None:
        self._batches = batches
        self._folder, self._ranks = folder, ranks or Ranks()
        self.features = keep(output, everything, folder=folder, ranks=self._ranks)
        """All features, in the images' own order."""

    def __len__(self) -> int:
        """Number of batches in a whole epoch."""
        return len(self._batches)

    def __iter__(self) -> Iterator[tuple[Float[Tensor, "batch features"], Int[Tensor, " batch"]]]:
        """Features and labels: the rest of the current epoch."""
        labels = self._batches.labels
        _, order, parts = self._batches.remaining()
        of_features, of_labels = handed_over(order, self.features.device), handed_over(order, labels.device)
        for part, after in zip_longest(parts, parts[1:]):
            if after is not None:
                expect(self.features, self._folder, order[after], self._ranks)
            yield handed_over(self.features[of_features[part]], labels.device), labels[of_labels[part]]

    def state_dict(self) -> dict[str, object]:
        """Empty, as that of `Batches`."""
        return {}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Nothing to do."""


def feature_batches(module: OutputClassifier, data: ImageData, folder: Path | None, batches: Batches) -> FeatureBatches:
    """The batches that `OutputClassifier` trains on; call it once the network is on its device and the data are set up.

    Takes the training batches that there would be. Features that do not fit into memory are kept in the folder, by
    default the trainer's ``default_root_dir``.
    """
    everything = data.batches("train").shared(0, 1)
    update_batchnorm_statistics(module.network, everything)
    trainer = module.trainer
    folder = Path(trainer.default_root_dir) if folder is None else folder
    return FeatureBatches(module.output, batches, everything, folder=folder, ranks=Ranks.of(trainer))


@torch.no_grad()
def update_batchnorm_statistics(network: nn.Module, batches: Batches) -> None:
    """Set the statistics of all batch normalisation once: means over the training batches, weighted by their sizes."""
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
