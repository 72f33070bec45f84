"""What measuring costs in memory: the peak of a forward pass with and without it, each in a process of its own.

    python benchmarks/memory.py [--json FILE] [--network timm/resnet101] [--images 128] [--size 224] [--device cuda]

Representations are reduced while the forward pass stands at them. Floor: the float64 Gram matrix of the widest mode,
and a block of the tensor in float64. Peaks are of resident memory on the host, of the allocator on a GPU.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

MEASUREMENTS = ("nothing", "weights", "representations", "outputs", "distance")


def one(given: argparse.Namespace) -> None:
    """One pass; prints peak bytes, seconds and the largest representation's bytes as JSON."""
    import torch

    from repro.measurements import passes, take
    from repro.networks import create_network, weight_layers

    torch.manual_seed(0)
    device = torch.device(given.device)
    network = create_network(given.network, num_classes=1000, image_size=given.size).to(device).eval()
    images = torch.randn(given.images, 3, given.size, given.size, device=device)
    largest = 0

    def see(_layer: object, tensor: torch.Tensor) -> None:
        nonlocal largest
        largest = max(largest, tensor.numel() * tensor.element_size())

    start = time.perf_counter()
    if given.only == "nothing":
        with torch.no_grad():
            passes.run(network, images, weight_layers(network, images), read=see)
    else:
        take(network, images, measurements=[given.only])
    seconds = time.perf_counter() - start
    peak = (
        torch.cuda.max_memory_allocated()
        if device.type == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    print(json.dumps({"peak": peak, "seconds": seconds, "largest": largest}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--network", default="timm/resnet101")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", choices=MEASUREMENTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        one(given)
        return
    shared = [f"--{key}={getattr(given, key)}" for key in ("network", "images", "size", "device")]
    print(f"{given.network}, {given.images} images of {given.size} x {given.size}, {given.device} {platform.machine()}")
    rows = {}
    for name in MEASUREMENTS:
        command = [sys.executable, __file__, *shared, f"--only={name}"]
        rows[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        base, row = rows["nothing"], rows[name]
        more = (row["peak"] - base["peak"]) / 1e9
        print(f"{name:16} peak {row['peak'] / 1e9:6.2f} GB, {more:+6.2f} GB, {row['seconds']:7.1f} s", flush=True)
    largest = rows["nothing"]["largest"] / 1e9
    print(f"largest representation {largest:.2f} GB; allowed growth {largest + 1:.2f} GB")
    if given.json:
        given.json.write_text(json.dumps({"arguments": shared, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
