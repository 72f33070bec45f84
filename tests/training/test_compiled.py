"""The compiled training pass: the same result to rounding, the same names, and plain modules for everybody else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from repro.config import from_mapping, identity
from repro.config.identity import determining
from repro.errors import UserError
from repro.lightning_compat import compiled as running_compiled
from repro.networks import create_network
from repro.networks.skip import SkipToOutput
from repro.runs.validation import check
from repro.training.compiled import Compiled, require_compiler
from repro.training.sync_batchnorm import synchronise

IMAGE = torch.zeros(1, 1, 28, 28)


def network(name: str, **options: Any) -> torch.nn.Module:
    return create_network(name, in_channels=1, image_size=28, **options)


@pytest.mark.parametrize(
    ("name", "described"),
    [
        ("plainnet110", "blocks, 52 of 54"),
        ("resnet110", "blocks, 52 of 54"),
        ("resnext110", "blocks, 33 of 36"),
        ("diracnet20", "blocks, 7 of 9"),
        ("timm/resnet18", "blocks, 2 of 8"),
    ],
)
def test_blocks_that_repeat_are_compiled_and_nothing_shows_outside_of_a_pass(name: str, described: str) -> None:
    net = network(name, **({} if "timm" in name else {"width": 4}))
    before, names = dict(net.state_dict()), [name for name, _ in net.named_modules()]
    compiled = Compiled(net, "blocks")
    assert compiled.described == described
    assert len({repr(block) for block in compiled.modules}) <= 5
    assert list(net.state_dict()) == list(before)
    assert [name for name, _ in net.named_modules()] == names
    assert all(module._compiled_call_impl is None for module in net.modules())
    with running_compiled(compiled._calls):
        assert sum(module._compiled_call_impl is not None for module in net.modules()) == len(compiled.modules)
    assert all(module._compiled_call_impl is None for module in net.modules())


def test_the_whole_network_is_one() -> None:
    net = network("cnn13", width=4)
    assert Compiled(net, "network").modules == [net]


def synchronised(net: torch.nn.Module) -> torch.nn.Module:
    synchronise(net)
    return net


@pytest.mark.parametrize(
    ("made", "what", "reason"),
    [
        (
            lambda: network("cnn13", width=4),
            "blocks",
            "SequentialNet has none: it is no row of blocks; take --trainer.compile network",
        ),
        (lambda: network("densenet121"), "blocks", "no two of its 58 blocks have the same sizes in a row"),
        (
            lambda: SkipToOutput(network("resnet14", width=4), 500, 0, image=IMAGE, num_classes=10),
            "blocks",
            "every one of its 6 blocks is listened to",
        ),
        (lambda: synchronised(network("resnet14", width=4)), "network", "set --training.batch_statistics local"),
    ],
    ids=["cnn13", "densenet", "skips", "synchronised"],
)
def test_what_cannot_be_compiled_is_refused_with_its_reason(made: Any, what: Any, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        Compiled(made(), what)


def test_blocks_that_are_listened_to_stay_as_they_are() -> None:
    net = network("resnet20", width=4)
    heard = net.stages[0][1].path.activation1  # type: ignore[index,union-attr]
    heard.register_forward_hook(lambda *_arguments: None)  # type: ignore[union-attr,operator]
    compiled = Compiled(net, "blocks")
    assert compiled.described == "blocks, 6 of 9"
    assert not any(module is heard for block in compiled.modules for module in block.modules())


def test_no_compiler_is_said_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    require_compiler(torch.device("cpu"))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match="finds no no-such-compiler; install one"):
        require_compiler(torch.device("cpu"))
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UserError, match=r"finds no g\+\+ or clang\+\+"):
        require_compiler(torch.device("cpu"))


def test_an_output_trained_alone_has_nothing_to_compile() -> None:
    config = from_mapping({"model": {"train": "output"}, "trainer": {"compile": "network"}})
    with pytest.raises(UserError, match="there is nothing to compile; set --trainer.compile none"):
        check(config)


def test_it_is_part_of_a_runs_identity() -> None:
    """Rounding differs, and training amplifies it."""
    plain, compiled = from_mapping({}), from_mapping({"trainer": {"compile": "blocks"}})
    assert determining(plain) != determining(compiled)
    assert identity(plain, "data") != identity(compiled, "data")


def test_a_mode_is_for_what_is_compiled() -> None:
    config = from_mapping({"trainer": {"compile_mode": "reduce-overhead"}})
    with pytest.raises(UserError, match="set --trainer.compile blocks or network with it"):
        check(config)


def test_what_torch_cannot_compile_is_told_in_one_line() -> None:
    class Breaks(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images if images.sum() > 0 else -images

    with pytest.raises(UserError, match=r"^trainer.compile network cannot compile Breaks: [^\n]*set --trainer.compile"):
        Compiled(Breaks(), "network")(torch.ones(2, 1, 3, 3))


# A process without the import hook that checks shapes in tests, which torch cannot compile.
RUNS = """
import dataclasses, json, sys, torch
from repro.config import from_mapping
from repro.records import metrics
from repro.runs.start import start

def config(folder, epochs, compile):
    return from_mapping({
        "model": {"network": sys.argv[2], "width": 4},
        "data": {"name": "MNIST5k", "batch_size": 16, "train_size": 40, "test_size": 100},
        # A larger rate amplifies rounding at 110 layers; without milestones a longer run goes on from the shorter.
        "training": {"warmup_steps": 0, "learning_rate": 0.002, "milestones": []},
        "trainer": {"max_epochs": epochs, "progress": "none", "accelerator": "cpu", "compile": compile},
        "measure": {"measurements": ["weights", "representations"], "probe_size": 16},
        "log": {"every_n_steps": 1}, "runs": sys.argv[1] + "/" + folder,
    })

def losses(run):
    table = metrics(run)
    return table[table["metric"] == "step/cross_entropy"]["value"].tolist()

found = {}
for name, first, second in (("plain", "none", "none"), ("compiled", "blocks", "blocks"), ("anew", "none", "blocks")):
    run = start(config(name, 1, first)).run
    run = start(config(name, 3, second)).run
    state = torch.load(run.saved_checkpoints()[-1], weights_only=True)
    found[name] = {
        "before": run.state.get("goes_on_from"), "name": run.name,
        "losses": losses(run), "keys": sorted(state["state_dict"]),
        "compiled": [life["compiled"] for life in run.lives],
        "groups": repr(state["optimizer_states"][0]["param_groups"]),
    }
print(json.dumps(found))
"""


def in_a_process(code: str, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet20", pytest.param("resnet110", marks=pytest.mark.slow)])
def test_compiled_and_plain_agree_to_rounding_and_are_runs_of_their_own(name: str, tmp_path: Path) -> None:
    found = in_a_process(RUNS, str(tmp_path), name)
    plain = found["plain"]
    assert len(plain["losses"]) == 9
    assert max(plain["losses"]) > 1.05 * min(plain["losses"])
    blocks = f"blocks, {7 if name == 'resnet20' else 52} of {9 if name == 'resnet20' else 54}"
    assert found["anew"]["compiled"] == [blocks]
    assert found["compiled"]["compiled"] == [blocks]
    assert [bool(found[each]["before"]) for each in ("plain", "compiled", "anew")] == [True, True, False]
    assert found["anew"]["name"] == found["compiled"]["name"] != plain["name"]
    for each in found.values():
        assert (each["keys"], each["groups"]) == (plain["keys"], plain["groups"])
        assert each["losses"][:2] == pytest.approx(plain["losses"][:2], rel=1e-3)
        assert each["losses"] == pytest.approx(plain["losses"], rel=2e-3 if name == "resnet20" else 0.1)
    assert found["anew"]["losses"] == found["compiled"]["losses"], "a shorter compiled run continues bit for bit"
    assert found["compiled"]["losses"] != plain["losses"], "nothing was compiled"


# With a smooth activation: rounding turns some ReLUs on or off, which moves a gradient by a tenth of a per cent.
GRADIENTS = """
import json, sys, torch
import torch.nn.functional as F
from repro.networks import create_network
from repro.training.compiled import Compiled

torch.manual_seed(0)
images, labels = torch.randn(16, 1, 28, 28), torch.randint(10, (16,))
networks = []
for dtype in (torch.float32, torch.float32, torch.float64):
    torch.manual_seed(1)
    network = create_network(sys.argv[1], width=4, in_channels=1, image_size=28, activation="tanh")
    networks.append(network.to(dtype, memory_format=torch.channels_last))
passes = [Compiled(networks[0], sys.argv[2]), networks[1], lambda images: networks[2](images.double())]
for run in passes:
    F.cross_entropy(run(images), labels).backward()
ours, plain, exact = (
    torch.cat([each.grad.double().flatten() for each in network.parameters()]) for network in networks
)
print(json.dumps([float((each - exact).norm() / exact.norm()) for each in (ours, plain)]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "what"), [("resnet110", "blocks"), ("plainnet110", "blocks"), ("diracnet20", "network")]
)
def test_a_compiled_gradient_is_as_near_to_float64s_as_the_plain_one(name: str, what: str) -> None:
    ours, plain = in_a_process(GRADIENTS, name, what)
    assert 0 < ours < 3 * plain


MODES = """
import json, sys, torch
import torch.nn.functional as F
from repro.networks import create_network
from repro.training.compiled import Compiled

torch.manual_seed(0)
images, labels = torch.randn(8, 1, 28, 28), torch.randint(10, (8,))
networks = []
for _ in range(2):
    torch.manual_seed(1)
    networks.append(create_network("resnet8", width=4, in_channels=1, image_size=28))
compiled = Compiled(networks[0], "network", mode=sys.argv[1])
for run in (compiled, networks[1]):
    F.cross_entropy(run(images), labels).backward()
pairs = zip(networks[0].parameters(), networks[1].parameters())
print(json.dumps([compiled.described, max(float((one.grad - other.grad).abs().max()) for one, other in pairs)]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["reduce-overhead", "max-autotune"])
def test_torchs_modes_run_as_far_as_a_cpu_has_them(mode: str) -> None:
    described, difference = in_a_process(MODES, mode)
    assert described == f"network, {mode}"
    assert difference < 1e-5
