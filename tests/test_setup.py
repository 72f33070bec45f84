"""The set-up: what the lock file holds, and how the Makefile behaves on machines that lack something. No network."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).parent.parent
LOCK = (CHECKOUT / "requirements.lock").read_text()
PYPROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
REQUIREMENTS = [
    *PYPROJECT["build-system"]["requires"],
    *PYPROJECT["dependency-groups"]["env"],
    *PYPROJECT["project"]["dependencies"],
    *PYPROJECT["project"]["optional-dependencies"]["test"],
    *PYPROJECT["project"]["optional-dependencies"]["lint"],
    *PYPROJECT["project"]["optional-dependencies"]["docs"],
]
PLATFORMS = [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")]
CANDIDATES = ("python3", "python3.11", "python3.12", "python3.13", "python3.14")

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def locked() -> dict[str, list[tuple[str, Marker | None, int]]]:
    """Package name to its entries in the lock: version, marker, number of hashes."""
    pins: dict[str, list[tuple[str, Marker | None, int]]] = {}
    for name, version, marker, hashes in re.findall(
        r"^([^\s#=]+)==(\S+)(?: ; ([^\\\n]+))? \\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", LOCK, re.MULTILINE
    ):
        pins.setdefault(name, []).append((version, Marker(marker) if marker else None, hashes.count("--hash")))
    return pins


def test_lock_names_no_host_and_no_path() -> None:
    assert "/" not in LOCK
    assert "\\\n\n" not in LOCK
    assert "index-url" not in LOCK
    assert "find-links" not in LOCK


def test_every_line_of_the_lock_is_a_pin_with_a_hash() -> None:
    pins = sum(len(entries) for entries in locked().values())
    assert pins == len(re.findall(r"^[a-z0-9]", LOCK, re.MULTILINE)) > 100


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize(("system", "machine"), PLATFORMS)
def test_lock_pins_every_requirement_on_every_platform(system: str, machine: str, python: str) -> None:
    environment = {
        **default_environment(),
        "sys_platform": system,
        "platform_machine": machine,
        "platform_system": system.capitalize(),
        "python_version": python,
        "python_full_version": f"{python}.0",
    }
    pins = locked()
    for wanted in map(Requirement, REQUIREMENTS):
        entries = pins[canonicalize_name(wanted.name)]
        (version,) = [version for version, marker, _ in entries if marker is None or marker.evaluate(environment)]
        assert wanted.specifier.contains(version), wanted


def test_lock_holds_the_files_of_more_than_one_platform() -> None:
    (entry,) = locked()["torch"]
    assert entry[2] >= 3 * 3  # three platforms, three Pythons


def test_malicious_lightning_is_not_admitted() -> None:
    (bound,) = [Requirement(text).specifier for text in REQUIREMENTS if text.startswith("lightning>")]
    assert not bound.contains("2.6.2")
    assert not bound.contains("2.6.3")


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_requirements_are_plain_lower_bounds(requirement: str) -> None:
    """The form that .ci/missing.py reads."""
    assert re.fullmatch(r"[\w-]+>=[\d.]+", requirement)


def test_wheel_carries_the_configurations_and_the_typing_marker(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    configurations = {
        str(Path("repro/_configs") / path.relative_to(CHECKOUT / "configs"))
        for path in (CHECKOUT / "configs").rglob("*.yaml")
    }
    assert configurations
    assert configurations <= set(names)
    assert "repro/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "configs"))]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkout with all that the Makefile reads, and nothing installed."""
    checkout = tmp_path / "checkout"
    (checkout / ".ci").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "requirements.lock", ".ci/missing.py"):
        shutil.copy(CHECKOUT / name, checkout / name)
    return checkout


def write_script(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def make(*arguments: str, cwd: Path, programs: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run make as a user would, with the programs of a folder first on PATH."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PYTHON"))}
    kept.pop("ARGS", None)
    kept["PATH"] = f"{programs}:{kept['PATH']}" if programs else kept["PATH"]
    return subprocess.run(["make", *arguments], cwd=cwd, env=kept, capture_output=True, text=True, timeout=300)


def the_one_line(run: subprocess.CompletedProcess[str]) -> str:
    assert run.returncode != 0
    (line,) = (run.stdout + run.stderr).strip().splitlines()
    return line


@needs_make
def test_help_is_the_default_and_lists_every_target(copy: Path) -> None:
    listed = set(re.findall(r"^make ([\w-]+)", make(cwd=copy).stdout, re.MULTILINE))
    targets = "help demo test check fuzz gpu-check docs docs-serve docs-redraw format env lock clean"
    assert listed == set(targets.split())


@needs_make
@pytest.mark.parametrize("target", ["demo", "test", "check", "docs"])
def test_a_given_python_without_the_packages_is_refused_in_one_line(copy: Path, target: str) -> None:
    bare = copy / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    line = the_one_line(make(target, f"PYTHON={bare}/bin/python", cwd=copy))
    assert "lacks" in line
    assert "torchvision" in line
    assert ("beartype" in line) == (target in ("test", "check"))
    assert ("ruff" in line) == (target == "check")
    assert ("pip install -e '.[docs]'" in line) == (target == "docs")
    assert not (copy / ".venv").exists()


@needs_make
def test_a_given_python_with_an_old_package_is_refused_in_one_line(copy: Path) -> None:
    bare = copy / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    (site,) = bare.glob("lib/python*/site-packages")
    for name, version in {"lightning": "2.6.3", "torch": "2.11.0a0+git"}.items():
        (site / f"{name}-{version}.dist-info").mkdir()
        (site / f"{name}-{version}.dist-info/METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    line = the_one_line(make("demo", f"PYTHON={bare}/bin/python", cwd=copy))
    assert "lightning>=2.6.4 (has 2.6.3)" in line
    assert "torch," not in line


@needs_make
def test_a_given_python_that_is_not_there_or_too_old_is_refused_in_one_line(copy: Path) -> None:
    assert "/nowhere/python" in the_one_line(make("test", "PYTHON=/nowhere/python", cwd=copy))
    old = "import sys; sys.version_info = (3, 9, 1); exec(sys.argv[2])"
    write_script(copy / "old", f"exec {sys.executable} -c '{old}' \"$@\"")
    assert "it is Python 3.9, older than 3.11" in the_one_line(make("test", f"PYTHON={copy}/old", cwd=copy))


@needs_make
def test_a_given_python_with_the_packages_is_used_as_it_is(copy: Path) -> None:
    (copy / "repro").mkdir()
    (copy / "repro" / "__init__.py").touch()
    told = "import os, sys; print(sys.executable, sys.argv[1:], os.getenv('PYTHONPATH'))"
    (copy / "repro" / "__main__.py").write_text(told)
    run = make("demo", f"PYTHON={sys.executable}", "ARGS=--seed 1", cwd=copy)
    assert run.stdout == f"{sys.executable} ['demo', '--seed', '1'] {copy}\n"
    assert run.returncode == 0
    assert not (copy / ".venv").exists()


@needs_make
def test_no_python_of_a_supported_version_is_said_in_one_line(copy: Path, tmp_path: Path) -> None:
    for name in CANDIDATES:
        write_script(tmp_path / "bin" / name, 'case "$*" in *platform*) echo python3 is 3.9.2;; *) exit 1;; esac')
    assert "Python 3.11 to 3.14 is needed and none is on PATH (python3 is 3.9.2)" in the_one_line(
        make("env", cwd=copy, programs=tmp_path / "bin")
    )
    assert not (copy / ".venv").exists()


@needs_make
def test_a_python_that_cannot_make_environments_is_said_in_one_line(copy: Path, tmp_path: Path) -> None:
    body = f'case "$*" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"'
    write_script(tmp_path / "bin" / "python3", body)
    line = the_one_line(make("test", cwd=copy, programs=tmp_path / "bin"))
    assert f"apt-get install python{sys.version_info.major}.{sys.version_info.minor}-venv" in line
    assert not (copy / ".venv").exists()


@pytest.fixture
def set_up(copy: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """`make env` where Python only writes down what it is told to do, and fails at a word; returns what was written."""
    programs, log, failing = tmp_path / "bin", tmp_path / "log", tmp_path / "failing"
    real = f'[ "$1" = -c ] && exec {sys.executable} "$@"'
    note = f'echo "$*" >> {log}; case "$*" in *"$(cat {failing})"*) exit 1;; esac'
    write_script(
        programs / "python3", f"{real}\n{note}\nmkdir -p .venv/bin && cp {programs}/installed .venv/bin/python"
    )
    write_script(programs / "installed", f"{real}\n{note}")

    def run(failing_at: str = "nothing") -> list[str]:
        failing.write_text(failing_at)
        log.write_text("")
        made = make("env", cwd=copy, programs=programs)
        assert (made.returncode == 0) == (failing_at == "nothing"), made.stderr
        return log.read_text().splitlines()

    return run


@needs_make
def test_set_up_happens_once_and_again_when_the_lock_changes(copy: Path, set_up: Callable[..., list[str]]) -> None:
    venv, pip, uv, package = set_up()
    assert venv == "-m venv .venv"
    assert "--require-hashes" in pip
    assert {"--require-hashes", "--compile-bytecode", "requirements.lock"} <= set(uv.split())
    assert package.endswith("--no-deps --no-build-isolation -e .")
    (only_uv,) = re.findall(r"^\S+==\S+", (copy / ".venv/uv.lock").read_text(), re.MULTILINE)
    assert only_uv.startswith("uv==")
    assert set_up() == []

    later = (copy / ".venv/.installed").stat().st_mtime + 1
    os.utime(copy / "requirements.lock", (later, later))
    assert set_up() == [pip, uv, package]


@needs_make
@pytest.mark.parametrize("failing_at", ["-m venv", "-m pip", "requirements.lock", "-e ."])
def test_half_done_set_up_is_made_again_from_nothing(
    copy: Path, set_up: Callable[..., list[str]], failing_at: str
) -> None:
    set_up(failing_at)
    (copy / ".venv" / "left behind").touch()
    assert len(set_up()) == 4
    assert not (copy / ".venv" / "left behind").exists()
    assert set_up() == []


@needs_make
def test_environment_whose_python_is_gone_is_made_again(copy: Path, set_up: Callable[..., list[str]]) -> None:
    set_up()
    (copy / ".venv/bin/python").unlink()
    (copy / ".venv/bin/python").symlink_to(copy / "gone")
    assert len(set_up()) == 4


@needs_make
def test_environment_that_the_user_made_is_kept(copy: Path, set_up: Callable[..., list[str]], tmp_path: Path) -> None:
    (copy / ".venv/bin").mkdir(parents=True)
    shutil.copy(tmp_path / "bin/installed", copy / ".venv/bin/python")
    (copy / ".venv" / "mine").touch()
    assert len(set_up()) == 3
    assert (copy / ".venv" / "mine").exists()


@pytest.mark.slow
@needs_make
def test_without_a_gpu_its_checks_say_so_in_one_line() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "gpu-check", f"PYTHON={sys.executable}"],
        cwd=CHECKOUT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "gpu-check: torch sees no CUDA GPU on this machine, so nothing was checked\n"


def test_what_needs_a_gpu_is_not_collected_without_one() -> None:
    conftest = runpy.run_path(str(CHECKOUT / "tests" / "gpu" / "conftest.py"))
    assert (conftest["collect_ignore_glob"] == []) == torch.cuda.is_available()


def test_the_version_is_told_once_and_cited() -> None:
    version = re.search(r'__version__ = "(.*)"', (CHECKOUT / "repro" / "__init__.py").read_text())
    assert version is not None
    assert f"\nversion: {version[1]}\n" in (CHECKOUT / "CITATION.cff").read_text()
    assert "version" in PYPROJECT["project"]["dynamic"]
