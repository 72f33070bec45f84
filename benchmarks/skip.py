"""What skip connections to the output cost: a training step of a network with and without them, blocks alternating.

    python benchmarks/skip.py [--json FILE] [--network vgg11 vgg16] [--neurons 50000] [--batch 64] [--rounds 9]

Floor: the products with V, 6 · batch · N · classes operations; reading, writing and updating V, about 32 N · classes
bytes; and moving batch · N neurons out of the activations and their gradients back.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from repro.machine.memory import keep_heap
from repro.networks import create_network
from repro.networks.skip import SkipToOutput


def compare(network: str, given: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a step without and with skip connections, and the median of their ratios."""
    torch.manual_seed(0)
    device = torch.device(given.device)
    images = torch.randn(given.batch, 3, 32, 32, device=device).to(memory_format=torch.channels_last)
    labels = torch.randint(10, (given.batch,), device=device)
    plain = create_network(network, activation="softplus")
    skip = SkipToOutput(
        create_network(network, activation="softplus"), given.neurons, 0, image=images[:1].cpu(), num_classes=10
    )
    networks = {"plain": plain, "skip": skip}
    optimisers = {}
    for name, each in networks.items():
        each.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimisers[name] = torch.optim.SGD(each.parameters(), lr=1e-3, momentum=0.9, nesterov=True)
    times: dict[str, list[float]] = {name: [] for name in networks}

    def steps(name: str) -> None:
        for _ in range(given.steps):
            optimisers[name].zero_grad()
            F.cross_entropy(networks[name](images), labels).backward()
            optimisers[name].step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    for number in range(given.rounds + 1):
        for name in networks:
            start = time.perf_counter()
            steps(name)
            if number:
                times[name].append((time.perf_counter() - start) / given.steps)
    ratio = statistics.median(a / b for a, b in zip(times["skip"], times["plain"], strict=True))
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {"network": network, "neurons": given.neurons, "batch": given.batch, "ratio": ratio, **medians}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--network", nargs="+", default=["vgg11", "vgg16"])
    parser.add_argument("--neurons", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    keep_heap()  # as training does
    machine = {"device": given.device, "threads": torch.get_num_threads(), "load": os.getloadavg()}
    print(" ".join(f"{key}={value}" for key, value in machine.items()))
    found = []
    for network in given.network:
        each = compare(network, given)
        found.append(each)
        print(
            f"{network}, batch {given.batch}, N = {given.neurons:,}: plain {each['plain']:.3f} s/step, "
            f"skip {each['skip']:.3f} s/step, ratio {each['ratio']:.3f}",
            flush=True,
        )
    if given.json:
        content = {"machine": machine, "cases": found}
        given.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
