"""`repro doctor`: one line a check, exit status 1 if one fails."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from repro.cli import run
from repro.cluster import gpus
from repro.cluster import preflight as module
from repro.cluster.preflight import preflight
from repro.config import Config, from_mapping

SMALL: dict[str, Any] = {"model": {"network": "mlp", "hidden": [4]}, "data": {"train_size": 200}}


def found(config: Config, **options: Any) -> dict[str, module.Check]:
    return {check.name: check for check in preflight([config], **options)}


def test_all_is_well(tmp_path: Path) -> None:
    config = dataclasses.replace(from_mapping(SMALL), runs=str(tmp_path))
    checks = found(config, limit=7200.0, longest=10_000.0)
    assert all(check.ok for check in checks.values()), [str(check) for check in checks.values()]
    assert set(checks) == {
        *("versions", "data", "configuration", "networks", "processes", "GPU", "time"),
        *("W&B", "run directory", "disk", "communication"),
    }
    assert "3,190 parameters" in checks["networks"].found  # 784·4 + 4 + 4·10 + 10
    assert "the longest run takes 2.8 h: 2 of them" in checks["time"].found
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "name", "text"),
    [
        ({"data": {"name": "CIFAR10", "root": "nowhere"}}, "configuration", "run: repro data prepare CIFAR10"),
        ({"model": {"network": "mlp", "hidden": [4], "skip_neurons": 5}}, "networks", "hidden neurons"),
        ({"log": {"wandb": "online"}}, "W&B", "online, without a login"),
    ],
)
def test_what_is_wrong_is_named(
    change: dict[str, Any], name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    check = found(dataclasses.replace(from_mapping({**SMALL, **change}), runs=str(tmp_path)))[name]
    assert not check.ok
    assert text in check.found


def test_equal_failures_are_one_line(tmp_path: Path) -> None:
    """Three runs whose network cannot be built for one reason, two of one kind, and one for another."""
    changes = [{"seed": 0}, {"seed": 1}, {"training": {"learning_rate": 0.5}}]
    few = {"network": "mlp", "hidden": [4]}
    configs = [from_mapping({**SMALL, "model": {**few, "skip_neurons": 5}, **each}) for each in changes]
    configs.append(from_mapping({**SMALL, "model": {**few, "skip_neurons": 6}}))
    checks = preflight([dataclasses.replace(config, runs=str(tmp_path)) for config in configs])
    lines = [check.found for check in checks if check.name == "networks"]
    assert len(lines) == 2
    assert lines[0].endswith("(3 runs)")


@pytest.mark.parametrize(
    ("state", "fault", "words"),
    [
        ({"is_available": False}, False, "none here, as on a login node"),
        ({"is_available": False, "smi": True}, True, "cannot use it"),
        ({"arch": ["sm_50", "sm_90"], "capability": (9, 0)}, False, "2 x Thing; torch"),
        ({"arch": ["sm_75", "sm_90"], "capability": (6, 1)}, True, "Thing (sm_61) is too old"),
    ],
)
def test_the_gpu_has_a_line(state: dict[str, Any], fault: bool, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.cuda
    monkeypatch.setattr(cuda, "is_available", lambda: state.get("is_available", True))
    monkeypatch.setattr(cuda, "device_count", lambda: 2)
    monkeypatch.setattr(cuda, "get_arch_list", lambda: state["arch"])
    monkeypatch.setattr(cuda, "get_device_name", lambda number: "Thing")
    monkeypatch.setattr(cuda, "get_device_capability", lambda number: state["capability"])
    monkeypatch.setattr(gpus.shutil, "which", lambda name: "/bin/smi" if state.get("smi") else None)
    monkeypatch.setattr(gpus.Path, "exists", lambda path: False)
    found = gpus.look()
    assert bool(found[0]) == fault
    assert words in found[0] + found[1]


def test_a_run_directory_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check = found(dataclasses.replace(from_mapping(SMALL), runs=str(tmp_path / "file" / "runs")))["run directory"]
    assert not check.ok
    assert "choose another --runs" in check.found


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=10_000))
    assert not found(dataclasses.replace(from_mapping(SMALL), runs=str(tmp_path)))["disk"].ok


def step(per_node: str, nodes: int = 1) -> dict[str, str]:
    tasks = str(nodes * int(per_node[0]))
    return {
        **dict.fromkeys(("SLURM_NTASKS", "SLURM_STEP_NUM_TASKS"), tasks),
        **{"SLURM_STEP_ID": "0", "SLURM_PROCID": "0", "SLURM_STEP_TASKS_PER_NODE": per_node},
    }


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        (step("1(x2)", 2), "set --trainer.num_nodes 2 --trainer.devices auto, or start it with srun --nodes=1"),
        (step("2"), "or start it with srun --nodes=1 --ntasks=1 --ntasks-per-node=1"),
    ],
)
def test_a_wrong_task_layout_is_told_before_anything_waits(
    environment: dict[str, str],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    flags = ["--model.network", "mlp", "--trainer.devices", "1", "--runs", str(tmp_path)]
    assert run(["fit", *flags]) == 2
    assert text in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    config = from_mapping({**SMALL, "trainer": {"devices": 1}})
    check = module.processes([config])
    assert not check.ok
    assert text in check.found


def test_too_short_a_time_limit() -> None:
    assert not module.time_limit(300.0, None).ok
    assert "no run here says" in module.time_limit(3600.0, None).found


def test_old_versions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOWEST", {"torch": (99,), "absent-package": (1,)})
    check = module.versions()
    assert not check.ok
    assert "(older than 99)" in check.found
    assert "absent-package is not installed" in check.found


@pytest.mark.slow
def test_doctor_ends_with_one_if_a_check_fails(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    flags = ["--model.network", "mlp", "--runs", str(tmp_path)]
    assert run(["doctor", *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ok  ") for line in lines)
    assert run(["doctor", *flags, "--data.name", "MNIST", "--data.root", str(tmp_path)]) == 1
    assert "FAIL  configuration" in capsys.readouterr().out
    assert run(["doctor", "oyedotun-table1", "--preset", "smoke", "--time", "5", "--runs", str(tmp_path)]) == 1
    assert "FAIL  time" in capsys.readouterr().out
    assert run(["doctor", "oyedotun-tabel1"]) == 2
