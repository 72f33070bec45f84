"""What a stranger's study says never becomes a line of a job script, an option of sbatch's, or a path of its own."""

from __future__ import annotations

import dataclasses
import json
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from repro.cli import run
from repro.cluster import sbatch, scripts
from repro.config import from_mapping
from repro.errors import UserError
from repro.report.sources import sections
from repro.studies.files import load
from tests.cluster.test_sbatch import CONTENT

BREAKING = ["evil\ntouch PWNED\n#", "a\rtouch X", "a\u2028b", "a\0b", "a\x1b]0;x\x07", "\ud800"]
AWKWARD = [
    "my study",
    "étude (lr=0.1)",
    "a'b",
    'a"b',
    "a#b",
    "$(touch X)",
    "`touch X`",
    "a;b",
    "100%j",
    "x --wrap=y",
    "{1..9}",
    "*",
]


def options(script: str) -> list[str]:
    """The options in a script as sbatch reads them (Slurm's opt.c): quotes and backslashes taken off, up to a #."""
    found = []
    for line in script.splitlines():
        if not line.startswith("#"):
            break
        word, quoted, escaped = "", False, False
        for character in line.removeprefix("#SBATCH ") if line.startswith("#SBATCH ") else "":
            if escaped:
                word, escaped = word + character, False
            elif character == "\\":
                escaped = True
            elif character == '"':
                quoted = not quoted
            elif character == "#" or (character.isspace() and not quoted):
                break
            else:
                word += character
        found += [word] if word else []
    return found


@pytest.mark.parametrize("name", AWKWARD)
def test_a_name_stays_one_option_and_one_word(name: str) -> None:
    wanted = dict.fromkeys(("partition", "account", "qos", "constraint", "mem", "gres"), name)
    job = scripts.study(
        name,
        ["my file.yaml", "--preset", name],
        array="0-3",
        output=f"{name}/logs/%A",
        where=(1, 1, True),
        resources=sbatch.Resources(**wanted),  # type: ignore[arg-type]
    )
    script = sbatch.text(job)
    given = options(script)
    assert f"--job-name=repro-{name}" in given
    assert f"--output={name}/logs/%A" in given
    assert {f"--{key}={value}" for key, value in wanted.items()} <= set(given)
    assert len(given) == len({each.split("=")[0] for each in given})
    (command,) = [line for line in script.splitlines() if line.startswith("srun ")]
    words = shlex.split(command.replace('"$SLURM_ARRAY_TASK_ID"', "TASK"))
    assert words[words.index("run") + 1 :] == ["my file.yaml", "--preset", name, "--task", "TASK"]
    lines = [line for line in script.splitlines() if line and not line.startswith("#")]
    assert [line.split()[0] for line in lines] == ["export", "srun", "status=$?", "if", "scontrol", "fi", "exit"]
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.parametrize("odd", BREAKING)
@pytest.mark.parametrize("field", [entry.name for entry in dataclasses.fields(sbatch.Job) if "str" in str(entry.type)])
def test_a_line_break_is_refused_wherever_it_would_enter_a_script(field: str, odd: str) -> None:
    value = (odd,) if field == "title" else odd
    with pytest.raises(UserError, match="cannot stand in a job script"):
        sbatch.text(dataclasses.replace(scripts.STUDY, **{field: value}))


@pytest.mark.parametrize("odd", BREAKING)
@pytest.mark.parametrize(
    "field",
    [
        entry.name
        for entry in dataclasses.fields(sbatch.Resources)
        if "str" in str(entry.type) and entry.name != "setup"
    ],
)
def test_nor_in_what_is_asked_of_slurm(field: str, odd: str) -> None:
    resources = sbatch.Resources(**{field: (f"--comment={odd}",) if field == "extra" else odd})
    with pytest.raises(UserError, match="cannot stand in a job script"):
        sbatch.text(dataclasses.replace(scripts.RUN, resources=resources))


@pytest.mark.parametrize("odd", [*BREAKING[1:], "module load x\r\n", "#SBATCH --account=x", "true\n#SBATCH --qos=x\n"])
def test_a_setup_does_what_it_says(odd: str) -> None:
    with pytest.raises(UserError, match="the setup has"):
        sbatch.text(dataclasses.replace(scripts.RUN, resources=sbatch.Resources(setup=odd)))


NAMES = [*BREAKING, "../up", "/up", "-rf", "", "a\\b", "n" * 151]
PLACES = [(where, odd) for where in ("name", "preset", "variant", "value") for odd in NAMES]


@pytest.mark.parametrize(
    ("where", "odd"),
    [each for each in PLACES if each not in (("preset", ""), ("preset", "-rf"))],  # it follows the name and a hyphen
)
def test_a_study_with_such_a_name_is_refused(
    where: str, odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    content = dict(CONTENT)
    if where == "name":
        content["name"] = odd
    elif where == "preset":
        content["presets"] = {"cpu": {}, odd: {}}
    elif where == "variant":
        content["grid"] = {"momentum": {odd: {"training.momentum": 0.5}}}
    else:
        content["grid"] = {"model.network": [odd]}
    Path("theirs.yaml").write_text(json.dumps(content))  # YAML with every odd character as an escape
    for command in (["submit", "theirs.yaml"], ["plan", "theirs.yaml"], ["run", "theirs.yaml"]):
        assert run(["study", *command]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["theirs.yaml"]


@pytest.mark.parametrize("key", ["study", "name", "runs", "data.root", "model.network", "log.project", "log.entity"])
def test_no_text_of_a_configuration_has_control_characters(key: str) -> None:
    with pytest.raises(UserError, match="control characters"):
        from_mapping({key: "a\nb"})
    with pytest.raises(UserError, match="control characters"):
        from_mapping({"model.arguments": {"a": [{"b": "x\x1b[0m"}]}})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--partition", "a\ntouch X #"], "cannot stand in a job script"),
        (["--sbatch=--comment=a\nb"], "options of sbatch"),
        (["--sbatch=--comment='a\nb'"], "cannot stand in a job script"),
        (["--sbatch=--account=x --qos=y extra"], "--sbatch is 'extra'"),
        (["--sbatch=--comment='a"], "cannot be split into words"),
    ],
)
def test_options_of_the_command_line_too(
    given: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(yaml.safe_dump(CONTENT))
    assert run(["study", "submit", "mine.yaml", "--time", "60", "--dry-run", *given]) == 2
    assert words in capsys.readouterr().err


def test_commands_that_are_suggested_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my $(touch X) study.yaml").write_text(yaml.safe_dump({**CONTENT, "name": "mine"}))
    assert run(["study", "plan", "my $(touch X) study.yaml", "--runs", "my runs"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    words = ["repro", "study", "run", "my $(touch X) study.yaml", "--runs", "my runs"]
    assert shlex.split(line.removeprefix("run all: ")) == words


@pytest.mark.parametrize("name", ["../../elsewhere", "/elsewhere/run", "..", "a/b"])
def test_a_manifest_leads_nowhere_else(name: str, tmp_path: Path) -> None:
    study = load("demo")
    from repro.studies import manifest

    cells = study.cells("smoke")[:1]
    manifest.write(tmp_path, manifest.content(study.at("smoke", "repro"), cells, [name]))
    (tmp_path / "run").mkdir()
    for file in ("config.yaml", "state.json"):
        (tmp_path / "run" / file).write_text("{}")
    (section,) = sections([tmp_path])
    assert "not a study's manifest" in section.damage[0]
    assert [str(cell.run and cell.run.path) for cell in section.cells] == [str(tmp_path / "run")]
