"""How fast training batches come: CIFAR-10 with a random crop and flip, normalised, as float32 tensors.

    python benchmarks/data.py [--json FILE] [--root data] [--rounds 3] [--batch 128] [--device cuda]

Beside ours, in one run: torchvision's dataset with its PIL transforms in a DataLoader, at the number of workers that is
best here; torchvision's v2 transforms on whole batches of tensors, which draw one crop and one flip for all images of a
batch (ours and PIL's draw one for each image); and the floor: reading every image's bytes once and writing them as
float32, in order. An epoch of 50,000 images each, in turn, round after round; medians are compared. Each method runs in
a process of its own; given is its memory beside the mapped file of 154 MB and the imports (with its workers', shared
pages counted once).
With --device cuda also the share of a ResNet-110 training step that a batch of ours takes.
Needs CIFAR-10: repro data prepare cifar10.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from repro.data import create_data
from repro.data.sources.small import CIFAR10
from repro.networks import create_network

WORKERS = (0, 1, 2, 4)
Batches = Callable[[int], Iterator[tuple[Tensor, Tensor]]]
"""The batches of an epoch."""


def prepared(options: argparse.Namespace) -> CIFAR10:
    data = create_data("CIFAR10", root=options.root, batch_size=options.batch, augmentation="crop_flip")
    data.setup()
    return data


def ours(options: argparse.Namespace) -> Batches:
    data = prepared(options)
    batches = data.batches("train", training=True)
    epoch = 0
    batches.position = lambda: epoch * len(batches)

    def of_epoch(number: int) -> Iterator[tuple[Tensor, Tensor]]:
        nonlocal epoch
        epoch = number
        return iter(batches)

    return of_epoch


def torchvision_pil(options: argparse.Namespace, workers: int) -> Batches:
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    data = prepared(options)
    dataset = datasets.CIFAR10.__new__(datasets.CIFAR10)  # its own __getitem__, without its files
    dataset.data = data.batches("train").images.permute(0, 2, 3, 1).numpy()
    dataset.targets = data.batches("train").labels.tolist()
    dataset.transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(data.mean, data.deviation),
        ]
    )
    dataset.target_transform = None
    loader = DataLoader(
        dataset, options.batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0, pin_memory=False
    )
    return lambda _epoch: iter(loader)


def torchvision_batched(options: argparse.Namespace) -> Batches:
    from torchvision.transforms import v2

    data = prepared(options)
    images, labels = data.batches("train").images.contiguous(), data.batches("train").labels
    transform = v2.Compose(
        [
            v2.RandomCrop(32, padding=4),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(data.mean), list(data.deviation)),
        ]
    )

    def of_epoch(_epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for chosen in torch.randperm(len(images)).split(options.batch):
            yield transform(images[chosen]), labels[chosen]

    return of_epoch


def floor(options: argparse.Namespace) -> Batches:
    data = prepared(options)
    images, labels = data.batches("train").images.permute(0, 2, 3, 1), data.batches("train").labels
    out = torch.empty(options.batch, *images.shape[1:])

    def of_epoch(_epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for some, of_some in zip(images.split(options.batch), labels.split(options.batch), strict=True):
            yield out[: len(some)].copy_(some), of_some

    return of_epoch


METHODS: dict[str, Callable[[argparse.Namespace], Batches]] = {
    "repro: a crop and flip for each image": ours,
    **{
        f"torchvision, PIL, {workers} workers: a crop and flip for each image": (
            lambda options, workers=workers: torchvision_pil(options, workers)
        )
        for workers in WORKERS
    },
    "torchvision v2 on batches: one crop and flip for each batch": torchvision_batched,
    "floor: bytes read once in order, written as float32": floor,
}


def memory() -> int:
    """Bytes of this process and its children that no file holds; shared pages divided among those that share them."""
    mine = os.getpid()
    family = [mine, *(int(each) for each in Path(f"/proc/{mine}/task/{mine}/children").read_text().split())]
    total = 0
    for process in family:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss_Anon:"):
                total += 1024 * int(line.split()[1])
    return total


def serve(name: str, options: argparse.Namespace, pipe: Connection) -> None:
    """In a process of its own: times an epoch whenever it is told to."""
    warnings.filterwarnings("ignore", ".*worker processes in total.*")
    before = memory()
    batches = METHODS[name](options)
    pipe.send(None)
    while (epoch := pipe.recv()) is not None:
        started, seen = time.perf_counter(), 0
        for images, _ in batches(epoch):
            seen += len(images)
        seconds = time.perf_counter() - started
        pipe.send((seconds, seen, memory() - before))


def measured(options: argparse.Namespace) -> list[dict[str, Any]]:
    context = get_context("spawn")
    pipes = {}
    processes = []
    for name in METHODS:
        pipes[name], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(name, options, theirs)))
        processes[-1].start()
        pipes[name].recv()
    times: dict[str, list[float]] = {name: [] for name in METHODS}
    bytes_: dict[str, int] = {}
    for epoch in range(options.rounds + 1):  # the first, which starts workers and touches memory, does not count
        for name, pipe in pipes.items():
            pipe.send(epoch)
            seconds, seen, bytes_[name] = pipe.recv()
            assert seen == 50_000
            if epoch:
                times[name].append(seconds)
    for pipe in pipes.values():
        pipe.send(None)
    for process in processes:
        process.join()
    base = statistics.median(times["repro: a crop and flip for each image"])
    return [
        {
            "method": name,
            "images_per_second": 50_000 / statistics.median(found),
            "min_images_per_second": 50_000 / max(found),
            "max_images_per_second": 50_000 / min(found),
            "ours_over_it": statistics.median(found) / base,
            "bytes": bytes_[name],
        }
        for name, found in times.items()
    ]


def share_of_a_step(options: argparse.Namespace) -> dict[str, float]:
    """Seconds of a batch and of a ResNet-110 training step on the device."""
    device = torch.device(options.device)
    data = prepared(options)
    source = data.batches("train", training=True)
    batches = type(source)(
        source.images.to(device),
        source.labels.to(device),
        batch_size=options.batch,
        mean=data.mean,
        deviation=data.deviation,
        seed=0,
        augmentation="crop_flip",
    )
    network = create_network("resnet110", num_classes=10, in_channels=3, image_size=32)
    network = network.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)

    def seconds(work: Callable[[Tensor, Tensor], None], steps: int) -> float:
        found = []
        for _ in range(options.rounds):
            stream = iter(batches)
            work(*next(stream))
            if device.type == "cuda":
                torch.cuda.synchronize()
            started = time.perf_counter()
            for _ in range(steps):
                work(*next(stream))
            if device.type == "cuda":
                torch.cuda.synchronize()
            found.append((time.perf_counter() - started) / steps)
        return statistics.median(found)

    def step(images: Tensor, labels: Tensor) -> None:
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    steps = 50 if device.type == "cuda" else 3
    batch = seconds(lambda *_: None, 300)
    return {"batch_s": batch, "step_s": seconds(step, steps) - batch}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the results here too")
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of prepared data sets")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--device", default="cpu", help="for the share of a ResNet-110 step")
    options = parser.parse_args()
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
    }
    print(machine)
    rows = measured(options)
    print(f"\n{'images/s':>10} {'from':>10} {'to':>10} {'ours/it':>8} {'MB':>7}")
    for row in rows:
        size = f"{row['bytes'] / 1e6:7.0f}"
        numbers = (row[key] for key in ("images_per_second", "min_images_per_second", "max_images_per_second"))
        print(" ".join(f"{each:10,.0f}" for each in numbers), f"{row['ours_over_it']:8.2f} {size} {row['method']}")
    share = share_of_a_step(options)
    ratio = share["batch_s"] / share["step_s"]
    print(f"\na batch of {options.batch}: {1e3 * share['batch_s']:.2f} ms, {100 * ratio:.2f} % of a ResNet-110 step")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        content = {"machine": machine, "batch": options.batch, "methods": rows, "device": options.device, **share}
        options.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
