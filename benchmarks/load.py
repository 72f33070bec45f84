"""What other work on the machine costs: a step, or the whole demo, beside processes that compute without end.

    python benchmarks/load.py [--json FILE] [--busy 0 1 2 4] [--steps 25] [--rounds 3] [--own] [--demo]

A step is the demo's (ResNet-110, width 8, batches of 32 digits), in a process with the threads that the command line
chooses; with ``--own`` with those that torch takes by itself. Its ratio is its time over that of an undisturbed step,
times the share of a processor that it is due: 1 is fair, more is lost to waiting. On a machine with other work, of
which this program knows nothing, the processor time tells: the share that the process got, and its processor time over
that of the first row. ``--demo`` does the same with the whole demo, each time anew: each network at work is due a
share.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from repro.machine import prepare, processors

WARM = 3  # steps that are not timed


def step(steps: int, own: bool) -> None:
    """Train some steps; write the medians of their times as JSON."""
    if not own:
        prepare()
    import torch
    from lightning.pytorch import Callback

    from repro.api import build
    from repro.runs.threads import Threads

    moments: list[tuple[float, float]] = []

    class Clock(Callback):
        def on_train_batch_end(self, *_: object) -> None:
            moments.append((time.perf_counter(), time.process_time()))

    parts = build(
        model={"network": "resnet110", "width": 8},
        data={"name": "MNIST5k", "batch_size": 32},
        trainer={"max_epochs": 1, "accelerator": "cpu"},
    )
    parts.trainer.limit_train_batches, parts.trainer.limit_val_batches = steps + WARM, 0
    parts.trainer.callbacks += [Threads(32), Clock()]
    parts.trainer.fit(parts.module, datamodule=parts.data)
    pairs = list(itertools.pairwise(moments[WARM - 1 :]))
    wall, processor = (statistics.median(after[k] - before[k] for before, after in pairs) for k in (0, 1))
    print(json.dumps({"threads": torch.get_num_threads(), "seconds": wall, "processor_seconds": processor}))


@contextmanager
def beside(count: int) -> Iterator[None]:
    """So many processes that compute without end."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def share(own: int, busy: int) -> float:
    """What each of one's own processes is due of a processor."""
    return min(1.0, processors() / (own + busy))


def of_steps(given: argparse.Namespace) -> list[dict[str, object]]:
    command = [sys.executable, __file__, "--in-process", "--steps", str(given.steps), *(["--own"] if given.own else [])]
    times: dict[int, list[dict[str, float]]] = {busy: [] for busy in given.busy}
    for _ in range(given.rounds):
        for busy in given.busy:
            with beside(busy):
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            times[busy].append(json.loads(done.stdout.splitlines()[-1]))
    alone, used_alone = (
        statistics.median(each[name] for each in times[given.busy[0]]) for name in ("seconds", "processor_seconds")
    )
    found = []
    for busy, each in times.items():
        seconds = statistics.median(one["seconds"] for one in each)
        used = statistics.median(one["processor_seconds"] for one in each)
        got = statistics.median(one["processor_seconds"] / one["seconds"] for one in each)
        due = share(1, busy)
        line = {
            "busy": busy,
            "threads": each[0]["threads"],
            "seconds": seconds,
            "all_seconds": [one["seconds"] for one in each],
            "processor_seconds": used,
            "due": due,
            "got": got,
            "ratio": seconds * due / alone,
            "processor_ratio": used / used_alone,
        }
        found.append(line)
        print(
            f"{busy} busy: {each[0]['threads']} threads, {seconds:.3f} s a step, due {due:.2f} and got {got:.2f} of a "
            f"processor, ratio {line['ratio']:.2f} ({line['processor_ratio']:.2f} in processor time)",
            flush=True,
        )
    return found


def of_demo(given: argparse.Namespace) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for busy in given.busy:
        with tempfile.TemporaryDirectory() as folder, beside(busy):
            began, before = time.perf_counter(), os.times()
            subprocess.run(
                [sys.executable, "-m", "repro", "demo", "--runs", folder], stdout=subprocess.DEVNULL, check=True
            )
            seconds, after = time.perf_counter() - began, os.times()
        # The busy ones count only when they have been waited for, which is later.
        used = sum(after[2:4]) - sum(before[2:4])
        due = share(min(processors(), 3), busy)
        alone = seconds if not found else float(str(found[0]["seconds"]))
        ratio = seconds * due / alone
        found.append({"busy": busy, "seconds": seconds, "processor_seconds": used, "due": due, "ratio": ratio})
        print(f"{busy} busy: demo in {seconds:.0f} s, {used:.0f} s of processors, due {due:.2f}, ratio {ratio:.2f}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--own", action="store_true", help="torch's own threads")
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("--note", default="", help="for the record: what else the machine was doing")
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.in_process:
        step(given.steps, given.own)
        return
    load = os.getloadavg()
    content = {
        "what": "demo" if given.demo else "step",
        "own_threads": given.own,
        "machine": f"{platform.machine()}, {processors()} processors",
        "load_before": load,
        "note": given.note,
        "beside": of_demo(given) if given.demo else of_steps(given),
    }
    if given.json:
        given.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
