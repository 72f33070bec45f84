"""What computing the features once saves: an epoch of the output layer on kept features, beside running the network.

    python benchmarks/random_features.py [--json FILE] [--network vgg16] [--images 5000] [--batch 64] [--steps 6]

Both train the same weights on the same batches of CIFAR-sized images. The first is the real training loop (Lightning's
Trainer on `OutputClassifier`), the second a bare loop that runs the frozen network in eval mode at every step; of its
epoch `--steps` steps are timed. Computing the features once is quoted apart. Floor of a step: reading its rows of
features and the weights, 4 · (batch + 2 · classes) · N bytes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningDataModule, Trainer

from repro.config import TrainingConfig
from repro.data.loading.batches import DeviceBatches
from repro.networks import create_network
from repro.networks.skip import SkipToOutput
from repro.training.random_features.classifier import FeatureBatches, OutputClassifier


class Epochs(Callback):
    """Seconds of each epoch's training."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.started = 0.0

    def on_train_epoch_start(self, *_arguments: Any) -> None:
        self.started = time.perf_counter()

    def on_train_epoch_end(self, *_arguments: Any) -> None:
        self.seconds.append(time.perf_counter() - self.started)


class Data(LightningDataModule):
    """The batches of features."""

    def __init__(self, batches: FeatureBatches) -> None:
        super().__init__()
        self.train = batches

    def train_dataloader(self) -> FeatureBatches:
        return self.train


def main() -> None:
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--network", default="vgg16")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=6)
    given = parser.parse_args()
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (given.images, 3, 32, 32), dtype=torch.uint8)
    labels = torch.randint(10, (given.images,))
    image = torch.zeros(1, 3, 32, 32)
    network = SkipToOutput(
        create_network(given.network, activation="sigmoid"), given.images, 0, image=image, num_classes=10
    ).to(memory_format=torch.channels_last)
    options: dict[str, Any] = {"mean": (0.0,) * 3, "deviation": (1.0,) * 3}
    batches = DeviceBatches(pixels, labels, batch_size=given.batch, seed=0, **options)
    module = OutputClassifier(
        network, image=image, num_classes=10, training=TrainingConfig(warmup_steps=0), every_n_steps=10
    )
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        everything = DeviceBatches(pixels, labels, batch_size=250, **options)
        features = FeatureBatches(module.output, batches, everything, folder=Path(folder))
        once = time.perf_counter() - start
        epochs = Epochs()
        Trainer(
            max_epochs=6,
            accelerator="cpu",
            callbacks=[epochs],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(module, Data(features))
    ours = statistics.median(epochs.seconds[1:])

    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.01, momentum=0.9)
    network.eval()
    times = []
    for number, (images, wanted) in enumerate(batches):
        if number > given.steps:
            break
        start = time.perf_counter()
        optimiser.zero_grad()
        F.cross_entropy(network(images), wanted).backward()
        optimiser.step()
        times.append(time.perf_counter() - start)
    theirs = statistics.median(times[1:]) * len(batches)
    print(f"{given.network}, {given.images:,} images, N = {given.images:,}, {torch.get_num_threads()} threads")
    print(f"an epoch on kept features {ours:.3f} s; running the network {theirs:.1f} s: ratio {theirs / ours:.0f}")
    print(f"computing the features once {once:.1f} s")
    if given.json:
        content = {"network": given.network, "images": given.images, "kept": ours, "running": theirs, "once": once}
        given.json.write_text(json.dumps({**content, "ratio": theirs / ours}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
