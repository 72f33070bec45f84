"""A real SLURM cluster of two nodes on this machine, started for these tests in a folder of its own."""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("cluster.sh")
NEEDED = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "scontrol", "squeue", "scancel")
SEARCH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin", "/sbin"])

# A small network that takes its time where it is told to: runs that last long enough to be stopped, on any machine.
NETWORK = """
import os, time
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes, in_channels):
        super().__init__()
        width = 8
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(784 * in_channels, width), nn.BatchNorm1d(width), nn.ReLU(),
            nn.Linear(width, num_classes),
        )
        self.pace = float(os.environ.get("PACE", "0"))
        if "SLURM_RESTART_COUNT" in os.environ:  # what was to happen has happened
            self.pace = min(self.pace, 0.03)

    def forward(self, images):
        if self.training:
            time.sleep(self.pace)
        return self.layers(images)
"""
SMALL = """
model: {network: "paced:Net"}
data: {batch_size: 32, train_size: 90, evaluation_batch_size: 1000}
training: {warmup_steps: 2, learning_rate: 0.05}
trainer: {max_epochs: 30, progress: lines, evaluate_every_n_epochs: 10, accelerator: cpu}
measure: {measurements: [weights], every_n_epochs: 10, probe_size: 16}
log: {every_n_steps: 1, wandb: disabled}
"""


@dataclass
class Cluster:
    """The cluster, and the folder from which jobs are submitted."""

    daemons: Path
    folder: Path
    environment: dict[str, str]

    def call(self, *command: str, **environment: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def submit(self, *arguments: str, pace: float = 0.1) -> str:
        """Submit a script; returns the job's number."""
        return self.call("sbatch", "--parsable", *arguments, PACE=str(pace)).strip()

    def job(self, number: str) -> dict[str, str]:
        """What SLURM knows of a job."""
        shown = self.call("scontrol", "show", "job", "-o", number)
        return dict(re.findall(r"(\w+)=(\S*)", shown))

    def wait(self, number: str, done: Callable[[dict[str, str]], bool], seconds: float = 300) -> dict[str, str]:
        """Wait until a job is as wanted; shows its log if that does not come."""
        deadline = time.monotonic() + seconds
        while not done(known := self.job(number)):
            assert time.monotonic() < deadline, f"{known}\n{self.log(number)}"
            time.sleep(0.3)
        return known

    def finish(self, number: str, seconds: float = 300) -> dict[str, str]:
        """Wait until a job has ended well."""
        ends = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL")
        known = self.wait(number, lambda known: known["JobState"] in ends, seconds)
        assert known["JobState"] == "COMPLETED", f"{known}\n{self.log(number)}"
        return known

    def bring_back(self, node: str) -> None:
        """Have a node that was set down take jobs again, if it does not do so by itself."""
        while "DOWN" in self.call("scontrol", "show", "node", "-o", node):
            subprocess.run(
                ["scontrol", "update", f"NodeName={node}", "State=RESUME"], env=self.environment, capture_output=True
            )
            time.sleep(0.5)

    def log(self, number: str) -> str:
        """What a job has printed, in all its lives."""
        return "\n".join(path.read_text() for path in self.folder.glob(f"**/slurm-{number}*.out"))

    def wait_for_checkpoint(self, study: str, seconds: float = 300) -> None:
        """Wait until a run of this study has saved one in the middle."""
        deadline = time.monotonic() + seconds
        while not list((self.folder / "runs" / study).glob("*/checkpoints/step-*.ckpt")):
            assert time.monotonic() < deadline, self.log("")
            time.sleep(0.1)


@contextmanager
def three_ports() -> Iterator[int]:
    """The first of three free ports that no other cluster of these tests takes, as long as this lasts.

    Below those that the kernel gives to connections: one of these, or a controller with another key, on a port of ours
    would answer in its place.
    """
    draw = random.Random()
    while True:
        port = draw.randrange(17_000, 32_000, 3)
        with ExitStack() as taken:
            claim = taken.enter_context(socket.socket(socket.AF_UNIX))
            try:
                claim.bind(f"\0repro-cluster-{port}")  # the kernel's name for it goes with this process
                for number in range(port, port + 3):
                    with socket.socket() as probe:
                        probe.bind(("", number))
            except OSError:
                continue
            yield port
            return


@contextmanager
def started(**settings: str) -> Iterator[Cluster]:
    """A cluster, with variables of `cluster.sh`."""
    absent = [name for name in NEEDED if shutil.which(name, path=SEARCH) is None]
    if absent:
        pytest.skip(f"needs SLURM on this machine (not found: {', '.join(absent)}); .ci/run installs it")
    # Not below pytest's folder, which only its owner may enter: munge refuses that.
    daemons, folder = (Path(tempfile.mkdtemp(prefix=f"repro-{name}-")) for name in ("slurm", "jobs"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    environment |= {
        "PATH": SEARCH,
        "SLURM_CONF": str(daemons / "slurm.conf"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)]),
        "OMP_NUM_THREADS": "1",
        "REPRO_TRUST": "paced",
    }
    (folder / "paced.py").write_text(NETWORK)
    (folder / "small.yaml").write_text(SMALL)
    made = Cluster(daemons, folder, environment)
    try:
        with three_ports() as port:
            made.call("bash", str(SCRIPT), "start", str(daemons), SLURM_BASE_PORT=str(port), **settings)
            yield made
    finally:
        subprocess.run(["bash", str(SCRIPT), "stop", str(daemons)], env=environment, capture_output=True, timeout=300)
        shutil.rmtree(daemons, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with started() as made:
        yield made


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins: sbatch keeps what it is given and answers 7, squeue prints what lies in a file."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "queue").write_text("")
    (tools / "sbatch").write_text(f"#!/bin/sh\ncat > {tools}/script\necho '7;toy'\n")
    (tools / "squeue").write_text(f"#!/bin/sh\ncat {tools}/queue\n")
    for name in ("sbatch", "squeue"):
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    return tools
