"""Between two log points the host asks the device for nothing: on a GPU every such question waits for all its work."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from repro.data.loading.batches import DeviceBatches
from repro.records import RunDirectory, metrics
from repro.runs import session as module
from repro.runs.start import start
from tests.runs.test_session import small

# What a value on the host is needed for: to be read, to decide a branch, or to know how large the result is.
ASKING = {"_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2", "unique_dim"}
ASKING |= {"unique_consecutive", "bincount", "repeat_interleave", "allclose"}
READING = {"item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "__index__", "__array__"}


class Operators(TorchDispatchMode):
    """Names the operators that ask, in the backward pass too."""

    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen = seen
        self.all = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        masks = [index for index in args[1] if index is not None] if name == "index" else []
        self.all += 1
        if name in ASKING or any(index.dtype in (torch.bool, torch.uint8) for index in masks):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


class Methods(TorchFunctionMode):
    """Names the methods that read a tensor without an operator, as `Tensor.tolist` does."""

    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in READING:
            self.seen.append(f"Tensor.{name}")
        return func(*args, **(kwargs or {}))


class Watch(Callback):
    """Watches everything from the end of step `first` to the end of step `last`: batches, hooks, passes, update."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        self.seen: list[str] = []
        self.modes = (Operators(self.seen), Methods(self.seen))

    def on_train_batch_end(self, trainer: Any, *_arguments: Any) -> None:
        if trainer.global_step == self.first:
            for mode in self.modes:
                mode.__enter__()
        elif trainer.global_step == self.last:
            for mode in reversed(self.modes):
                mode.__exit__(None, None, None)


def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int, last: int, **changes: object) -> Watch:
    """A run with the callbacks of `fit`, two epochs of four steps, logged at steps 0, 3 and 6."""
    watch = Watch(first, last)
    build = module.build
    monkeypatch.setattr(
        module, "build", lambda *given, callbacks, **rest: build(*given, callbacks=[watch, *callbacks], **rest)
    )
    quiet = {"log__every_n_steps": 3, "measure__at_steps": (), "trainer__max_epochs": 2}
    outcome = start(small(tmp_path, **{**quiet, **changes}))
    assert outcome.state["status"] == "finished"
    assert watch.modes[0].all > 100
    return watch


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"training__loss": "square"},
        {"training__loss": "hinge"},
        {"training__spectral_penalty": 0.1},
        {"model__network": "diracnet8"},
        {"model__skip_neurons": 50},
        {"model__skip_neurons": 50, "model__train": "output"},
    ],
    ids=lambda changes: " ".join(map(str, changes.values())) or "plain",
)
def test_nothing_waits_for_the_device_between_log_points(
    changes: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert watched(tmp_path, monkeypatch, 1, 3, **changes).seen == []


def test_a_log_point_waits_and_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = watched(tmp_path, monkeypatch, 2, 6)
    assert "Tensor.tolist" in watch.seen
    table = metrics(RunDirectory(next((tmp_path / "single").iterdir())))
    assert table[table["metric"] == "step/cross_entropy"]["step"].tolist() == [0, 3, 6]


@pytest.mark.parametrize("augmentation", ["none", "crop_flip"])
def test_no_batch_waits_for_the_device(augmentation: Any) -> None:
    images = torch.randint(0, 256, (40, 3, 8, 8), dtype=torch.uint8)
    batches = DeviceBatches(
        images,
        torch.arange(40) % 10,
        augmentation=augmentation,
        batch_size=8,
        seed=0,
        mean=(0.5,) * 3,
        deviation=(0.2,) * 3,
    )
    iterator = iter(batches)
    next(iterator)
    seen: list[str] = []
    with Operators(seen), Methods(seen):
        assert len(list(iterator)) == 4
    assert seen == []


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's heap")
def test_the_heap_is_kept_between_steps() -> None:
    """A process of its own: the setting is the process's."""
    code = """if True:
        import resource, torch
        from repro.machine.memory import keep_heap
        def faults():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            kept = [torch.empty(1_000_000).fill_(1) for _ in range(40)]
            del kept
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        print(keep_heap(), *[faults() for _ in range(6)])
    """
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert out[0] == "True"
    assert int(out[1]) > 5_000
    assert int(out[-1]) < 100
