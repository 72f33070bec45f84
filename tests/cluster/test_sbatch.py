"""Batch scripts, held against recorded files; submission, with stand-ins for SLURM's commands."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from repro.cli import run
from repro.cluster import sbatch, scripts, submission
from repro.cluster.slurm import call
from repro.cluster.slurm import seconds as seconds_of
from repro.config import parse, to_yaml
from repro.errors import UserError
from repro.records import RunDirectory
from repro.studies.files import load
from repro.studies.study import Study

ROOT = Path(__file__).parents[2]
RECORDED = Path(__file__).with_name("recorded")
CONTENT = {
    "title": "Two networks",
    "question": "Which?",
    "paper": "Oyedotun",
    "artefact": "Table 1",
    "expected": "One.",
    "base": {
        "model": {"network": "mlp", "hidden": [4]},
        "data": {"train_size": 64, "batch_size": 32},
        "measure": {"measurements": []},
    },
    "grid": {"training.momentum": [0.0, 0.5, 0.9]},
    "presets": {"cpu": {}, "two": {"settings": {"trainer": {"devices": 2, "accelerator": "cpu"}}}},
}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(CONTENT, sort_keys=False))
    return load("mine.yaml")


@pytest.mark.parametrize("name", scripts.SCRIPTS)
def test_the_scripts_for_use_by_hand_are_the_same_text(name: str) -> None:
    assert (ROOT / "sbatch" / f"{name}.sbatch").read_text(encoding="utf-8") == sbatch.text(scripts.SCRIPTS[name])


def test_what_the_documents_submit_can_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    files = [*(ROOT / "docs").glob("*.md"), *(ROOT / "sbatch").iterdir()]
    texts = [path.read_text(encoding="utf-8") for path in files]
    lines = {line for text in texts for line in re.findall(r"sbatch (?:--\S+ )*sbatch/\w+\.sbatch .*", text)}
    assert len(lines) == 3
    for line in lines:
        words = [word for word in shlex.split(line)[1:] if not word.startswith("--array")]
        assert Path(words[0]).is_file()
        if "study" in words[0]:
            assert load(words[1]).preset(words[words.index("--preset") + 1])
        else:
            config = parse(words[1:]).config
            assert config.model.network
        if "ddp" in words[0]:
            assert (config.trainer.num_nodes, config.trainer.devices) == (scripts.DDP.nodes, scripts.DDP.tasks_per_node)


def test_a_submitted_study_is_the_recorded_text(study: Study) -> None:
    chosen = {number: cell for number, cell in enumerate(study.cells()) if number != 1}
    ((job, numbers),) = submission.jobs(
        Path("runs/mine"),
        ["mine.yaml", "--runs", "my runs"],
        chosen,
        sbatch.Resources(time="2:00:00", partition="gpu", extra=["--account=physics"]),
        at_once=2,
    )
    assert numbers == [0, 2]
    assert sbatch.text(job) == (RECORDED / "study.sbatch").read_text(encoding="utf-8")
    ((job, _),) = submission.jobs(
        Path("runs/mine-two"), ["mine.yaml"], dict(enumerate(study.cells("two"))), sbatch.Resources()
    )
    assert sbatch.text(job) == (RECORDED / "two_processes.sbatch").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path", [*(ROOT / "sbatch").glob("*.sbatch"), *RECORDED.glob("*.sbatch")], ids=lambda path: path.name
)
def test_the_scripts_are_bash(path: Path) -> None:
    assert subprocess.run(["bash", "-n", str(path)], capture_output=True).stderr == b""
    lines = path.read_text(encoding="utf-8").splitlines()
    # SLURM reads options up to the first command; what comes later is silently passed over.
    command = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    assert not any(line.startswith("#SBATCH") for line in lines[command:])


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [("30", 1800), ("10:30", 630), ("1:00:00", 3600), ("2-0", 172_800), ("1-2:30", 95_400), ("1-0:0:9", 86_409)],
)
def test_time_limits(limit: str, seconds: float) -> None:
    assert seconds_of(limit) == seconds


@pytest.mark.slow
def test_only_what_is_missing_is_submitted(
    study: Study, slurm: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cells = study.cells()
    ended = RunDirectory.prepare(tmp_path / "runs" / "mine" / "0.0-run", to_yaml(cells[0].config))
    ended.update_state(status="finished", max_epochs=cells[0].config.trainer.max_epochs)
    assert run(["study", "submit", "mine.yaml", "--dry-run"]) == 0
    assert not (slurm / "script").exists()
    assert not (tmp_path / "runs" / "mine" / "manifest.json").exists()
    assert "would submit 2 of 3 runs" in capsys.readouterr().out
    assert run(["study", "submit", "mine.yaml"]) == 0
    said = capsys.readouterr().out
    assert "submitted job 7: 2 of 3 runs" in said
    assert (slurm / "script").read_text() in said
    assert "#SBATCH --array=1-2\n" in (slurm / "script").read_text()
    assert len(json.loads((tmp_path / "runs" / "mine" / "manifest.json").read_text())["cells"]) == 3
    (slurm / "queue").write_text("7_1\n8_2\n")  # run 2 was cancelled; another job has a task 2
    assert run(["study", "submit", "mine.yaml"]) == 0
    assert "#SBATCH --array=2\n" in (slurm / "script").read_text()
    (slurm / "queue").write_text("7_1\n7_2\n")
    (slurm / "script").unlink()
    assert run(["study", "submit", "mine.yaml"]) == 0
    assert "nothing to submit: all 3 runs" in capsys.readouterr().out
    assert not (slurm / "script").exists()


def test_nothing_is_submitted_that_cannot_run(
    study: Study, slurm: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    base = {**CONTENT["base"], "data": {"name": "CIFAR10", "root": "absent"}}  # type: ignore[dict-item]
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({**CONTENT, "base": base}, sort_keys=False))
    assert run(["study", "submit", "other.yaml"]) == 1
    said = capsys.readouterr().out
    assert "FAIL  configuration" in said
    assert "repro data prepare" in said
    assert not (slurm / "script").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["submit", "mine.yaml", "--max-parallel", "0"], "--max-parallel is 0; allowed: 1 or more"),
        (["submit", "mine.yaml", "--time", "soon"], "--time is 'soon'; allowed: minutes"),
        (["submit", "mine.yaml", "--sbatch", "account"], "--sbatch is 'account'; allowed: options of sbatch"),
        (["run", "mine.yaml", "--task", "3"], "--task is 3; the study has runs 0 to 2"),
    ],
)
def test_mistakes(study: Study, arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["study", *arguments]) == 2
    assert text in capsys.readouterr().err


def test_without_slurm_it_says_where_to_go(study: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="there is no `nowhere` here; submit on a login node"):
        call("nowhere")


@pytest.mark.slow
def test_a_task_runs_its_run_alone(study: Study, tmp_path: Path) -> None:
    flags = ["--runs", str(tmp_path / "some")]
    assert run(["study", "run", "mine.yaml", *flags, "--task", "2"]) == 0
    (found,) = (tmp_path / "some" / "mine").iterdir()
    assert found.name.startswith("0.9-seed0-")
    assert RunDirectory(found).status == "finished"
