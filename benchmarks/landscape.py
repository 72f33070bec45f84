"""A loss surface beside the loop that loads weights and evaluates point by point, parts of both alternating.

    python benchmarks/landscape.py [--json FILE] [--points 51] [--samples 1024] [--share 0.1] [--rounds 3]

The network is Nguyen's of Fig. 3: 784-784-300-10, softplus, on so many digits. Both evaluate a share of the grid's
columns in each round (all of them with --share 1) and must agree.

Count: a point takes 2 · samples · (784 · 784 + 784 · 300 + 300 · 10) operations in products. The first layer, 72 % of
them, is linear in the plane's coordinates, so that the whole grid needs three products with it instead of one a point.
What remains is 28 % of the operations, that is 3.6 times as fast if products were all, plus the softplus of
samples · 1,084 neurons a point, which both need: its time is measured and stated as the distance to the count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch

from repro.landscape.directions import random_direction, trained_parameters
from repro.landscape.plane import Plane, evaluate
from repro.networks import create_network
from repro.theory.nguyen.losses import cross_entropy
from repro.theory.real_networks import digits

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.landscape.reference import point_by_point


def operations(samples: int, points: int, *, shared_first_layer: bool) -> float:
    """Floating-point operations of the products for a square grid."""
    first, rest = 784 * 784, 784 * 300 + 300 * 10
    grid = points**2
    return 2.0 * samples * (3 * first + grid * rest if shared_first_layer else grid * (first + rest))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--points", type=int, default=51)
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--together", type=int, default=1)
    given = parser.parse_args()
    torch.manual_seed(0)
    network = create_network("mlp", in_channels=1, image_size=28, activation="softplus", initialization="truncated")
    images, labels = digits(given.samples)
    center = trained_parameters(network)
    generator = torch.Generator().manual_seed(0)
    plane = Plane(center, random_direction(center, generator), random_direction(center, generator))
    axis = torch.linspace(-1, 1, given.points)
    columns = axis[:: max(1, round(1 / given.share))]
    coordinates = torch.cartesian_prod(columns, axis)
    batches = [(images, labels)]
    times: dict[str, list[float]] = {"loop": [], "ours": [], "softplus": []}
    largest = 0.0
    hidden = [torch.randn(given.samples, width) for width in (784, 300)]
    busy: list[float] = []
    for number in range(given.rounds + 1):
        start, own = time.perf_counter(), time.process_time()
        slow = point_by_point(network, plane, coordinates, batches, loss=cross_entropy)
        middle, half = time.perf_counter(), time.process_time()
        fast = evaluate(network, plane, coordinates, batches, loss=cross_entropy, together=given.together)
        end = time.perf_counter()
        shares = half - own, time.process_time() - half
        for _ in range(20):
            for each in hidden:
                torch.nn.functional.softplus(each, beta=20)
        alone = (time.perf_counter() - end) / 20 * len(coordinates)
        largest = max(largest, float((fast / slow - 1).abs()[:, 0].max()))
        if number:
            busy.append(shares[0] / shares[1])
            times["loop"].append(middle - start)
            times["ours"].append(end - middle)
            times["softplus"].append(alone)
    ratio = statistics.median(a / b for a, b in zip(times["loop"], times["ours"], strict=True))
    processor = statistics.median(busy)
    whole = given.points**2 / len(coordinates)
    medians = {name: statistics.median(values) * whole for name, values in times.items()}
    counts = [operations(given.samples, given.points, shared_first_layer=shared) / 1e12 for shared in (False, True)]
    print(f"{given.points} x {given.points} points, {given.samples} digits, {torch.get_num_threads()} threads")
    print(
        f"loop {medians['loop']:.1f} s, ours {medians['ours']:.1f} s, ratio {ratio:.2f}; they differ by {largest:.0e}"
    )
    print(f"ratio of processor time, which other work on the machine disturbs least: {processor:.2f}")
    print(f"products: {counts[0]:.2f} and {counts[1]:.2f} TFLOP, ratio {counts[0] / counts[1]:.2f}")
    print(
        f"softplus alone {medians['softplus']:.1f} s in both; "
        f"without it {medians['loop'] - medians['softplus']:.1f} and {medians['ours'] - medians['softplus']:.1f} s"
    )
    if given.json:
        content = {
            "points": given.points,
            "samples": given.samples,
            "threads": torch.get_num_threads(),
            "ratio": ratio,
            "ratio_of_processor_time": processor,
            "tflop": {"loop": counts[0], "ours": counts[1]},
            "seconds": medians,
            "largest_relative_difference": largest,
        }
        given.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
