"""What a kill costs and what it changes: runs killed by SIGKILL at random moments, alone and with two processes.

    python benchmarks/faults.py [--json FILE] [--runs 50] [--signals 50] [--minutes M] [--network resnet110]

Each run is killed once, at a random moment of its training or as soon as a checkpoint is being written, started again,
and held against a run that was left alone: weights, momenta, random generators, metrics, readings, bit for bit. The
network is small, so that most of the time goes into steps, epoch ends and checkpoints and little into waiting; it
draws random numbers (dropout). Processes are forked from one that has imported everything.

Then a run of two processes with steps of some milliseconds is told to stop by a signal to one of them, at a random
moment of its training, started again, and so on: both have to end, at the same step.

Then, with processes as a user starts them: the time from a SIGTERM to the process's end and from a new start to its
first step, which together is what a requeue loses beside SLURM's own wait; and the share of the training that goes
into checkpoints at the default interval, for a network of the papers on their smallest data set.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from repro.cluster.rehearsal.same import differences
from repro.records import find_runs

LIFE = """
import os, sys
os.environ.update(environment)
sys.path.insert(0, folder)
sys.stdout = sys.stderr = open(os.devnull, "w")
from repro.cli import run
sys.exit(run(arguments))
"""
NETWORK = """
from torch import nn

def make(num_classes, in_channels) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784 * in_channels, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Dropout(0.3),
        nn.Linear(256, num_classes),
    )
"""
FLAGS = [
    *("fit", "--model.network", "drawing:make", "--data.train_size", "500", "--data.batch_size", "32"),
    *("--data.validation_size", "100", "--data.evaluation_batch_size", "500", "--trainer.max_epochs", "6"),
    *("--trainer.accelerator", "cpu", "--trainer.progress", "none", "--log.wandb", "disabled"),
    *("--trainer.checkpoint_every_n_steps", "5", "--log.every_n_steps", "1", "--training.warmup_steps", "5"),
    *("--measure.measurements", "[weights,representations]", "--measure.probe_size", "32"),
]


def begin(context: Any, folder: Path, runs: Path, ranks: int, *more: str) -> list[Any]:
    """One life of a run, in as many processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    arguments = [*FLAGS, "--trainer.devices", str(ranks), "--runs", str(runs), *more]
    processes = []
    for rank in range(ranks):
        place = {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port} if ranks > 1 else {}
        known = {"arguments": arguments, "environment": {**place, "OMP_NUM_THREADS": "1"}, "folder": str(folder)}
        processes.append(context.Process(target=exec, args=(LIFE, known)))
        processes[-1].start()
    return processes


def kills(context: Any, folder: Path, ranks: int, runs: int, ends: float) -> dict[str, int]:
    """Kill so many runs, each once, and resume them; as many as there is time for."""
    for process in begin(context, folder, folder / f"reference{ranks}", ranks):
        process.join()
    (reference,) = find_runs([folder / f"reference{ranks}"])
    table = (reference.path / "metrics.jsonl").stat().st_mtime - (reference.path / "environment.json").stat().st_mtime
    draw = random.Random(ranks)
    found = {"runs": 0, "in_checkpoint": 0, "resumed": 0, "identical": 0, "ended_before_the_kill": 0}
    number = 0
    while found["runs"] < runs and time.monotonic() < ends:
        number += 1
        place = folder / f"killed{ranks}-{number}"
        processes = begin(context, folder, place, ranks)
        deadline = time.monotonic() + 120
        while not list(place.rglob("metrics.jsonl")) and time.monotonic() < deadline:
            time.sleep(0.002)
        moment = time.monotonic() + draw.uniform(0, table)
        if number % 2:  # at the next checkpoint that is being written after that moment
            (checkpoints,) = place.rglob("checkpoints")
            writing = False
            while processes[0].is_alive() and not (writing and time.monotonic() >= moment):
                writing = any(name.endswith(".part") for name in os.listdir(checkpoints))  # noqa: PTH208
        else:
            time.sleep(max(0.0, moment - time.monotonic()))
        alive = processes[0].is_alive()
        for process in processes:
            process.kill()
        for process in processes:
            process.join()
        if not alive:
            found["ended_before_the_kill"] += 1
            continue
        found["runs"] += 1
        found["in_checkpoint"] += bool(list(place.rglob("*.part")))
        processes = begin(context, folder, place, ranks)
        for process in processes:
            process.join(300)
        (run,) = find_runs([place])
        found["resumed"] += all(process.exitcode == 0 for process in processes)
        found["identical"] += run.status == "finished" and not differences(run, reference)
        print(f"{ranks} processes, {number}: {found}", flush=True)
    return found


SHORT = [
    *("--model.network", "mlp", "--model.hidden", "[8]", "--trainer.max_epochs", "1000000"),
    *("--measure.measurements", "[]", "--log.every_n_steps", "50", "--trainer.evaluate_every_n_epochs", "1000000"),
    *("--trainer.checkpoint_every_n_steps", "100", "--trainer.checkpoint_every_n_epochs", "1000"),
]
_HANG_SECONDS = 60.0


def signals(context: Any, folder: Path, number: int, ends: float) -> dict[str, Any]:
    """Tell one of two processes to stop, so many times; as often as there is time for."""
    draw = random.Random(0)
    place = folder / "signals"
    found: dict[str, Any] = {"sent": 0, "both_ended": 0, "hang": 0, "interrupted": 0, "seconds": [], "step_seconds": []}

    def steps() -> int:
        return sum(run.last_step() for run in (find_runs([place]) if place.exists() else []))

    while found["sent"] < number and time.monotonic() < ends:
        before = steps()
        processes = begin(context, folder, place, 2, *SHORT)
        while steps() <= before and processes[0].is_alive():
            time.sleep(0.01)
        seen, at = steps(), time.monotonic()
        time.sleep(draw.uniform(0.3, 1))
        began, first = time.monotonic(), steps()
        if first > seen:
            found["step_seconds"].append(round((began - at) / (first - seen), 5))
        chosen = draw.choice((signal.SIGTERM, signal.SIGUSR1))
        os.kill(processes[draw.randrange(2)].pid, chosen)
        for process in processes:
            process.join(_HANG_SECONDS)
        ended = all(process.exitcode is not None for process in processes)
        for process in processes:
            process.kill()
            process.join()
        found["sent"] += 1
        found["both_ended"] += ended
        found["hang"] += not ended
        found["seconds"].append(round(time.monotonic() - began, 2))
        (run,) = find_runs([place])
        found["interrupted"] += run.status == "interrupted" and run.state["step"] >= first
        print(f"signals: { {key: found[key] for key in ('sent', 'hang', 'interrupted')} }", flush=True)
    return found


def requeue(folder: Path, repeats: int) -> dict[str, list[float]]:
    """Seconds from SIGTERM to the end of the process, and from the next start to the next step."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), str(folder)])}
    arguments = [
        *FLAGS,
        "--trainer.max_epochs",
        "100000",
        "--measure.measurements",
        "[]",
        "--runs",
        str(folder / "lost"),
    ]
    found: dict[str, list[float]] = {"stop": [], "start": []}
    for life in range(repeats + 1):
        (lines,) = [*(folder / "lost").rglob("metrics.jsonl")] or [None]
        before = lines.stat().st_size if lines else 0
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "repro", *arguments], env=environment, stderr=subprocess.DEVNULL
        )
        while not any(path.stat().st_size > before for path in (folder / "lost").rglob("metrics.jsonl")):
            time.sleep(0.01)
        if life:
            found["start"].append(time.monotonic() - began)
        time.sleep(1)
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait()
        found["stop"].append(time.monotonic() - asked)
    return found


def checkpoint_share(folder: Path, network: str) -> dict[str, Any]:
    """Of one epoch on 4,000 digits, checkpoints at the default interval."""
    arguments = [
        *("fit", "--model.network", network, "--model.width", "16", "--trainer.max_epochs", "2"),
        *("--measure.measurements", "[]", "--log.wandb", "disabled", "--trainer.progress", "none"),
        *("--trainer.accelerator", "cpu", "--runs", str(folder / "share")),
    ]
    subprocess.run([sys.executable, "-m", "repro", *arguments], check=True, stdout=subprocess.DEVNULL)
    (run,) = find_runs([folder / "share"])
    seconds, spent = run.state["seconds"], run.state["checkpoint_seconds"]
    size = run.saved_checkpoints()[-1].stat().st_size
    return {
        "network": network,
        "seconds": seconds,
        "checkpoint_seconds": spent,
        "share": spent / seconds,
        "bytes": size,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=50, help="runs killed for each number of processes")
    parser.add_argument("--signals", type=int, default=50, help="signals sent to a run of two processes")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="for all that is killed and told to stop")
    parser.add_argument("--repeats", type=int, default=3, help="requeues timed")
    parser.add_argument("--network", default="resnet110")
    given = parser.parse_args()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["repro.cli", "repro.runs.session", "repro.runs.start", "repro.data.sources.mnist5k"]
    )
    result: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, torch {torch.__version__}",
        "load": os.getloadavg()[0],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "drawing.py").write_text(NETWORK)
        began, third = time.monotonic(), 20 * given.minutes
        result["kills"] = {"2": kills(context, folder, 2, given.runs, began + third)}
        result["signals"] = signals(context, folder, given.signals, began + 2 * third)
        result["kills"]["1"] = kills(context, folder, 1, given.runs, began + 3 * third)
        result["requeue"] = requeue(folder, given.repeats)
        result["checkpoints"] = checkpoint_share(folder, given.network)
    print(f"\n{'processes':>9}{'killed':>8}{'in a checkpoint':>17}{'resumed':>9}{'identical':>11}")
    for ranks, found in result["kills"].items():
        counts = (found[key] for key in ("runs", "in_checkpoint", "resumed", "identical"))
        print("{:>9}{:>8}{:>17}{:>9}{:>11}".format(ranks, *counts))
    told = result["signals"]
    step = 1000 * statistics.median(told["step_seconds"])
    print(
        f"\nsignals under two processes, {step:.1f} ms a step: {told['sent']} sent, {told['hang']} hang, "
        f"{told['interrupted']} stopped with a checkpoint, in {statistics.median(told['seconds']):.1f} s (median)"
    )
    stop, start = (statistics.median(result["requeue"][key]) for key in ("stop", "start"))
    print(
        f"\na requeue loses {stop + start:.1f} s beside SLURM's wait: "
        f"{stop:.2f} s to stop, {start:.1f} s to start again"
    )
    share = result["checkpoints"]
    print(
        f"checkpoints at the default interval, {given.network} on 4,000 digits: {100 * share['share']:.2f} % of the "
        f"training ({share['bytes'] / 1e6:.1f} MB each)"
    )
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
