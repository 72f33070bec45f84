"""What is handed to SLURM, and in which script, with stand-ins for its commands."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from repro.cli import run
from repro.cluster import sbatch, scripts
from repro.cluster import slurm as commands
from repro.config import to_yaml
from repro.errors import UserError
from repro.records import RunDirectory
from repro.runs.start import resolve
from tests.cluster.test_hostile import AWKWARD, options
from tests.cluster.test_sbatch import CONTENT

SMALL = {
    "model": {"network": "mlp", "hidden": [4]},
    "data": {"train_size": 64, "batch_size": 32},
    "measure": {"measurements": []},
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(SMALL))
    (tmp_path / "two.yaml").write_text(
        yaml.safe_dump({**SMALL, "seed": 4, "trainer": {"devices": 2, "accelerator": "cpu"}})
    )
    return tmp_path


@pytest.mark.slow
def test_each_configuration_is_a_job(files: Path, slurm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "modules.sh").write_text("module load cuda\nsource .venv/bin/activate\n")
    asked = [
        "submit",
        "one.yaml",
        "two.yaml",
        "--data.test_size",
        "50",
        "--model.hidden",
        "[6]",
        "--account",
        "physics",
    ]
    asked += ["--gres", "gpu:a100:1", "--setup", "modules.sh", "--time", "2:00:00"]
    assert run([*asked, "--dry-run"]) == 0
    assert not (slurm / "script").exists()
    assert not (files / "runs").exists()
    assert run(asked) == 0
    said = capsys.readouterr().out
    script = (slurm / "script").read_text()
    assert script in said
    found = options(script)
    assert {"--account=physics", "--gres=gpu:a100:1", "--ntasks-per-node=2", "--time=2:00:00"} <= set(found)
    assert not [option for option in found if option.startswith("--gpus")]
    head, command = script.split("\nsrun ")
    assert command.split("\n")[0].endswith("fit --config two.yaml --data.test_size=50 '--model.hidden=[6]'")
    assert "\nmodule load cuda\nsource .venv/bin/activate\n" in head
    (log,) = (files / "runs" / "single" / "logs").parent.glob("submitted.jsonl")
    names = [next(iter(json.loads(line)["runs"].values())) for line in log.read_text().splitlines()]
    assert len(set(names)) == 2
    (slurm / "queue").write_text("7_N/A\n")
    (slurm / "script").unlink()
    assert run(asked) == 0
    assert capsys.readouterr().out.count("running or queued: not submitted again") == 2
    assert not (slurm / "script").exists()


@pytest.mark.slow
def test_what_is_finished_is_not_submitted(files: Path, slurm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from repro.config import load

    resolved = resolve(load("one.yaml"), load("one.yaml"))
    RunDirectory.prepare(resolved.directory.path, to_yaml(resolved.config)).update_state(status="finished")
    assert run(["submit", "one.yaml"]) == 0
    assert "is finished: not submitted again" in capsys.readouterr().out


@pytest.mark.slow
def test_a_dry_run_shows_the_scripts_of_what_cannot_run(
    files: Path, slurm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking = {**SMALL, "data": {"name": "CIFAR10", "root": "absent"}}
    (files / "lacking.yaml").write_text(yaml.safe_dump(lacking))
    (files / "study.yaml").write_text(yaml.safe_dump({**CONTENT, "base": lacking}))
    for asked in (["submit", "lacking.yaml"], ["study", "submit", "study.yaml"]):
        assert run([*asked, "--dry-run"]) == 1
        said = capsys.readouterr().out
        assert "FAIL  configuration" in said
        assert "-m repro" in said
        assert "as a check fails" in said
        assert run(asked) == 1
        assert "-m repro" not in capsys.readouterr().out
    assert not (slurm / "script").exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["absent.yaml"], "absent.yaml"),
        (["--config", "one.yaml"], "without --config"),
        (["one.yaml", "one.yaml"], "is named twice"),
        (["one.yaml", "--setup", "absent.sh"], "cannot read --setup"),
        (["one.yaml", "--gres", "gpu:1", "--sbatch=--gpus=2"], "SLURM would add up --gres"),
        (["one.yaml", "--qos", "a\nb"], "cannot stand in a job script"),
        (["one.yaml", "--time", "soon"], "--time is 'soon'"),
    ],
)
def test_mistakes(files: Path, slurm: Path, given: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["submit", *given]) == 2
    assert words in capsys.readouterr().err
    assert not (slurm / "script").exists()


def test_variables_that_replace_options_are_named(
    files: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SBATCH_SIGNAL", "B:USR1@9")
    assert run(["doctor", "--rehearse", "--dry-run"]) == 0
    assert "SBATCH_SIGNAL in your environment replace options of the scripts" in capsys.readouterr().err


@pytest.mark.parametrize("odd", AWKWARD)
def test_a_configuration_with_such_a_name_stays_one_word(odd: str) -> None:
    job = scripts.run(
        odd, ["--config", f"{odd}.yaml"], output="x", where=(1, 1, False), resources=sbatch.Resources(setup="true")
    )
    script = sbatch.text(job).replace("srun --kill-on-bad-exit=1", "printf '%s\\n'").replace("exit ", "true ")
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"{odd}.yaml"


@pytest.mark.parametrize(("status", "requeued"), [(0, False), (75, True), (140, False)])
def test_the_script_requeues_what_asks_it_to(status: int, requeued: bool, tmp_path: Path) -> None:
    """In a container there is no scontrol; outside of it there is, and the task of an array goes by both numbers."""
    (tmp_path / "srun").write_text(f"#!/bin/sh\nexit {status}\n")
    (tmp_path / "scontrol").write_text(f"#!/bin/sh\necho $* >> {tmp_path}/calls\n")
    for name in ("srun", "scontrol"):
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_ID": "12"}
    array = {"SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"}
    for more in ({}, array):
        script = sbatch.text(scripts.STUDY)
        done = subprocess.run(["bash"], input=script, text=True, env={**environment, **more}, check=False)
        assert done.returncode == status
    calls = (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []
    assert calls == (["requeue 12", "requeue 12_3"] if requeued else [])


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            "echo 'sbatch: error: invalid partition specified: nowhere' >&2; exit 1",
            "invalid partition specified: nowhere; sinfo --summarize lists the partitions",
        ),
        (
            "echo 'sbatch: error: Invalid account or account/partition combination specified' >&2; exit 1",
            "sacctmgr show associations",
        ),
        ("sleep 5", "`sbatch` has not answered for 1 s; is the cluster's controller up?"),
    ],
)
def test_what_sbatch_refuses_is_told_in_a_line(
    said: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sbatch").write_text(f"#!/bin/sh\n{said}\n")
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(commands, "PATIENCE_SECONDS", 1)
    with pytest.raises(UserError) as caught:
        commands.submit("#!/bin/sh\n")
    assert words in str(caught.value)
    if "sleep" in said:
        assert "squeue --me" in str(caught.value)


@pytest.mark.parametrize(
    ("script", "number"),
    [
        ("echo Welcome; echo '13;toy'", "13"),
        ("echo Submitted batch job 13", "13"),
        ("true", "answers 'nothing'"),
        ("echo Auftrag 13", "answers 'Auftrag 13'"),
        ("echo 13; echo 14", "answers '13'"),
        (r"printf '\377'", r"answers '\xff'"),
        ("exit 3", "refuses: it does not say why"),
    ],
)
def test_what_is_no_number_is_not_taken_for_a_job(
    script: str, number: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sbatch").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setattr(commands.sys, "executable", str(tmp_path / "python"))
    if number == "13":
        assert commands.submit("#!/bin/bash\n") == number
    else:
        with pytest.raises(UserError, match=re.escape(number)):
            commands.submit("#!/bin/bash\n")
