"""The container recipes: built and run where the tools are, else looked at line by line."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from repro import __version__

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "sbatch" / "Dockerfile").read_text(encoding="utf-8")
DEFINITION = (ROOT / "sbatch" / "repro.def").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def instructions() -> list[tuple[str, str]]:
    """Of the Dockerfile: keyword and rest, lines joined."""
    lines = [line for line in DOCKERFILE.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def sections() -> dict[str, list[str]]:
    """Of the definition: its head under "", and each section's lines."""
    found: dict[str, list[str]] = {"": []}
    name = ""
    for line in DEFINITION.splitlines():
        if match := re.fullmatch(r"%(\w+)", line):
            name = match[1]
            found[name] = []
        elif line.strip() and not line.startswith("#"):
            found[name].append(line.strip())
    return found


def test_the_python_is_one_that_the_package_takes() -> None:
    bases = [rest for word, rest in instructions() if word == "FROM"]
    bases += [line.removeprefix("From: ") for line in sections()[""] if line.startswith("From: ")]
    assert len(bases) == 2
    assert len(set(bases)) == 1
    version = re.fullmatch(r"python:([\d.]+)-slim", bases[0])
    assert version
    assert version[1] in SpecifierSet(PROJECT["project"]["requires-python"])
    assert f"Programming Language :: Python :: {version[1]}" in PROJECT["project"]["classifiers"]


def test_what_is_copied_is_there_and_all_that_the_package_is_built_of() -> None:
    copied = [word for keyword, rest in instructions() if keyword == "COPY" for word in rest.split()[:-1]]
    filed = [line.split() for line in sections()["files"]]
    assert {source for source, _ in filed} == set(copied)
    assert all(target == f"/opt/repro/{source}" for source, target in filed)
    assert all((ROOT / source).exists() for source in copied)
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], *PROJECT["project"]["license-files"], "pyproject.toml"}
    assert {*needed, PROJECT["project"]["readme"]} <= set(copied)


@pytest.mark.slow
def test_the_package_is_built_of_what_is_copied_alone(tmp_path: Path) -> None:
    """As pip builds it in there, and it knows its studies."""
    pytest.importorskip("hatchling")
    for source, _ in [line.split() for line in sections()["files"]]:
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copy(ROOT / source, tmp_path / source)
    _python(tmp_path, "hatchling", "build", "-t", "wheel")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "installed")
    assert "oyedotun-table2" in _python(tmp_path / "installed", "repro", "study", "list")


def _python(folder: Path, *module: str) -> str:
    """What a module prints that is run in a folder, with what lies there."""
    command, environment = [sys.executable, "-m", *module], {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout


def test_both_install_the_same_in_the_same_way() -> None:
    run = [rest for word, rest in instructions() if word == "RUN"]
    assert run == sections()["post"]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert re.search(r"^hatchling==", lock, re.M)  # what builds the package, as it is built without isolation
    for line in [*run, *sections()["runscript"], *sections()["environment"], *sections()["test"]]:
        assert subprocess.run(["bash", "-n"], input=line, text=True, check=False).returncode == 0
        assert shlex.split(line)[0] in ("pip", "python", "exec", "export")
    keywords = {word for word, _ in instructions()}
    assert keywords == {"FROM", "COPY", "RUN", "ENV", "WORKDIR", "ENTRYPOINT", "CMD"}


def _works(*command: str) -> bool:
    return bool(shutil.which(command[0])) and not subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_it_is_built_with_docker_and_runs() -> None:
    if not _works("docker", "info"):
        pytest.skip("needs docker and its daemon")
    build = ["docker", "build", "--quiet", "--file", "sbatch/Dockerfile", "."]
    image = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    run = ["docker", "run", "--rm", image, "--version"]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == f"repro {__version__}\n"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_it_is_built_with_apptainer_and_runs(tmp_path: Path) -> None:
    if not _works("apptainer", "--version"):
        pytest.skip("needs apptainer")
    image = tmp_path / "repro.sif"
    subprocess.run(["apptainer", "build", str(image), "sbatch/repro.def"], cwd=ROOT, check=True)
    run = ["apptainer", "run", str(image), "--version"]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == f"repro {__version__}\n"
