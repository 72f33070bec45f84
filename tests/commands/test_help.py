"""The help of every command, and `repro help`."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from repro.cli import run
from repro.commands import COMMANDS, parser_of
from repro.commands.help import TOPICS
from repro.config import Config, MeasureConfig, docs
from repro.data import DATASETS
from repro.measurements import MEASUREMENTS
from repro.networks import NETWORKS
from repro.networks.options import CHOSEN
from repro.studies.files import names

ROOT = Path(__file__).parents[2]
ACTIONS = [f"study {each}" for each in ("plan", "run", "submit", "status", "report", "keep")]


def shown(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit, match="0"):
        run([*line.split(), "--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_begins_with_examples_which_can_be_typed(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("repro.runs.start.stored_checkpoint", lambda path: (None, Config(), path))  # any run is there
    usage, text, examples, *_ = re.split(r"\n\n(?=\S)", shown(command, capsys))
    assert usage.startswith(f"usage: repro {command} ")
    assert text == COMMANDS[command]
    heading, *lines = examples.splitlines()
    assert heading == "examples:"
    assert 2 <= len(lines) <= 4
    for line in lines:
        _, name, *arguments = shlex.split(line)
        assert name == command
        parser_of(command).read(arguments)


def test_one_help_has_all_that_fit_takes_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown("fit", capsys)
    assert text.count("  repro fit ") == 3
    groups = re.findall(r"^(\w+):$", text, re.MULTILINE)
    assert groups == ["examples", "run", "model", "data", "training", "trainer", "measure", "log", "measurements"]
    words = " ".join(text.split())
    for option in ("--again", "--budget MINUTES", "--trust NAME", "--config FILE", "--seed N", "--model.width N"):
        assert option in words
    assert "{he,truncated,truncated_corrected,xavier,orthogonal,delta_orthogonal}" in words
    for name in (*NETWORKS, *DATASETS, *MEASUREMENTS):
        assert re.search(rf"\b{name}\b", words), name
    assert "CONFIG" not in words, "a group takes no value"
    assert "--fo 3" not in words


@pytest.mark.parametrize("line", ["fit", "validate", "test", *ACTIONS, "measure", "landscape", "doctor"])
def test_what_may_import_code_says_so(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--trust NAME[,NAME]" in shown(line, capsys)


def test_options_of_measure_are_called_as_those_of_fit(capsys: pytest.CaptureFixture[str]) -> None:
    words = " ".join(shown("measure", capsys).split())
    for key in ("layers", "probe_mode", "probe_size", "measurements"):
        assert f"--{key.replace('_', '-')} " in words
        default = getattr(MeasureConfig(), key)
        assert f"(default: {' '.join(map(str, default)) if isinstance(default, tuple) else default})" in words
    assert docs(MeasureConfig)["layers"] in words


def test_help_and_topics_import_nothing_heavy() -> None:
    code = """
import contextlib, sys
from repro.cli import run
from repro.commands import COMMANDS
from repro.commands.help import TOPICS
for command in COMMANDS:
    with contextlib.suppress(SystemExit):
        run([command, "--help"])
for topic in TOPICS:
    assert run(["help", topic]) == 0
print(sorted({"torch", "lightning", "pandas", "matplotlib", "wandb", "timm"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("topic", "parts"),
    [
        ("networks", [*NETWORKS, *CHOSEN, "timm/NAME", "6n+2"]),
        ("data", [*DATASETS, "package.module:Name"]),
        ("measurements", [*MEASUREMENTS, "(default)", "Proposition 3"]),
        ("studies", [*names(), "full"]),
        ("trust", ["REPRO_TRUST", "--trust"]),
        ("slurm", ["sbatch/ddp.sbatch", "--trainer.num_nodes 2", "repro doctor"]),
        ("wandb", ["--log.project", "wandb-sync", "WANDB_MODE", "repro sweep", "--log.also"]),
        ("exit-status", ["0", "1", "2", "130"]),
    ],
)
def test_a_topic_has_what_there_is(topic: str, parts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["help", topic]) == 0
    text = capsys.readouterr().out
    assert [part for part in parts if part not in text] == []


def test_every_topic_is_tried_and_named() -> None:
    (mark,) = test_a_topic_has_what_there_is.pytestmark
    assert [topic for topic, _ in mark.args[1]] == list(TOPICS)


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("help netwroks", ["unknown topic 'netwroks'", "nearest: networks"]),
        ("help networks data", ["unexpected argument 'data'"]),
        ("runs lits", ["unknown action 'lits'", "nearest: list"]),
        ("study run demo --jbos 2", ["unknown flag '--jbos'", "nearest: --jobs", "see repro study run --help"]),
        ("landscape x --directions filtre", ["unknown value of --directions 'filtre'", "nearest: filter"]),
        ("fit --agian", ["unknown flag '--agian'", "nearest: --again"]),
        ("fit --trust", ["--trust"]),
        ("data prepare cifar10 --from x --download", ["give one of the two"]),
        ("doctor demo --config configs/oyedotun-mnist5k.yaml", ["a study or at a configuration"]),
        ("doctor --preset full", ["--preset is a study's size"]),
        ("runs list --trust x", ["unknown flag '--trust'"]),
    ],
)
def test_mistakes_name_the_nearest(
    line: str, parts: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert run(line.split()) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    for part in parts:
        assert part in error


def test_help_of_a_command_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        run(["help", "runs"])
    assert capsys.readouterr().out == shown("runs", capsys)
