"""What skip connections to the output cost: a training step of a network with and without them, blocks alternating.

    python benchmarks/skip.py [--json FILE] [--network vgg16] [--neurons 50000] [--batch 64] [--steps 3] [--rounds 5]

Floor: the products with V, 6 · batch · N · classes operations; reading, writing and updating V, about 32 N · classes
bytes; and moving batch · N neurons out of the activations and their gradients back.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from repro.networks import create_network
from repro.networks.skip import SkipToOutput


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--network", default="vgg16")
    parser.add_argument("--neurons", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.manual_seed(0)
    device = torch.device(given.device)
    images = torch.randn(given.batch, 3, 32, 32, device=device).to(memory_format=torch.channels_last)
    labels = torch.randint(10, (given.batch,), device=device)
    plain = create_network(given.network, activation="softplus")
    skip = SkipToOutput(
        create_network(given.network, activation="softplus"), given.neurons, 0, image=images[:1].cpu(), num_classes=10
    )
    networks = {"plain": plain, "skip": skip}
    optimisers = {}
    for name, network in networks.items():
        network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimisers[name] = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, nesterov=True)
    times: dict[str, list[float]] = {name: [] for name in networks}

    def steps(name: str, network: nn.Module) -> None:
        for _ in range(given.steps):
            optimisers[name].zero_grad()
            F.cross_entropy(network(images), labels).backward()
            optimisers[name].step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    for number in range(given.rounds + 1):
        for name, network in networks.items():
            start = time.perf_counter()
            steps(name, network)
            if number:
                times[name].append((time.perf_counter() - start) / given.steps)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratio = statistics.median(a / b for a, b in zip(times["skip"], times["plain"], strict=True))
    print(f"{given.network}, batch {given.batch}, N = {given.neurons:,}, {torch.get_num_threads()} threads, {device}")
    print(f"plain {medians['plain']:.3f} s/step, skip {medians['skip']:.3f} s/step, ratio {ratio:.3f}")
    if given.json:
        content = {"network": given.network, "neurons": given.neurons, "batch": given.batch, "ratio": ratio, **medians}
        given.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
