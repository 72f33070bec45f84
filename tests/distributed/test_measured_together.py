"""The same readings on any number of ranks: real processes, gloo."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.distributed.ranks import Ranks
from repro.measurements import MEASUREMENTS

RANK = """
import json
import torch
import torch.distributed as dist
from repro.distributed.ranks import Ranks
from repro.measurements import MEASUREMENTS, take
from repro.networks import create_network
from repro.networks.skip import SkipToOutput
from torch import nn


class Unit(nn.Module):  # torch's own weight_norm has wrong second derivatives, and curvature is left out
    def forward(self, weight):
        return weight / weight.norm(dim=1, keepdim=True)


class Theirs(nn.Module):  # reused, parametrised, attention, tied: one row a key, the same on every rank
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)
        nn.utils.parametrize.register_parametrization(self.one, "weight", Unit())
        self.three, self.head = nn.Linear(8, 8), nn.Linear(8, 10)
        self.three.weight = self.two.weight

    def forward(self, x):
        h = self.norm(self.conv(self.conv(x).tanh())).flatten(1, 2)
        h = self.attention(h, h, h)[0] + self.one(h)
        return self.head(self.three(self.two(h).tanh()).mean(1))


torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{folder}/store{ranks}", rank=rank, world_size=ranks)
torch.manual_seed(0)
image = torch.zeros(1, 3, 8, 8)
ours = whose == "ours"
skips = {"image": image, "num_classes": 10, "scale": 0.5}
network = SkipToOutput(create_network("diracnet20", width=4), 30, 0, **skips) if ours else Theirs()
for buffer in network.buffers():
    if buffer.dtype.is_floating_point and rank:
        buffer += rank  # running statistics drift apart under DDP: rank 0's count
buffers = [buffer.clone() for buffer in network.buffers()]
images = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))
readings = take(
    network, images, torch.arange(16) % 10, held_out=images.flip(0) + 1, measurements=list(MEASUREMENTS),
    ranks=Ranks.of_process_group(),
)
assert all(torch.equal(a, b) for a, b in zip(network.buffers(), buffers))
with open(f"{folder}/{ranks}-{rank}.json", "w") as file:
    json.dump([reading.as_dict() for reading in readings], file)
dist.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_readings_do_not_depend_on_the_number_of_ranks(
    whose: str, tmp_path: Path, on_ranks: Callable[..., list[int | None]]
) -> None:
    for ranks in (1, 2, 4):
        assert on_ranks(RANK, ranks, folder=str(tmp_path), whose=whose) == [0] * ranks
    ((alone,), *shared) = [
        [json.loads((tmp_path / f"{ranks}-{rank}.json").read_text()) for rank in range(ranks)] for ranks in (1, 2, 4)
    ]
    assert {reading["measurement"] for reading in alone} >= set(MEASUREMENTS) - {"diagonals", "features", "skips"}
    assert whose == "theirs" or {reading["measurement"] for reading in alone} == set(MEASUREMENTS)
    keys = [tuple(reading[key] for key in ("measurement", "layer", "mode")) for reading in alone]
    assert len(set(keys)) == len(keys)
    for on_each in shared:
        for readings in on_each:  # every rank has all of them
            assert len(readings) == len(alone)
            for one, other in zip(alone, readings, strict=True):
                assert [one[key] for key in ("measurement", "layer", "name", "mode")] == [
                    other[key] for key in ("measurement", "layer", "name", "mode")
                ]
                assert one["values"].keys() == other["values"].keys()
                for quantity, value in one["values"].items():
                    if quantity == "sigma_min" and one["values"]["condition_number"] == float("inf"):
                        assert other["values"][quantity] == pytest.approx(value, abs=1e-9 * one["values"]["sigma_max"])
                    else:
                        assert other["values"][quantity] == pytest.approx(value, rel=1e-9, nan_ok=True), one


WRAPPED = """
import sys, warnings
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from repro.measurements import take
from repro.networks import weight_layers

warnings.simplefilter("ignore")  # FSDP's, of a CPU
dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=0, world_size=1)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 10), nn.Tanh(), nn.Sequential(nn.Linear(10, 8)), nn.Tanh(), nn.Linear(8, 5))


def flattened(original):
    made, cpu = network(), {"device_id": torch.device("cpu"), "use_orig_params": original}
    made[2] = FullyShardedDataParallel(made[2], **cpu)
    return FullyShardedDataParallel(made, **cpu)


def sharded():
    made, mesh = network(), init_device_mesh("cpu", (1,))
    fully_shard(made[2], mesh=mesh)
    return fully_shard(made, mesh=mesh)


x, y, names = torch.randn(6, 12), torch.arange(6) % 5, ["weights", "representations", "gradients"]
expected = take(network(), x, y, measurements=names)
ddp = nn.parallel.DistributedDataParallel(network())
for wrapped in (ddp, sharded(), flattened(True), flattened(False), torch.compile(ddp)):
    assert [layer.name for layer in weight_layers(wrapped, x)] == ["0", "2.0", "4"], type(wrapped)
    found = take(wrapped, x, y, measurements=names)
    for one, other in zip(found, expected, strict=True):
        assert (one.measurement, one.layer, one.mode) == (other.measurement, other.layer, other.mode)
        assert one.name == other.name
        assert abs(one.values["sigma_max"] - other.values["sigma_max"]) <= 1e-6 * other.values["sigma_max"]
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_wrappers_of_torchs_for_several_processes_are_measured(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", WRAPPED, str(tmp_path / "store")], check=True, timeout=240)


@given(st.lists(st.floats(0, 1e6), max_size=60), st.integers(1, 5))
def test_every_item_is_dealt_once_and_loads_are_even(costs: list[float], ranks: int) -> None:
    hands = [Ranks(rank, ranks).assign(costs) for rank in range(ranks)]
    assert sorted(item for hand in hands for item in hand) == list(range(len(costs)))
    loads = [sum(costs[item] for item in hand) for hand in hands]
    dearest = max(costs, default=0.0)
    assert max(loads) <= 1.05 * (sum(costs) / ranks + dearest * (1 - 1 / ranks)) + 1e-9  # Graham's bound, and 5 %


def test_an_online_dealer_gives_each_item_to_one_rank() -> None:
    costs = [5.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    taken = []
    for rank in range(2):
        take = Ranks(rank, 2).dealer()
        taken.append([take(cost) for cost in costs])
    assert taken == [[True, *[False] * 5], [False, *[True] * 5]]


def test_a_process_on_its_own_has_the_whole() -> None:
    assert Ranks.of_process_group() == Ranks(0, 1)
