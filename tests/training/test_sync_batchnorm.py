"""Batch normalisation over the parts of two processes, held against one process with the whole batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from repro.errors import UserError
from repro.networks import create_network
from repro.training.sync_batchnorm import is_synchronised, synchronise

# A part of the batch in each of three processes, the last of them empty: outputs, gradients and buffers go to a file.
PART = """
import copy
import torch, torch.distributed as dist
from torch import nn
from repro.training.sync_batchnorm import over_all_ranks, synchronise

dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=3)
given = torch.load(f"{folder}/given.pt")
network = nn.Sequential(nn.BatchNorm2d(5), nn.Conv2d(5, 4, 3), nn.BatchNorm2d(4, momentum=None)).double()
network.load_state_dict(given["state"])
synchronise(network)
part = given["images"][[slice(0, 5), slice(5, 7), slice(7, 7)][rank]].clone().requires_grad_()
with over_all_ranks():
    out = network(part)
if rank == 0:
    network.eval()(part), copy.deepcopy(network).train()(part)  # the others are not waited for
weights = given["weights"][[slice(0, 5), slice(5, 7), slice(7, 7)][rank]]
(out * weights).sum().backward()
gradients = [parameter.grad for parameter in network.parameters()]
for gradient in gradients:
    dist.all_reduce(gradient)
torch.save([out.detach(), part.grad, gradients, network.state_dict()], f"{folder}/{rank}.pt")
"""


@pytest.mark.slow
def test_values_gradients_and_running_statistics_are_those_of_the_whole_batch(tmp_path: Path, context: Any) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(5), nn.Conv2d(5, 4, 3), nn.BatchNorm2d(4, momentum=None)).double()
    nn.init.normal_(network[0].weight)  # type: ignore[arg-type]
    images = 100 + torch.randn(7, 5, 6, 6, dtype=torch.float64)  # a mean far from zero
    weights = torch.randn(7, 4, 4, 4, dtype=torch.float64)
    torch.save({"state": network.state_dict(), "images": images, "weights": weights}, tmp_path / "given.pt")
    processes = [context.Process(target=exec, args=(PART, {"folder": str(tmp_path), "rank": n})) for n in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(3)]
    inputs = images.requires_grad_()
    out = network(inputs)
    (out * weights).sum().backward()
    close = {"rtol": 1e-10, "atol": 1e-10}
    torch.testing.assert_close(torch.cat([part[0] for part in parts]), out.detach(), **close)
    torch.testing.assert_close(torch.cat([part[1] for part in parts]), inputs.grad, **close)
    for part in parts:
        for ours, theirs in zip(part[2], network.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs.grad, **close)
        for name, value in network.state_dict().items():
            torch.testing.assert_close(part[3][name], value, **close)


def test_alone_nothing_changes() -> None:
    torch.manual_seed(0)
    network = create_network("resnet8", width=4, in_channels=1, image_size=28)
    images = torch.randn(6, 1, 28, 28)
    names, before = list(network.state_dict()), {n: v.clone() for n, v in network.state_dict().items()}
    plain = network(images)
    assert not is_synchronised(network)
    synchronise(network)
    assert is_synchronised(network)
    assert list(network.state_dict()) == names
    network.load_state_dict(before)
    assert torch.equal(network(images), plain)


def test_a_normalisation_of_its_own_kind_is_refused() -> None:
    class Own(nn.BatchNorm2d):
        pass

    with pytest.raises(UserError, match=r"'1' is a Own, .*set --training.batch_statistics local"):
        synchronise(nn.Sequential(nn.Flatten(), Own(3)))
