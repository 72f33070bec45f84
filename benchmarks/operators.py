"""How long `operators` takes beside `weights`: ResNet-110 at 32 × 32, one process, one thread.

    OMP_NUM_THREADS=1 python benchmarks/operators.py [--repetitions 9]

Both are timed in turn, in processor seconds, as measurements (`take`, the pass that finds the images' sizes included)
and as their linear algebra alone; medians, and the median of the ratios of neighbours. Beside them the floor of the
linear algebra, at the rates of this machine: the coefficients of the Gram polynomials and their sums over the
frequencies as large products in double precision, and for every block the smallest factorisation that shows that it
holds no extreme, a complex Cholesky one, at the rate of a large product in single precision; and what LAPACK's own
complex Cholesky and SVD take for the same blocks.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from repro.measurements import take
from repro.networks import create_network
from repro.networks.layers import survey
from repro.spectra import Convolution, mode_conditionings, operator_conditionings


def seconds(run: Callable[[], Any]) -> float:
    before = time.process_time()
    run()
    return time.process_time() - before


def rate(dtype: torch.dtype) -> float:
    matrix = torch.randn(2048, 2048, dtype=dtype)
    return 2 * 2048**3 / min(seconds(lambda: matrix @ matrix) for _ in range(5))


KINDS = ((36, 16, 514), (35, 32, 130), (35, 64, 34))
"""How many layers, their channels, and how many of their frequencies are not conjugate."""


def floor() -> dict[str, float]:
    """Seconds; 3 x 3 kernels have 45 pairs of positions and 13 differences."""
    double, single = rate(torch.float64), rate(torch.float32)
    products = sum(layers * 45 * 2 * n**3 for layers, n, _ in KINDS)
    sums = sum(layers * 2 * 2 * 13 * n**2 / 2 * blocks for layers, n, blocks in KINDS)
    factors = sum(layers * blocks * 4 / 3 * n**3 for layers, n, blocks in KINDS)
    found = {"floor": (products + sums) / double + factors / single}
    for name, dtype in (("cholesky, complex64", torch.complex64), ("svdvals, complex128", torch.complex128)):
        found[name] = 0.0
        for layers, n, blocks in KINDS:
            some = torch.randn(layers * blocks, n, n, dtype=dtype)
            if dtype == torch.complex64:
                some = some @ some.mH
                found[name] += seconds(lambda some=some: torch.linalg.cholesky_ex(some))
            else:
                found[name] += seconds(lambda some=some: torch.linalg.svdvals(some))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=9)
    repetitions = parser.parse_args().repetitions
    torch.manual_seed(0)
    network, images = create_network("resnet110"), torch.randn(128, 3, 32, 32)
    found = survey(network, images)
    layers = found.layers
    weights = [layer.module.weight.detach() for layer in layers]
    sides = {16: 32, 32: 16, 64: 8}
    maps = []
    for layer, weight in zip(layers, weights, strict=True):
        stride = getattr(layer.module, "stride", ())
        side = sides.get(weight.shape[0], 0) * (stride[0] if stride else 0)
        maps.append(Convolution(weight=weight, image=(side, side) if stride else (), stride=stride))
    ways: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "measurement": (
            lambda: take(network, images, measurements=["weights"], known=found),
            lambda: take(network, images, measurements=["operators"], known=found),
        ),
        "linear algebra": (lambda: mode_conditionings(weights), lambda: operator_conditionings(maps)),
    }
    result: dict[str, Any] = {"threads": torch.get_num_threads(), "load": os.getloadavg(), "torch": torch.__version__}
    for name, (one, other) in ways.items():
        one(), other()
        times = [(seconds(one), seconds(other)) for _ in range(repetitions)]
        ratios = sorted(b / a for a, b in times)
        medians = [statistics.median(column) for column in zip(*times, strict=True)]
        result[name] = {"weights": medians[0], "operators": medians[1], "ratio": statistics.median(ratios)}
        result[name]["ratios"] = [ratios[0], ratios[-1]]
    print(json.dumps({**result, **floor()}, indent=1))


if __name__ == "__main__":
    main()
