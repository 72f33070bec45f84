from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from repro import __version__
from repro.cli import run
from repro.commands import COMMANDS
from repro.records import RunDirectory, keep

SMALL = [
    "--model.network=resnet8",
    "--model.width=4",
    "--data.train_size=64",
    "--data.batch_size=32",
    "--data.test_size=100",
    "--data.evaluation_batch_size=1000",
    "--measure.probe_size=16",
    "--trainer.max_epochs=1",
    "--trainer.progress=none",
    "--trainer.accelerator=cpu",
]


def command(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "repro", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two finished runs, made by the command line."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        assert run(["fit", *SMALL, f"--seed={seed}", f"--runs={folder}"]) == 0
    return folder


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == run([]) == run(["--version"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)
    assert f"repro {__version__}" in shown


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["fti"], ["unknown command 'fti'", "nearest: fit"]),
        (["fit", "--model.network", "resnet111"], ["resnet", "110", "116"]),
        (["fit", "--model.network", "resnt110"], ["'resnt", "resnet"]),
        (["fit", "--budget", "0"], ["--budget is '0'", "a number above 0"]),
        (["fit", "--data.name", "minst"], ["unknown dataset 'minst'", "nearest: MNIST"]),
        (["fit", "--model.activation", "rellu"], ["'rellu'", "nearest: relu"]),
        (["fit", "--modle.network", "resnet20"], ["unknown flag '--modle.network'", "nearest: --model.network"]),
        (["fit", "--data.batch_size", "5000"], ["data.batch_size is 5000", "4000"]),
        (["fit", "--data.batch_size", "whole"], ["data.batch_size is 'whole'", "a whole number or full"]),
        (["fit", "--data.batch_size", "full", "--data.validation_size", "4000"], ["data.validation_size is 4000"]),
        (["fit", "--data.batch_size", "full", "--data.train_size", "4001"], ["data.train_size is 4001"]),
        (["fit", "--data.batch_size", "full", "--data.name", "mine:Data"], ["data.batch_size full", "'mine:Data'"]),
        (["fit", "--data.train_size", "5000"], ["data.train_size is 5000", "4000"]),
        (["fit", "--measure.probe_size", "5000"], ["measure.probe_size is 5000", "4000"]),
        (["fit", "--measure.measurements", "[wieghts]"], ["unknown measurement 'wieghts'", "nearest: weights"]),
        (["fit", "--model.network", "plainnet20", "--model.pretrained", "true"], ["pretrained"]),
        (["fit", "--data.name", "mnist", "--data.root", "nowhere"], ["repro data prepare mnist"]),
        (["fit", "--config", "none.yaml"], ["'none.yaml'", "No such file"]),
        (["fit", "--model.network", "mine:Net"], ["mine"]),
        (
            ["fit", "--trainer.num_nodes", "3"],
            ["trainer.num_nodes is 3", "hand the run to SLURM (sbatch/ddp.sbatch)", "torchrun"],
        ),
        (["test", *SMALL], ["does not exist"]),
        (["test", "nowhere"], ["'nowhere' does not exist"]),
        (["report", "nowhere", "--out", "out"], ["'nowhere' does not exist"]),
        (["report", ".", "--out", "out"], ["no run"]),
        (["report", "."], ["--out"]),
        (["runs", "list", "nowhere"], ["'nowhere' does not exist"]),
        (["runs", "lits"], ["lits", "list"]),
        (["data", "prepare", "mnist", "--root", "there"], ["--from DIR", "--download"]),
        (["data", "prepare", "mnist", "--from", "nowhere"], ["cannot read 'nowhere'", "--from names a folder"]),
        (["data", "prepare", "cifar10", "--root", "there"], ["cifar-10-python.tar.gz", "--from PATH", "--download"]),
        (["data", "prepare", "cifar100", "--from", "nowhere"], ["'nowhere' does not exist", "cifar-100-python.tar.gz"]),
        (
            ["data", "check", "cifar10", "--root", "there"],
            ["is not prepared", "repro data prepare CIFAR10 --root there"],
        ),
        (["data", "show", "mnist5k", "--out", "x.svg"], ["--out is 'x.svg'", ".png"]),
        (["data", "show", "mnist5k", "--images", "0"], ["--images is 0", "1 or more"]),
        (["fit", "--data.name", "cifar10", "--data.root", "there"], ["repro data prepare CIFAR10 --root there"]),
        (["study", "run", "dmeo"], ["unknown study 'dmeo'", "nearest: demo"]),
        (["study", "run", "demo", "--preset", "fulll"], ["'fulll'", "cpu"]),
        (["wandb-sync"], ["DIR", "repro wandb-sync --help"]),
        (["wandb-sync", "nowhere"], ["'nowhere' does not exist"]),
        (["wandb-sync", "."], ["no run in"]),
        (["wandb-sync", ".", "--projet", "x"], ["unknown flag '--projet'", "nearest: --project"]),
        (["demo", "--seeds", "1"], ["unknown flag '--seeds'", "nearest: --seed"]),
        (["demo", "--runs", "/dev/null/x", "--seed", "1"], ["cannot write", "--runs"]),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    arguments: list[str],
    parts: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("repro: ")
    assert error.count("\n") == 1
    for part in parts:
        assert part in error
    assert list(tmp_path.iterdir()) == []


def test_mistakes_are_told_without_importing_torch(tmp_path: Path) -> None:
    code = """
import sys
from repro.cli import run
for line in (
    "fit --model.network resnet111",
    "fit --data.name x",
    "fit --data.batch_size 9999",
    "demo --x",
    "study list",
    "data list",
    "runs list x",
    "wandb-sync nowhere",
    "--help",
):
    run(line.split())
print(sorted({"torch", "lightning", "pandas", "matplotlib", "wandb", "timm"} & set(sys.modules)))
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.strip().endswith("[]")
    assert done.returncode == 0


def test_fit_again_skips_and_says_how_to_go_on(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fit", *SMALL, f"--runs={runs}"]) == 0
    assert "finished earlier; --again trains it again" in capsys.readouterr().out


def test_test_and_validate_a_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = sorted((runs / "single").iterdir())[0]
    final = json.loads((found / "state.json").read_text())["final"]
    assert run(["test", str(found)]) == 0
    assert f"test accuracy: {100 * final['test_accuracy']:.2f} %" in capsys.readouterr().out
    newest = sorted(found.glob("checkpoints/step-*.ckpt"))[-1]
    assert run(["test", str(newest)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{newest}:")
    assert f"test accuracy: {100 * final['test_accuracy']:.2f} %" in said
    assert run(["test", str(newest.with_name("best.ckpt"))]) == 2
    assert "there is no checkpoint" in capsys.readouterr().err
    assert run(["test", *SMALL, "--seed=1", f"--runs={runs}"]) == 0
    capsys.readouterr()
    assert run(["validate", str(found)]) == 2
    assert "--data.validation_size" in capsys.readouterr().err


def test_runs_are_listed_shown_compared_and_cleaned(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = sorted((runs / "single").iterdir())
    assert run(["runs", "list", str(runs)]) == 0
    listed = capsys.readouterr().out
    assert first.name in listed
    assert listed.count("finished") == 2
    assert run(["runs", "show", str(first)]) == 0
    assert "start 1: " in capsys.readouterr().out
    keep(RunDirectory(first), kept := runs.parent / "kept" / first.name)  # without the host's name
    assert run(["runs", "show", str(kept)]) == 0
    assert ", torch " in capsys.readouterr().out
    assert run(["runs", "compare", str(first), str(second)]) == 0
    compared = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in compared[1:3]] == ["seed", "test_accuracy"]
    copy = runs.parent / "copy" / "single" / first.name
    shutil.copytree(first, copy)
    (copy / "checkpoints" / "step-00000001.ckpt").write_bytes(b"x" * 1_000_000)
    (copy / "features-0.npy.part").write_bytes(b"x" * 2_000_000)  # a run killed while features were computed
    assert run(["runs", "clean", str(copy)]) == 0
    assert "3.0 MB may go" in capsys.readouterr().out
    assert (copy / "checkpoints" / "step-00000001.ckpt").exists()
    assert run(["runs", "clean", str(copy), "--delete"]) == 0
    assert [path.name for path in (copy / "checkpoints").iterdir()] == ["step-00000002.ckpt"]
    assert not list(copy.glob("features*"))
    (copy / "state.json").write_text('{"status": "fin')
    assert run(["runs", "list", str(copy), str(runs)]) == 2
    out, error = capsys.readouterr()
    assert (out.count(" damaged "), out.count(" finished ")) == (1, 2), "one damaged record does not hide the others"
    assert "state.json' is damaged" in error


def test_a_report_of_run_directories(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repro.figures.to_png", lambda figure: b"")  # pictures that nobody looks at
    assert run(["report", str(runs), "--out", str(tmp_path / "page")]) == 0
    page = tmp_path / "page"
    assert capsys.readouterr().out.strip() == str(page / "index.html")
    results = json.loads((page / "results.json").read_text())
    assert len(results) == 2
    assert {"train_accuracy", "test_accuracy", "seconds"} <= set(results[0])


@pytest.mark.slow
def test_ctrl_c_ends_with_a_checkpoint_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [argument for argument in SMALL if "max_epochs" not in argument]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "repro", "fit", *arguments, "--trainer.max_epochs=1000", "--log.every_n_steps=1"],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 300
    while not list(tmp_path.rglob("step-*.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 130
    assert error.splitlines()[-1].endswith("checkpoint saved; the same command continues")
    assert "Traceback" not in error
    (state,) = (json.loads(path.read_text()) for path in tmp_path.rglob("state.json"))
    assert state["status"] == "interrupted"
    monkeypatch.chdir(tmp_path)
    assert run(["fit", *arguments, f"--trainer.max_epochs={state['epoch'] + 1}"]) == 0
    assert "finished after" in capsys.readouterr().out


@pytest.mark.slow
def test_the_smallest_study_from_command_to_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "mine.yaml"
    study.write_text(
        "title: Mine\nquestion: Which?\npaper: Oyedotun\nartefact: Table 1\nexpected: '?'\n"
        "base: {model: {width: 4}, data: {train_size: 64, batch_size: 32, evaluation_batch_size: 1000},"
        " measure: {probe_size: 16}, trainer: {max_epochs: 1}}\n"
        "grid: {model.network: [plainnet8, resnet8]}\npresets: {smoke: {reductions: [two steps]}}\nfull_size: demo\n"
        "claims: [0 <= resnet8.test_accuracy <= 100 | Table 1]\n"
    )
    done = command("study", "run", str(study), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "resnet8 seed 0 (2/2)" in done.stderr
    assert "holds" in done.stdout
    report = tmp_path / "runs" / "mine" / "report"
    assert {"index.html", "tables.md", "results.json"} <= {path.name for path in report.iterdir()}
    monkeypatch.chdir(tmp_path)
    assert run(["study", "run", str(study), "--jobs", "1"]) == 0
    assert capsys.readouterr().err.count("finished before, nothing to do") == 2


@pytest.mark.parametrize(("safe", "found"), [(True, False), (False, True)])
def test_processes_that_it_starts_look_for_modules_where_it_does(safe: bool, found: bool, tmp_path: Path) -> None:
    """``repro`` does not look where one stands, and ``python -m repro``, which its children are, would."""
    (tmp_path / "planted.py").write_text("print('planted')\n")
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import planted'])"
    program = f"from repro import cli\nwith cli._console():\n    {child}\n"
    start = [sys.executable, *(["-P"] if safe else []), "-c", program]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    shown = subprocess.run(start, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ("planted" in shown.stdout) is found, shown.stderr
