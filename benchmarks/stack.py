"""Several networks trained as one beside the same networks trained in turn: a step of all of them, blocks alternating.

    python benchmarks/stack.py [--json FILE] [--network resnet110] [--width 16] [--members 8] [--batch 128] [--steps 3]

Both do the same arithmetic, so a device that arithmetic keeps busy gains nothing (a CPU; the bound there is 1). Where
launches take the time (thin layers on a GPU), the bound is the number of members.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from repro.config import TrainingConfig
from repro.networks import create_network
from repro.training.classifier import Classifier
from repro.training.facts import device_name
from repro.training.stacked import StackedClassifier


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--network", default="resnet110")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    device, members = torch.device(given.device), range(given.members)
    images = torch.randn(given.members, given.batch, 3, 32, 32, device=device)
    labels = torch.randint(10, (given.members, given.batch), device=device)

    def classifiers() -> list[Classifier]:
        made = []
        for seed in members:
            torch.manual_seed(seed)
            network = create_network(given.network, width=given.width).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            made.append(Classifier(network, num_classes=10, training=TrainingConfig()).to(device))
        return made

    alone = classifiers()
    optimizers = [each.configure_optimizers() for each in alone]
    parts = [images[number].contiguous(memory_format=torch.channels_last) for number in members]
    stack = StackedClassifier(classifiers(), image=images[0, :1], left=lambda _number, _reason: None)
    together = stack.configure_optimizers()

    def in_turn() -> None:
        for number in members:
            optimizers[number].zero_grad()
            F.cross_entropy(alone[number].network(parts[number]), labels[number]).backward()
            optimizers[number].step()

    def as_one() -> None:
        def closure() -> torch.Tensor:
            together.zero_grad()
            scores = stack.scores(images)
            loss = torch.stack([F.cross_entropy(scores[number], labels[number]) for number in members]).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        together.step(closure)

    times: dict[str, list[float]] = {"in_turn": [], "as_one": []}
    for round_number in range(given.rounds + 1):
        for name, step in (("in_turn", in_turn), ("as_one", as_one)):
            began = time.perf_counter()
            for _ in range(given.steps):
                step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if round_number:
                times[name].append((time.perf_counter() - began) / given.steps)
    ratios = [one / other for one, other in zip(times["in_turn"], times["as_one"], strict=True)]
    content = {
        "network": given.network,
        "width": given.width,
        "members": given.members,
        "batch": given.batch,
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        **{f"{name}_seconds": statistics.median(values) for name, values in times.items()},
        "ratio": statistics.median(ratios),
        "ratios": ratios,
    }
    print(f"{given.members} x {given.network}, width {given.width}, batch {given.batch}, {content['device']}")
    print(f"in turn {content['in_turn_seconds']:.3f} s, as one {content['as_one_seconds']:.3f} s a step of all")
    print(f"{content['ratio']:.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f})")
    if given.json:
        given.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
