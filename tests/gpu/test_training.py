"""Training on a GPU: every precision and way of launching a step, beside the same run on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from repro.records import RunDirectory, metrics
from repro.runs import session as module
from repro.runs.start import start
from tests.runs.test_session import small
from tests.training.test_compiled import RUNS, in_a_process

pytestmark = pytest.mark.gpu

GPU = {"trainer__accelerator": "gpu", "trainer__devices": 1}


def losses(run: RunDirectory) -> list[float]:
    table = metrics(run)
    values: list[float] = table[table["metric"] == "step/cross_entropy"]["value"].tolist()
    return values


@pytest.mark.parametrize(("precision", "tolerance"), [("32", 1e-2), ("tf32", 5e-2), ("bf16", 0.2)])
def test_a_run_on_a_gpu_is_the_cpus_to_the_precision(precision: str, tolerance: float, tmp_path: Path) -> None:
    on_cpu = start(small(tmp_path / "cpu")).run
    outcome = start(small(tmp_path / "gpu", trainer__precision=precision, **GPU))
    assert losses(outcome.run) == pytest.approx(losses(on_cpu), rel=tolerance)


class Strict(Callback):
    """Any wait for the device is an error from the end of step 1 to the end of step 3."""

    def on_train_batch_end(self, trainer: Any, *_arguments: Any) -> None:
        if trainer.global_step in (1, 3):
            torch.cuda.set_sync_debug_mode("error" if trainer.global_step == 1 else "default")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"training__loss": "square"},
        {"training__loss": "hinge"},
        {"training__spectral_penalty": 0.1},
        {"model__skip_neurons": 50},
        {"trainer__precision": "bf16"},
        {"data__residence": "host"},
    ],
    ids=str,
)
def test_nothing_waits_for_the_gpu_between_log_points(
    changes: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = module.build
    monkeypatch.setattr(
        module, "build", lambda *given, callbacks, **rest: build(*given, callbacks=[Strict(), *callbacks], **rest)
    )
    config = small(tmp_path, log__every_n_steps=100, measure__at_steps=(), trainer__max_epochs=1, **changes, **GPU)
    try:
        assert start(config).state["status"] == "finished"
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_checkpoint_written_on_a_gpu_goes_on_on_a_cpu_and_back(tmp_path: Path) -> None:
    constant = {"training__milestones": ()}
    start(small(tmp_path, trainer__max_epochs=1, **constant, **GPU))
    start(small(tmp_path, trainer__max_epochs=2, **constant))
    run = start(small(tmp_path, trainer__max_epochs=3, **constant, **GPU)).run
    assert "epochs2" in run.state["goes_on_from"]
    assert losses(run) == pytest.approx(losses(start(small(tmp_path / "cpu", **constant)).run), rel=0.5)
    state = torch.load(run.saved_checkpoints()[-1], weights_only=True)["optimizer_states"][0]["param_groups"][0]
    assert (type(state["lr"]), state["fused"], state["foreach"]) == (float, None, None)


@pytest.mark.parametrize("what", ["blocks", "network"])
@pytest.mark.parametrize("name", ["resnet20", "resnet110"])
def test_compiled_and_plain_agree_on_a_gpu(what: str, name: str, tmp_path: Path) -> None:
    code = RUNS.replace('"accelerator": "cpu"', '"accelerator": "gpu", "devices": 1').replace('"blocks"', f'"{what}"')
    found = in_a_process(code, str(tmp_path), name)
    for each in found.values():
        assert each["keys"] == found["plain"]["keys"]
        assert each["losses"][:2] == pytest.approx(found["plain"]["losses"][:2], rel=2e-3)
        assert each["losses"] == pytest.approx(found["plain"]["losses"], rel=5e-3 if name == "resnet20" else 0.2)
