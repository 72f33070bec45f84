"""Runs under a real SLURM: whatever happens to the job, it ends with the weights of a run that nothing happened to."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from repro.cli import run as repro
from repro.config import load
from repro.records import RunDirectory, find_runs, metrics, readings
from repro.runs.start import start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SBATCH = Path(__file__).parents[2] / "sbatch"
FIRST, SECOND = "--nodelist=127.0.0.1", "--nodelist=127.0.0.2"


def arguments(study: str) -> list[str]:
    return [str(SBATCH / "run.sbatch"), "--config", "small.yaml", "--study", study]


def weights(run: RunDirectory) -> dict[str, torch.Tensor]:
    content = torch.load(run.saved_checkpoints()[-1], weights_only=True)
    momenta = content["optimizer_states"][0]["state"]
    return content["state_dict"] | {f"momentum{n}": state["momentum_buffer"] for n, state in momenta.items()}


@pytest.fixture(scope="module")
def reference(cluster: Any) -> RunDirectory:
    """The same run, in this process, that nothing happens to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(cluster.folder))
        patch.setenv("REPRO_TRUST", "paced")
        config = load(cluster.folder / "small.yaml")
        return start(dataclasses.replace(config, runs=str(cluster.folder / "reference"))).run


@pytest.fixture(scope="module", autouse=True)
def limited(cluster: Any) -> str:
    """A job whose time limit comes before it is done: begun first, since that takes a minute and no processor."""
    # SLURM looks every half minute, and begins anew when the controller is restarted: 30 to 90 seconds after the start.
    options = (SECOND, "--time=2", "--signal=USR2@60")
    number: str = cluster.submit(*options, *arguments("limit"), pace=1.1)
    return number


@pytest.fixture
def same(cluster: Any, reference: RunDirectory) -> Iterator[Callable[[str], RunDirectory]]:
    """The finished run of a study, after holding it against the reference bit for bit."""

    def compare(study: str) -> RunDirectory:
        (run,) = find_runs([cluster.folder / "runs" / study])
        assert run.status == "finished"
        ours, theirs = weights(run), weights(reference)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], value) for name, value in theirs.items())
        assert metrics(run).equals(metrics(reference))
        assert readings(run).equals(readings(reference))
        assert run.state["final"] == reference.state["final"]
        return run

    return compare


def restarts(run: RunDirectory) -> list[str]:
    return [life["slurm"].get("SLURM_RESTART_COUNT", "0") for life in run.lives]


def test_a_study_goes_to_its_end_and_only_what_is_missing_is_submitted(
    cluster: Any, reference: RunDirectory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The controller is killed and started again while it runs; one of its runs is cancelled."""
    (cluster.folder / "mine.yaml").write_text(
        "title: Mine\nquestion: Which?\npaper: Oyedotun\nartefact: Table 1\nexpected: '?'\n"
        f"base: {json.dumps(dataclasses.asdict(load(cluster.folder / 'small.yaml')))}\n"
        "grid: {training.momentum: [0.9, 0.5, 0.0]}\npresets: {smoke: {}}\n"
    )
    monkeypatch.chdir(cluster.folder)
    monkeypatch.syspath_prepend(str(cluster.folder))
    for name in ("PATH", "SLURM_CONF", "PYTHONPATH", "REPRO_TRUST"):
        monkeypatch.setenv(name, cluster.environment[name])
    monkeypatch.setenv("PACE", "0.1")
    submit = ["study", "submit", "mine.yaml", "--max-parallel", "2", f"--sbatch={FIRST}"]
    assert repro(submit) == 0
    said = capsys.readouterr().out
    number = said.split("submitted job ")[1].split(":")[0]
    assert "#SBATCH --array=0-2%2" in said
    cluster.call("scancel", f"{number}_2")
    assert repro(submit) == 0
    said = capsys.readouterr().out
    assert "#SBATCH --array=2%2" in said
    second = said.split("submitted job ")[1].split(":")[0]
    assert repro(submit) == 0
    assert "nothing to submit: all 3 runs are finished, running or queued" in capsys.readouterr().out
    cluster.wait_for_checkpoint("mine")  # they run, and the controller has written down what it knows
    cluster.call("bash", str(Path(__file__).with_name("cluster.sh")), "restart", str(cluster.daemons))
    for each in (f"{number}_0", f"{number}_1", f"{second}_2"):
        cluster.finish(each)
    runs = find_runs([cluster.folder / "runs" / "mine"])
    assert [run.status for run in runs] == ["finished"] * 3
    assert sorted(len(run.lives) for run in runs) == [1, 1, 1]
    (known,) = [run for run in runs if run.name.split("-")[-1] == reference.name.split("-")[-1]]
    assert all(torch.equal(weights(known)[name], value) for name, value in weights(reference).items())
    assert known.lives[0]["slurm"]["SLURM_ARRAY_JOB_ID"] == number


def test_two_nodes_and_two_tasks_train_as_one_process_does(cluster: Any, reference: RunDirectory) -> None:
    """Over gloo, with synchronised batch statistics; the last batch of an epoch is 26 images."""
    layouts = {"nodes": (2, 1), "tasks": (1, 2)}
    numbers = []
    for study, (nodes, tasks) in layouts.items():
        script = [f"--nodes={nodes}", f"--ntasks-per-node={tasks}", str(SBATCH / "ddp.sbatch")]
        flags = ["--config", "small.yaml", "--trainer.devices", str(tasks), "--trainer.num_nodes", str(nodes)]
        numbers.append(cluster.submit("--gpus-per-node=2", *script, *flags, "--study", study, pace=0))
    for number in numbers:
        cluster.finish(number)
    first, second = (find_runs([cluster.folder / "runs" / study])[0] for study in layouts)
    for run in (first, second):
        assert (run.status, run.lives[0]["world_size"]) == ("finished", 2)
        assert run.lives[0]["batch_statistics"] == "whole batch, synchronised"
        assert run.name.split("-")[-1] == reference.name.split("-")[-1]
        for name, value in weights(reference).items():
            assert torch.allclose(weights(run)[name].double(), value.double(), rtol=1e-3, atol=1e-5), name
    assert all(torch.equal(weights(second)[name], value) for name, value in weights(first).items())
    assert metrics(first).equals(metrics(second))


def test_a_requeued_job_goes_on(cluster: Any, same: Callable[[str], RunDirectory]) -> None:
    number = cluster.submit(FIRST, *arguments("requeue"))
    cluster.wait_for_checkpoint("requeue")
    cluster.call("scontrol", "requeue", number)
    assert cluster.finish(number)["Restarts"] == "1"
    assert "checkpoint saved; the same command continues" in cluster.log(number)
    assert restarts(same("requeue")) == ["0", "1"]


def test_a_job_that_cannot_reach_slurm_is_requeued_by_its_script(
    cluster: Any, same: Callable[[str], RunDirectory]
) -> None:
    """As in a container: the run has no scontrol, the script has."""
    contained = f"env PATH=/nowhere {sys.executable}"
    submit = ("sbatch", "--parsable", FIRST, *arguments("contained"))
    number = cluster.call(*submit, PACE="0.1", REPRO_PYTHON=contained).strip()
    cluster.wait_for_checkpoint("contained")
    cluster.call("scancel", "--signal=USR2", number)
    assert cluster.finish(number)["Restarts"] == "1"
    assert f"there is no scontrol here; the script of SLURM job {number} is to requeue it" in cluster.log(number)
    assert restarts(same("contained")) == ["0", "1"]


def test_a_preempted_job_goes_on(cluster: Any, same: Callable[[str], RunDirectory]) -> None:
    """At once, and with a time of grace, which it does not use up: SLURM would then take it for finished."""
    numbers = {part: cluster.submit(FIRST, f"--partition={part}", *arguments(part)) for part in ("main", "grace")}
    for part in numbers:
        cluster.wait_for_checkpoint(part)
    urgent = cluster.submit("--partition=high", "--exclusive", FIRST, "--output=urgent.out", "--wrap=sleep 1")
    cluster.finish(urgent)
    for part, number in numbers.items():
        assert cluster.finish(number)["Restarts"] == "1"
        assert restarts(same(part)) == ["0", "1"]


def test_a_job_goes_on_when_its_node_has_gone_down(cluster: Any, same: Callable[[str], RunDirectory]) -> None:
    """The node's processes live on, as on a node that was cut off: the run is taken over from them."""
    number = cluster.submit(FIRST, *arguments("down"))
    cluster.wait_for_checkpoint("down")
    cluster.call("scontrol", "update", "NodeName=127.0.0.1", "State=DOWN", "Reason=test")
    cluster.wait(number, lambda known: known["Restarts"] == "1")
    cluster.bring_back("127.0.0.1")
    cluster.finish(number)
    assert len(same("down").lives) == 2


def test_a_job_is_requeued_before_its_time_limit(
    cluster: Any, limited: str, same: Callable[[str], RunDirectory]
) -> None:
    known = cluster.finish(limited, seconds=400)
    assert int(known["Restarts"]) >= 1
    # By the run itself, which SLURM may cut off before it can say so.
    assert "checkpoint saved; the same command continues" in cluster.log(limited)
    assert restarts(same("limit"))[:2] == ["0", "1"]
