"""What a training step costs: ours through Lightning's Trainer, beside bare loops, and where its time goes.

    python benchmarks/training.py [--json FILE] [--root data] [--batch 32] [--steps 3] [--rounds 8] [--device cuda]

For PlainNet-110, ResNet-110, ResNeXt-110, VGG16 with 50,000 skip connections to the output and DenseNet121, on
CIFAR-10 with a crop and flip for each image: (a) a bare loop with torchvision's dataset, PIL transforms and DataLoader;
(b) a bare eager loop (forward, loss, backward, SGD step) on our batches, which live on the device. Blocks of steps of
ours, (a) and (b) take turns, from the same initial network, in one process for each network; medians over the rounds.
Ours is the run of `repro fit` with its record, progress and checkpoints, without W&B, a log point every ten steps.
On a GPU also compiled steps (--variants; nothing waits within a block, only at its ends). With one thread of
a CPU all times are the process's processor time, which other work on the machine lengthens less than the clock's; what
the Trainer waits for would not be in it, and (a) loads its images in the same process (--workers 0).

Floors: multiplications and additions counted by torch over the rate of a large matrix product measured here; bytes of
each layer's input and output read and written once in each pass, and of the optimiser, over the rate of a large copy.
Needs CIFAR-10: repro data prepare cifar10.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from step_parts import Loop, arithmetic, ceilings, now, parts
from torch import nn

from repro.config import Config, from_mapping
from repro.errors import UserError
from repro.measurements import take
from repro.records import RunDirectory
from repro.runs.build import build
from repro.runs.checkpoints import RunCheckpoints
from repro.runs.stop import Interrupted, StopRequest
from repro.tracking.record_logger import RecordLogger
from repro.training.progress import Progress

NETWORKS = {
    "plainnet110": {"width": 16},
    "resnet110": {"width": 16},
    "resnext110": {"width": 16},
    "vgg16": {"skip_neurons": 50_000},
    "densenet121": {},
}
VARIANTS = {
    "blocks": {"compile": "blocks"},
    "network": {"compile": "network"},
    "blocks, reduce-overhead": {"compile": "blocks", "compile_mode": "reduce-overhead"},
}


def configured(name: str, given: argparse.Namespace, **trainer: Any) -> Config:
    accelerator = {"accelerator": "gpu", "devices": 1} if given.device == "cuda" else {"accelerator": "cpu"}
    return from_mapping(
        {
            "model": {"network": name, **NETWORKS[name]},
            "data": {
                "name": "CIFAR10",
                "root": str(given.root),
                "batch_size": given.batch,
                "augmentation": "crop_flip",
            },
            "trainer": {"max_epochs": 1000, **accelerator, **trainer},
            "measure": {"measurements": []},
        }
    )


class Blocks(Callback):
    """Times blocks of the run's steps, the time of everything between them included; others take turns with them."""

    def __init__(self, given: argparse.Namespace, others: dict[str, Callable[[], float]]) -> None:
        self.given, self.others = given, others
        self.times: dict[str, list[float]] = defaultdict(list)
        self.first = self.started = 0.0
        self.began = time.perf_counter()

    def on_train_batch_end(self, trainer: Any, *_arguments: Any) -> None:
        steps, step = self.given.steps, trainer.global_step - self.given.warm_up
        if trainer.global_step == 1:
            self.first = time.perf_counter() - self.began
        place = step % (steps + 1) if step >= 0 else -1
        if place == 0 and step:
            self.times["ours"].append((now(self.given.device) - self.started) / steps)
            if len(self.times["ours"]) == self.given.rounds:
                raise Interrupted("done")
            for name, other in self.others.items():
                self.times[name].append(other())
        elif place == 1:  # the step before refilled what the others' blocks had emptied, as theirs do
            self.started = now(self.given.device)


def peak(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run(config: Config, callback: Callback) -> Any:
    """The experiment, trained until the callback stops it."""
    with tempfile.TemporaryDirectory() as folder:
        directory = RunDirectory.prepare(Path(folder) / "run", "")
        saving = RunCheckpoints(directory, config.trainer, stop=StopRequest())
        callbacks = [callback, Progress("benchmark", "none"), saving]
        experiment = build(config, loggers=[RecordLogger(directory)], callbacks=callbacks)
        experiment.data.trainer = experiment.trainer
        try:
            experiment.trainer.fit(experiment.module, datamodule=experiment.data)
        except Interrupted:
            return experiment
    raise AssertionError("the run was shorter than the benchmark")


def bare(network: nn.Module, batches: Callable[[], Loop], given: argparse.Namespace) -> Callable[[], float]:
    """Seconds a step of the least that one would write, a block at each call; the first call only warms up."""
    network = network.to(given.device).train()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    source = batches()

    def block() -> float:
        nonlocal source
        started = 0.0
        for step in range(given.steps + 1):  # the first refills what the others' blocks have emptied
            if step == 1:
                started = now(given.device)
            try:
                images, labels = next(source)
            except StopIteration:
                source = batches()
                images, labels = next(source)
            images = images.to(given.device, memory_format=torch.channels_last, non_blocking=True)
            labels = labels.to(given.device, non_blocking=True)
            optimiser.zero_grad()
            F.cross_entropy(network(images), labels).backward()
            optimiser.step()
        return (now(given.device) - started) / given.steps

    return block


def torchvision_batches(data: Any, given: argparse.Namespace) -> Callable[[], Loop]:
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    dataset = datasets.CIFAR10.__new__(datasets.CIFAR10)  # its own __getitem__, without its files
    dataset.data = data.batches("train").images.cpu().permute(0, 2, 3, 1).numpy()
    dataset.targets = data.batches("train").labels.tolist()
    crop = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
    dataset.transform = transforms.Compose(
        [*crop, transforms.ToTensor(), transforms.Normalize(data.mean, data.deviation)]
    )
    dataset.target_transform = None
    options = {"shuffle": True, "num_workers": given.workers, "persistent_workers": given.workers > 0}
    loader = DataLoader(dataset, given.batch, pin_memory=given.device == "cuda", **options)
    return lambda: iter(loader)


def case(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Everything about one network, in a process of its own."""
    torch.set_num_threads(given.threads)
    config = configured(name, given)
    found: dict[str, Any] = {"parts": parts(config, given, run), "variants": {}}
    found["peak_bytes"] = peak(given.device)
    rivals = build(config)
    rivals.data.trainer = rivals.trainer
    rivals.data.setup("fit")
    ours = rivals.data.batches("train", training=True)
    others = {"(b) bare, our batches": bare(rivals.module.network, lambda: iter(ours), given)}
    if not given.skip_torchvision:
        network = build(config).module.network
        source = torchvision_batches(rivals.data, given)
        others = {"(a) bare, torchvision's": bare(network, source, given), **others}
    blocks = Blocks(given, others)
    run(config, blocks)
    # Each block of ours with those of the others that follow it; the first ones warm up, the last of ours is alone.
    times = {key: values[1 : given.rounds - 1] for key, values in blocks.times.items()}
    found |= {"seconds": times, "first_step": blocks.first}
    for variant in given.variants:
        try:
            other = Blocks(given, {})
            run(configured(name, given, **VARIANTS[variant]), other)
            found["variants"][variant] = {"seconds": other.times["ours"][1:], "first_step": other.first}
        except UserError as error:
            found["variants"][variant] = {"refused": str(error)}
    images, labels = next(iter(ours))
    found["operations"], found["bytes"] = arithmetic(rivals.module.network, images, labels)
    probe, classes = rivals.data.probe(128)
    started = now(given.device)
    take(rivals.module.network, probe.to(given.device), classes.to(given.device))
    found["measuring"] = now(given.device) - started
    return found


def spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


def show(name: str, found: dict[str, Any], rates: tuple[float, float], given: argparse.Namespace) -> None:
    ours = found["seconds"]["ours"]
    step = statistics.median(ours)
    print(f"\n{name}: {1e3 * step:.1f} ms a step, peak {found['peak_bytes'] / 1e9:.2f} GB", end="")
    print(f", first step done after {found['first_step']:.1f} s")
    found["ratios"] = {}
    for other, values in found["seconds"].items():
        if other != "ours":
            ratios = [mine / theirs for mine, theirs in zip(ours, values, strict=True)]
            found["ratios"][other] = {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}
            print(f"  ours / {other:24} {spread(ratios)}")
    for variant, values in found["variants"].items():
        if "refused" in values:
            print(f"  {variant:31} {values['refused']}")
        else:
            ratios = [mine / step for mine in values["seconds"]]
            print(f"  {variant + ' / plain':31} {spread(ratios)}, first step after {values['first_step']:.1f} s")
    whole = sum(found["parts"].values())
    shares = ", ".join(f"{part} {100 * seconds / whole:.1f} %" for part, seconds in found["parts"].items())
    print(f"  of a step: {shares}")
    arithmetic_floor, memory_floor = found["operations"] / rates[0], found["bytes"] / rates[1]
    found["floor"] = {"arithmetic": arithmetic_floor, "memory": memory_floor}
    print(f"  floors: {found['operations'] / 1e9:.1f} GFLOP, {1e3 * arithmetic_floor:.1f} ms", end="; ")
    print(f"{found['bytes'] / 1e9:.2f} GB, {1e3 * memory_floor:.1f} ms", end="; ")
    print(f"a step takes {step / max(arithmetic_floor, memory_floor):.1f} times the larger")
    epoch = step * -(-50_000 // given.batch)
    found["measuring_share"] = found["measuring"] / epoch
    print(
        f"  measuring once: {found['measuring']:.2f} s, {100 * found['measuring_share']:.2f} % of an epoch", flush=True
    )


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
        print(f"{name:50}{found[name]:8.2f} s")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of prepared data sets")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--batch", type=int, help="default: 32, on a GPU 128")
    parser.add_argument("--steps", type=int, help="of a block; default: 3, on a GPU 50")
    parser.add_argument("--rounds", type=int, default=8, help="blocks of ours; all but the first and last count")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, help="of torchvision's DataLoader; default: 0, on a GPU 8")
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, help="default: all on a GPU, none on a CPU")
    parser.add_argument("--skip-torchvision", action="store_true", help="leave (a) out")
    given = parser.parse_args()
    on_gpu = given.device == "cuda"
    given.batch = given.batch or (128 if on_gpu else 32)
    given.steps = given.steps or (50 if on_gpu else 3)
    given.workers = given.workers if given.workers is not None else (8 if on_gpu else 0)
    given.warm_up, given.profiled = (10, 50) if on_gpu else (1, 10)
    given.variants = given.variants if given.variants is not None else list(VARIANTS) if on_gpu else []
    torch.set_num_threads(given.threads)
    rates = ceilings(given.device)
    machine = {
        "device": torch.cuda.get_device_name() if on_gpu else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": given.threads,
        "load": os.getloadavg(),
        "torch": torch.__version__,
        "operations_per_second": rates[0],
        "bytes_per_second": rates[1],
    }
    print(machine, f"\nbatches of {given.batch}, {given.rounds - 2} rounds of {given.steps} steps", flush=True)
    result: dict[str, Any] = {"machine": machine, "batch": given.batch, "steps": given.steps, "networks": {}}
    for name in given.networks:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            try:
                found = pool.submit(case, name, given).result()
            except UserError as error:  # the data are not there
                sys.exit(f"repro: {error}")
        show(name, found, rates, given)
        result["networks"][name] = {"load": os.getloadavg()[0], **found}
    print()
    result["start_up"] = start_up()
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
