"""How long the measurement `curvature` takes at 110 layers, beside `weights` and a training step of the same batch.

    OMP_NUM_THREADS=1 nice -n 19 python benchmarks/curvature.py [--width 16] [--side 32] [--images 128]

Processor seconds of one process, once each, and the largest resident memory after each. The network is ResNet-110 as
it is drawn; its curvature is found by 20 Lanczos steps for the whole and for the first and the third last layer, and 10
vectors for the traces.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from repro.measurements import take
from repro.networks import create_network


def timed(run: Callable[[], Any]) -> dict[str, float]:
    before = time.process_time()
    run()
    used = time.process_time() - before
    return {"seconds": used, "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("width", 16), ("side", 32), ("images", 128)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    torch.manual_seed(0)
    network = create_network("resnet110", width=asked.width)
    images, labels = torch.randn(asked.images, 3, asked.side, asked.side), torch.arange(asked.images) % 10
    result: dict[str, Any] = {**vars(asked), "threads": torch.get_num_threads(), "load": os.getloadavg()}
    result |= {"torch": torch.__version__, "weights": timed(lambda: take(network, images, measurements=["weights"]))}
    result["step"] = timed(lambda: F.cross_entropy(network.train()(images), labels).backward())
    network.zero_grad()
    result["curvature"] = timed(lambda: take(network, images, labels, measurements=["curvature"]))
    result["steps"] = result["curvature"]["seconds"] / result["step"]["seconds"]
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
