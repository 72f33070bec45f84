"""How much sooner two ranks are done than one: the weights of ResNet-101, one thread each.

    python benchmarks/ranks.py [--json FILE] [--network timm/resnet101] [--ranks 1 2] [--repetitions 3] [--rounds 3]

Every rank reduces its layers and gets all readings; the time is from a barrier before to the gathered end. The numbers
of ranks take turns, round after round, so that a busy machine slows all alike; medians over all rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

RANK = """
import json, sys, time
import torch
import torch.distributed as dist
from repro.distributed.ranks import Ranks
from repro.measurements import take
from repro.networks import create_network, survey

rank, ranks, store, name, repetitions = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=ranks)
torch.manual_seed(0)
network = create_network(name, num_classes=1000, image_size=224)
images = torch.zeros(2, 3, 224, 224)
known = survey(network, images)  # as the callback keeps them from its first measurement on
times = []
for _ in range(repetitions + 1):
    dist.barrier()
    start = time.perf_counter()
    readings = take(network, images, measurements=["weights"], ranks=Ranks.of_process_group(), known=known)
    dist.barrier()
    times.append(time.perf_counter() - start)
if rank == 0:
    print(json.dumps({"seconds": times[1:], "readings": len(readings)}))
dist.destroy_process_group()
"""


def seconds(ranks: int, given: argparse.Namespace) -> list[float]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        arguments = [f"{folder}/store", given.network, str(given.repetitions)]
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", RANK, str(rank), str(ranks), *arguments],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in range(ranks)
        ]
        said = [process.communicate()[0] for process in processes]
    return list(json.loads(said[0])["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--network", default="timm/resnet101")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    times: dict[int, list[float]] = {ranks: [] for ranks in given.ranks}
    for _ in range(given.rounds):
        for ranks in given.ranks:
            times[ranks] += seconds(ranks, given)
    medians = {ranks: statistics.median(values) for ranks, values in times.items()}
    for ranks, median in medians.items():
        ratio = medians[given.ranks[0]] / median
        print(f"{ranks} ranks: {median:.2f} s, {ratio:.2f} times as fast as {given.ranks[0]}")
    if given.json:
        content = {"network": given.network, "cores": os.cpu_count(), "median_seconds": medians}
        given.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
