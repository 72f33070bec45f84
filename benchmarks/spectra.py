"""How long `repro.spectra` takes, beside what else there is: ratios within one run.

    python benchmarks/spectra.py [--json FILE] [--repetitions 9] [--threads N] [--device cuda] [--weights FILE]

Every method of a case is run in turn, repetition after repetition, so that a busy machine slows all alike; the medians
of their times are compared. Each timed run comes right after a quarter of a second of untimed ones of the same method
(at least one), so that none pays for another's cold caches and spinning threads, nor a short one for cores that are
still waking up. What is shorter than a quarter of a second is timed over and over for as long, and its mean counts.
(Where other programs keep all cores busy, more than one thread says little about any method: each library waits for its
own threads, for up to a second.) All start from the same float32 tensors; converting to float64 and unfolding are part
of each time.
The floor counts what no way over Gram matrices can do without: the entries read once; half of each product and the
tridiagonal form of each Gram matrix in float64, at the rate of a large product on the same device and threads.
On the fast path κ is under 3e4; the exact path is timed on the same tensors made singular along every mode.
`--weights` adds a network of yours (a state dict): its time, and how many of its unfoldings need the exact path.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from step_parts import ceilings
from torch import Tensor

from repro.spectra import Conditioning, conditioning, mode_conditioning, mode_conditionings, unfold
from repro.spectra.singular_values import FAST_LIMIT
from repro.spectra.unfold import distinct_modes, unfolded_shape

RESNET110 = [
    *[(16, 3, 3, 3)],
    *[(16, 16, 3, 3)] * 36,
    *[(32, 16, 3, 3)],
    *[(32, 32, 3, 3)] * 35,
    *[(64, 32, 3, 3)],
    *[(64, 64, 3, 3)] * 35,
    *[(10, 64)],
]
"""Weights of ResNet-110 on CIFAR-10, base width 16."""

QUARTER = 0.25
"""Seconds of untimed runs, and then of timed ones."""

Methods = dict[str, Callable[[], Any]]


def he_normal(shapes: Iterable[Sequence[int]], device: str) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(shape, generator=generator) * (2 / np.prod(shape[1:])) ** 0.5 for shape in shapes]
    return [weight.to(device) for weight in weights]


def singular(tensor: Tensor) -> Tensor:
    """The tensor with its first two slices equal along every dimension that has two."""
    tensor = tensor.clone()
    for dimension, size in enumerate(tensor.shape):
        if size > 1:
            tensor.select(dimension, 1).copy_(tensor.select(dimension, 0).clone())
    return tensor


def unfoldings(tensors: Iterable[Tensor]) -> list[Tensor]:
    return [unfold(tensor, mode) for tensor in tensors for mode in range(tensor.ndim)]


def modes_case(weights: list[Tensor]) -> Methods:
    host = [weight.cpu().numpy() for weight in weights]

    def numpy_svd(**options: Any) -> None:
        for weight in host:
            for mode in range(weight.ndim):
                matrix = np.moveaxis(weight, mode, 0).reshape(weight.shape[mode], -1)
                np.linalg.svd(matrix.astype(np.float64), **options)

    return {
        "repro mode_conditionings(weights)": lambda: mode_conditionings(weights),
        "repro conditioning(unfoldings)": lambda: conditioning(unfoldings(weights)),
        "numpy.linalg.svd, thin, with vectors": lambda: numpy_svd(full_matrices=False),
        "numpy.linalg.svd, values only": lambda: numpy_svd(compute_uv=False),
        "torch.linalg.svdvals, float64": lambda: [torch.linalg.svdvals(m.double()).cpu() for m in unfoldings(weights)],
    }


def matrix_case(matrix: Tensor) -> Methods:
    host = matrix.cpu().numpy()
    return {
        "repro conditioning([matrix])": lambda: conditioning([matrix]),
        "torch.linalg.svdvals, float64": lambda: torch.linalg.svdvals(matrix.double()).cpu(),
        "numpy.linalg.svd, values only": lambda: np.linalg.svd(host.astype(np.float64), compute_uv=False),
    }


def tensor_case(tensor: Tensor) -> Methods:
    return {
        "repro mode_conditioning(tensor)": lambda: mode_conditioning(tensor),
        "torch.linalg.svdvals, float64": lambda: [torch.linalg.svdvals(m.double()).cpu() for m in unfoldings([tensor])],
    }


def resnet101_case(device: str) -> tuple[Methods, list[Tensor]] | str:
    """Every weight of ResNet-101. The others take one layer of each shape, times the number of layers of that shape."""
    try:
        models = importlib.import_module("torchvision.models")
    except ImportError:
        return "torchvision: not installed"
    with torch.device("meta"):
        shapes = [tuple(p.shape) for p in models.resnet101(weights=None).parameters() if p.ndim > 1]
    weights = he_normal(shapes, device)
    counts = Counter(shapes)
    samples = {tuple(weight.shape): weight.cpu() for weight in weights}
    methods: Methods = {
        "repro mode_conditionings(weights): float64 values of every mode's unfolding": lambda: mode_conditionings(
            weights
        )
    }

    def sampled(one_layer: Callable[[Tensor], None]) -> Callable[[], float]:
        def seconds() -> float:
            total = 0.0
            for shape, count in counts.items():
                start = time.perf_counter()
                one_layer(samples[shape])
                total += count * (time.perf_counter() - start)
            return total

        return seconds

    def svdvals(weight: Tensor) -> None:
        for matrix in unfoldings([weight]):
            torch.linalg.svdvals(matrix.double())

    methods["torch.linalg.svdvals: the same"] = sampled(svdvals)
    try:
        tensorly = importlib.import_module("tensorly")
        svd_interface = importlib.import_module("tensorly.tenalg").svd_interface
    except ImportError:
        print("tensorly: not installed")
    else:

        def hosvd(weight: Tensor) -> None:
            array = weight.double().numpy()
            for mode, rank in enumerate(array.shape):
                matrix = tensorly.unfold(array, mode)
                svd_interface(matrix, n_eigenvecs=min(rank, matrix.shape[1]))

        methods["tensorly svd_interface(unfold): the same with singular vectors"] = sampled(hosvd)
    try:
        svd_vals = importlib.import_module("weightwatcher.RMT_Util").svd_vals
    except ImportError:
        print("weightwatcher: not installed")
    else:

        def watch(weight: Tensor) -> None:
            for slice_ in weight.reshape(*weight.shape[:2], -1).unbind(2):
                svd_vals(slice_.numpy(), method="accurate")

        methods["weightwatcher svd_vals: float32 values of each kernel position's out × in slice, no modes"] = sampled(
            watch
        )
    return methods, weights


def seconds_of(method: Callable[[], Any], least: float) -> float:
    """What one run takes, from as many as `least` seconds allow; one that tells its own seconds is believed."""
    taken: list[float] = []
    while not taken or sum(taken) < least:
        start = time.perf_counter()
        result = method()
        if isinstance(result, float):
            return result
        taken.append(time.perf_counter() - start)
    return statistics.mean(taken)


def floor(tensors: list[Tensor], modes: int | None, rates: tuple[float, float]) -> dict[str, float]:
    """Seconds for the operations and for the bytes that the conditioning of tensors takes at least."""
    operations = 0.0
    for tensor in tensors:
        for mode, *_ in distinct_modes(tensor.shape, modes):
            short, long = sorted(unfolded_shape(tensor.shape, mode))
            operations += short**2 * long + 4 / 3 * short**3
    moved = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return {"operations": operations, "bytes": moved, "s": max(operations / rates[0], moved / rates[1])}


def run(
    case: str,
    methods: Methods,
    repetitions: int,
    demands: dict[str, float],
    least: dict[str, float] | None = None,
    *,
    warm: bool = True,
) -> dict[str, Any]:
    times: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(repetitions):
        for name, method in methods.items():
            time.sleep(0.3)  # idle threads of numpy's BLAS go on spinning for a while, at the next one's cost
            if warm:
                seconds_of(method, QUARTER)
            times[name].append(seconds_of(method, QUARTER))
    medians = {name: statistics.median(values) for name, values in times.items()}
    ours = next(iter(medians.values()))
    print(f"\n{case}\n{'ms':>10} {'min':>10} {'ratio':>8} {'demanded':>9}")
    rows = []
    for name, median in medians.items():
        demand = demands.get(name)
        row = {
            "method": name,
            "median_s": median,
            "min_s": min(times[name]),
            "ratio": median / ours,
            "demanded": demand,
        }
        rows.append(row)
        print(
            f"{median * 1e3:10.1f} {min(times[name]) * 1e3:10.1f} {median / ours:8.2f} {demand or '':>9} {name}",
            flush=True,
        )
    if least is not None:
        print(
            f"{least['s'] * 1e3:10.1f} floor: {least['operations'] / 1e9:.2f} GFLOP in float64, "
            f"{least['bytes'] / 1e6:.0f} MB; ours takes {ours / least['s']:.1f} times as long",
            flush=True,
        )
    return {"case": case, "repetitions": repetitions, "methods": rows, "floor": least}


def share_of_exact_path(results: list[Conditioning]) -> str:
    ratios = torch.cat([result.sigma_max / result.sigma_min for result in results])
    return f"{int((~(ratios <= FAST_LIMIT)).sum())} of {len(ratios)} unfoldings need the exact path"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the results here too")
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--threads", type=int, help="torch's threads; numpy's are set by OMP_NUM_THREADS")
    parser.add_argument("--device", default="cpu", help="where the tensors lie; numpy and packages stay on the host")
    parser.add_argument("--weights", type=Path, help="a state dict, whose tensors of 2 and more dimensions are timed")
    parser.add_argument("--skip-resnet101", action="store_true", help="leave out the slowest case")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)

    weights = he_normal(RESNET110, options.device)
    matrix = torch.randn(16384, 128, generator=torch.Generator().manual_seed(0)).relu().to(options.device)
    tensor = torch.randn(128, 16, 32, 32, generator=torch.Generator().manual_seed(0)).relu().to(options.device)
    demands = {"numpy.linalg.svd, thin, with vectors": 15.0, "torch.linalg.svdvals, float64": 6.0}
    rates = ceilings(options.device, torch.float64)
    of_matrix = {"torch.linalg.svdvals, float64": 3.0}
    cases: list[tuple[str, Methods, dict[str, float], dict[str, float] | None]] = [
        (
            "ResNet-110, all modes of all 110 weights, fast path",
            modes_case(weights),
            demands,
            floor(weights, None, rates),
        ),
        ("ResNet-110, the same made singular, exact path", modes_case([singular(w) for w in weights]), {}, None),
        ("representation 16,384 × 128, fast path", matrix_case(matrix), of_matrix, floor([matrix], 1, rates)),
        ("representation 16,384 × 128, exact path", matrix_case(singular(matrix)), {}, None),
        (
            "representation 128×16×32×32, all modes, fast path",
            tensor_case(tensor),
            {},
            floor([tensor], None, rates),
        ),
        ("representation 128×16×32×32, all modes, exact path", tensor_case(singular(tensor)), {}, None),
    ]
    if options.weights:
        state = torch.load(options.weights, map_location=options.device, weights_only=True)
        state = state.get("state_dict", state)
        own = [value.float() for value in state.values() if isinstance(value, Tensor) and value.ndim > 1]
        name = f"{options.weights.name}: {share_of_exact_path(mode_conditionings(own))}"
        cases.append((name, modes_case(own), {}, floor(own, None, rates)))

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    device = torch.cuda.get_device_name() if options.device.startswith("cuda") else platform.processor() or "cpu"
    machine = {
        "device": device,
        "cores": cores,
        "torch_threads": torch.get_num_threads(),
        "load": os.getloadavg(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "float64_operations_per_s": rates[0],
        "bytes_per_s": rates[1],
    }
    print(" ".join(f"{key}={value}" for key, value in machine.items()))
    results = [run(name, methods, options.repetitions, wanted, least) for name, methods, wanted, least in cases]
    if not options.skip_resnet101:
        found = resnet101_case(options.device)
        if isinstance(found, str):
            print(found)
        else:
            methods, weights = found
            title = "ResNet-101, all weights (others: one layer of each shape × how many there are)"
            least = floor(weights, None, rates)
            results.append(run(title, methods, min(options.repetitions, 3), {}, least, warm=False))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"machine": machine, "cases": results}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
