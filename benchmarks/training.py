"""What training costs: a step beside a bare PyTorch loop, measuring beside an epoch, start-up.

    python benchmarks/training.py [--json FILE] [--width 16] [--batch 128] [--steps 5] [--rounds 5]

Everything is measured in one run; steps of ours and of the bare loop alternate in blocks, on the same batches and the
same initial network, and medians over the blocks are compared. The bare loop is the least a PyTorch user would write.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback

from repro.config import Config, from_mapping
from repro.data import create_data
from repro.measurements import take
from repro.networks import create_network
from repro.records import RunDirectory
from repro.training.checkpoints import RunCheckpoints
from repro.training.fit import build
from repro.training.interrupt import Interrupted, StopRequest
from repro.training.progress import Progress
from repro.training.record_logger import RecordLogger

NETWORKS = ("plainnet110", "resnet110", "resnext110")
MNIST_IMAGES = 60_000


class Stopwatch(Callback):
    """Times the steps after the first of a run, and stops it: the loop's own time, not its start."""

    def __init__(self, steps: int, stop: StopRequest) -> None:
        self.steps, self.stop = steps, stop
        self.started, self.seconds = 0.0, 0.0

    def on_train_batch_end(self, trainer, *_arguments) -> None:  # type: ignore[no-untyped-def]
        if trainer.global_step == 1:
            self.started = time.perf_counter()
        if trainer.global_step == self.steps + 1:
            self.seconds = (time.perf_counter() - self.started) / self.steps
            raise Interrupted


def ours(config: Config, steps: int) -> float:
    """Seconds a step of the real training loop, with its record, progress and checkpoints, without W&B."""
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory.prepare(Path(folder) / "run", "")
        stop = StopRequest()
        watch = Stopwatch(steps, stop)
        callbacks = [
            watch,
            Progress("benchmark", "none"),
            RunCheckpoints(run, every_n_epochs=1, keep=2, stop=stop),
        ]
        experiment = build(config, loggers=[RecordLogger(run)], callbacks=callbacks)
        try:
            experiment.trainer.fit(experiment.module, datamodule=experiment.data)
        except Interrupted:
            return watch.seconds
    raise AssertionError("the epoch was shorter than the benchmark")


def bare(config: Config, steps: int) -> float:
    """Seconds a step of a bare loop on the same batches."""
    torch.manual_seed(config.seed)
    data = create_data(config.data.name, batch_size=config.data.batch_size, seed=config.seed)
    data.setup()
    network = create_network(config.model.network, width=config.model.width, in_channels=1, image_size=28)
    network = network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    started = 0.0
    for step, (images, labels) in enumerate(data.train_dataloader()):
        if step == 1:
            started = time.perf_counter()
        if step == steps + 1:
            break
        optimiser.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimiser.step()
    return (time.perf_counter() - started) / steps


def measuring(config: Config) -> float:
    """Seconds to measure all layers' weights and representations once, as the callback does."""
    data = create_data(config.data.name, batch_size=config.data.batch_size)
    data.setup()
    torch.manual_seed(0)
    network = create_network(config.model.network, width=config.model.width, in_channels=1, image_size=28)
    images, labels = data.probe(128)
    started = time.perf_counter()
    take(network.to(memory_format=torch.channels_last), images, labels)
    return time.perf_counter() - started


def start_up() -> dict[str, float]:
    """Seconds that commands take to answer, the best of three."""
    lines = {
        "repro --help": ["--help"],
        "repro fit --help": ["fit", "--help"],
        "repro fit --model.network resnet111 (refused)": ["fit", "--model.network", "resnet111"],
        "repro fit --modle.width 8 (refused)": ["fit", "--modle.width", "8"],
    }
    found = {}
    for name, arguments in lines.items():
        times = []
        for _ in range(3):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-m", "repro", *arguments], capture_output=True, check=False)
            times.append(time.perf_counter() - started)
        found[name] = min(times)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=5, help="steps of a block")
    parser.add_argument("--rounds", type=int, default=5, help="blocks of each kind")
    given = parser.parse_args()
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    print(f"{machine}; width {given.width}, batches of {given.batch} MNIST-sized images\n")
    result: dict[str, object] = {"machine": machine, "width": given.width, "batch": given.batch}

    print(f"{'network':14}{'ours, s/step':>14}{'bare, s/step':>14}{'ratio':>8}{'measuring, s':>14}{'of an epoch':>13}")
    for network in NETWORKS:
        config = from_mapping(
            {
                "model": {"network": network, "width": given.width},
                "data": {"name": "MNIST5k", "batch_size": given.batch},
                "trainer": {"accelerator": "cpu", "max_epochs": 1},
                "measure": {"measurements": []},
            }
        )
        pairs = [(ours(config, given.steps), bare(config, given.steps)) for _ in range(given.rounds)]
        ratio = statistics.median(mine / theirs for mine, theirs in pairs)
        step = statistics.median(mine for mine, _ in pairs)
        loop = statistics.median(theirs for _, theirs in pairs)
        once = statistics.median(measuring(config) for _ in range(3))
        share = once / (step * -(-MNIST_IMAGES // given.batch))
        print(f"{network:14}{step:14.3f}{loop:14.3f}{ratio:8.3f}{once:14.2f}{100 * share:12.2f}%", flush=True)
        result[network] = {"step": step, "bare": loop, "ratio": ratio, "measuring": once, "share_of_epoch": share}
    print("(an epoch: the 60,000 images of MNIST at this step time)\n")

    times = start_up()
    for name, seconds in times.items():
        print(f"{name:50}{seconds:8.2f} s")
    result["start_up"] = times
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
