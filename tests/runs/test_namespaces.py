"""Two machines in one: network namespaces with addresses of their own, and a cable between them that can be cut."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from repro.records import find_runs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
ROOT = Path(__file__).parents[2]
START = "from repro.distributed import peers; peers.SILENT_SECONDS = 10.0; from repro.cli import main; main()"
FLAGS = [
    *("fit", "--model.network", "mlp", "--model.hidden", "[8]", "--data.train_size", "90", "--data.batch_size", "32"),
    *("--data.evaluation_batch_size", "1000", "--trainer.max_epochs", "200", "--trainer.accelerator", "cpu"),
    *("--trainer.progress", "none", "--trainer.num_nodes", "2", "--trainer.devices", "1", "--log.wandb", "disabled"),
    *("--measure.measurements", "[]", "--trainer.checkpoint_every_n_epochs", "10"),
    *("--trainer.evaluate_every_n_epochs", "200"),
]


def ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, capture_output=True, timeout=30)


@pytest.fixture
def machines() -> Iterator[tuple[str, str]]:
    first, second = (f"repro-{os.getpid()}-{number}" for number in (1, 2))
    try:
        ip(f"netns add {first}")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs `ip netns`, and the right to use it")
    try:
        ip(f"netns add {second}")
        ip(f"link add cable netns {first} type veth peer name cable netns {second}")
        for number, name in enumerate((first, second), 1):
            ip(f"-n {name} address add 10.77.0.{number}/24 dev cable")
            ip(f"-n {name} link set cable up")
            ip(f"-n {name} link set lo up")
        yield first, second
    finally:
        for name in (first, second):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.fixture
def begin(machines: tuple[str, str], tmp_path: Path) -> Iterator[Callable[[], list[subprocess.Popen[bytes]]]]:
    started: list[subprocess.Popen[bytes]] = []

    def both() -> list[subprocess.Popen[bytes]]:
        processes = []
        for rank, machine in enumerate(machines):
            place = {"NODE_RANK": str(rank), "LOCAL_RANK": "0", "MASTER_ADDR": "10.77.0.1", "MASTER_PORT": "23456"}
            with (tmp_path / f"said{rank}").open("a") as said:
                processes.append(
                    subprocess.Popen(
                        [*("ip", "netns", "exec", machine, sys.executable, "-c", START), *FLAGS],
                        env={**os.environ, **place, "WORLD_SIZE": "2", "PYTHONPATH": str(ROOT)},
                        cwd=tmp_path,
                        stderr=said,
                        stdout=said,
                    )
                )
        started.extend(processes)
        return processes

    yield both
    for process in started:
        process.kill()
        process.wait()


def test_a_cable_that_is_cut_ends_both_in_a_line_and_the_same_command_goes_on(
    machines: tuple[str, str], begin: Callable[[], list[subprocess.Popen[bytes]]], tmp_path: Path
) -> None:
    processes = begin()
    ends = time.monotonic() + 120
    while not list(tmp_path.rglob("step-*.ckpt")):
        assert time.monotonic() < ends, [(tmp_path / f"said{rank}").read_text() for rank in range(2)]
        time.sleep(0.1)
    ip(f"-n {machines[0]} link set cable down")
    assert [process.wait(60) for process in processes] == [1, 1]
    for rank in range(2):
        said = (tmp_path / f"said{rank}").read_text()
        assert f"repro: rank {1 - rank} (process " in said
        assert "has given no sign for 10 seconds; the run cannot go on without it" in said
        assert "Traceback" not in said
    (run,) = find_runs([tmp_path / "runs"])
    assert run.status == "failed"
    step = run.state["step"]
    ip(f"-n {machines[0]} link set cable up")
    assert [process.wait(200) for process in begin()] == [0, 0]
    assert run.status == "finished"
    assert run.state["step"] == 600 > step
    assert [life["world_size"] for life in run.lives] == [2, 2]
