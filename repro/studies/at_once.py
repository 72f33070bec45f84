"""Several of a study's cells at a time, each in a process of its own."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from repro.config import to_yaml
from repro.errors import refusing
from repro.machine import allowed, available_memory, processors, told
from repro.records import RunDirectory, no_link, replace_text
from repro.runs.budget import BEGIN_SECONDS
from repro.runs.stop import LAST_SECONDS, OUT_OF_TIME, Interrupted, StopRequest
from repro.studies.saying import Bar, Lines, label, say, say_nothing_to_do, tail
from repro.studies.study import StudyCell

_LOOK_SECONDS = 0.2
_START_SECONDS = 1.0  # of a process, before its budget begins
_GRACE_SECONDS = 1.0  # before the end, for processes that have not stopped by themselves
_SAME_SECONDS = 1.0  # in which a second Ctrl-C is the same request
_MEMORY = 2 * 2**30  # bytes that a process may want


def gpus() -> list[str]:
    """Names of the GPUs that processes may use, as CUDA_VISIBLE_DEVICES has them."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in visible.split(",") if name]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(number) for number in range(listed.count("UUID: GPU"))]


def sensible_jobs() -> int:
    """How many cells at once: one for each GPU; without, one for each processor, as far as memory goes.

    Networks of many thin layers gain little from a second thread, and lose much where it has to wait for others.
    """
    return len(gpus()) or max(1, min(processors(), available_memory() // _MEMORY))


def training(configuration: Path) -> list[str]:
    """The command that trains a cell."""
    return [sys.executable, "-m", "repro", "fit", "--config", str(configuration), "--trainer.progress", "lines"]


@dataclass(frozen=True)
class _Running:
    """A cell at work."""

    number: int
    name: str
    run: RunDirectory
    process: subprocess.Popen[bytes]
    log: Path
    gpu: str | None
    display: Bar | Lines


class AtOnce:
    """Runs cells in processes, so many at a time; they share the processors, and each takes a GPU that is free.

    What a process prints goes to ``FOLDER/logs/LABEL-seedN.log``; here stands when each begins and ends, and how far
    those at hand are: a bar each on a terminal, lines elsewhere. Each is told at its start when it has to be over, by
    `time.monotonic`. `command` trains a cell whose configuration lies in a file.
    """

    def __init__(
        self,
        cells: Sequence[StudyCell],
        jobs: int,
        *,
        folder: Path,
        again: bool = False,
        ends: float = math.inf,
        command: Callable[[Path], list[str]] = training,
    ) -> None:
        self._cells, self._jobs, self._logs = cells, jobs, folder / "logs"
        self._again, self._ends, self._command = again, ends, command
        self._gpus = gpus()
        self._threads = max(1, allowed() // jobs)
        self._pending = list(enumerate(cells, 1))
        self._running: list[_Running] = []
        self._failed: set[int] = set()
        self._told: set[int] = set()  # to save and end
        self._cut = False  # by the budget

    def run(self) -> list[StudyCell]:
        """Run all cells, and return those that failed (the ends of their logs have been printed).

        `Interrupted` when asked to stop, or there is no time for the rest; every cell at hand has its checkpoint.
        """
        with refusing(f"cannot write '{self._logs}'", "choose another --runs"):
            self._logs.mkdir(parents=True, exist_ok=True)
        say(f"repro: {told(self._threads, self._jobs)}")
        stop = StopRequest(self._ends + LAST_SECONDS - _GRACE_SECONDS)
        with stop.listening():
            try:
                self._work(stop)
            except KeyboardInterrupt:  # a second Ctrl-C right after the first
                stop.ask(signal.SIGINT)
            finally:
                unfinished = bool(self._pending or self._running)
                self._end_all()
        if stop and unfinished:
            raise Interrupted("stopped, every cell that ran has its checkpoint", signal=stop.signal)
        if self._cut:
            raise Interrupted("no time for the rest", signal=OUT_OF_TIME)
        return [cell for number, cell in enumerate(self._cells, 1) if number in self._failed]

    def _work(self, stop: StopRequest) -> None:
        """Begin what can begin and wait for what runs, until all is done or a stop is asked for."""
        while not stop and (self._pending or self._running):
            while self._pending and len(self._running) < self._jobs and not stop:
                self._begin(*self._pending.pop(0))
            time.sleep(_LOOK_SECONDS)
            for job in list(self._running):
                job.display.look()
                if job.process.poll() is not None:
                    self._ended(job)

    def _begin(self, number: int, cell: StudyCell) -> None:
        name, log = label(cell, number, len(self._cells)), self._logs / f"{cell.label}-seed{cell.seed}.log"
        run = cell.resolved.directory
        if not self._again and run.has_result:
            say_nothing_to_do(name, run)
            return
        left = self._ends - time.monotonic()
        if left < BEGIN_SECONDS:
            self._cut = True
            return
        configuration = log.with_suffix(".yaml")
        replace_text(configuration, to_yaml(cell.config))
        command = [*self._command(configuration), *(["--again"] if self._again else [])]
        if math.isfinite(left):
            command += ["--budget", f"{(left - _START_SECONDS) / 60:.4f}"]
        taken = Counter(job.gpu for job in self._running)
        gpu = min(self._gpus, key=lambda gpu: taken[gpu], default=None)  # with the fewest processes
        own = {"OMP_NUM_THREADS": str(self._threads)} | ({} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu})
        with no_link(log).open("ab") as output:
            process = subprocess.Popen(
                command,
                env={**os.environ, **own},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a terminal's Ctrl-C reaches this process alone, which hands it on once
            )
        say(f"{name}: started, see {log}")
        display: Bar | Lines = Bar(name, cell, run) if sys.stderr.isatty() else Lines(log)
        self._running.append(_Running(number, name, run, process, log, gpu, display))

    def _ended(self, job: _Running) -> None:
        """Say how a cell ended by itself."""
        self._running.remove(job)
        job.display.close()
        if status := job.process.returncode:
            self._failed.add(job.number)
            say("\n".join([f"{job.name}: failed with exit status {status}; the end of its log:", *tail(job.log)]))
        elif math.isinf(self._ends) or job.run.ended:
            say(f"{job.name}: done")
        else:
            self._cut = True
            say(f"{job.name}: stopped, its checkpoint is saved")

    def _end_all(self) -> None:
        """Have every process save and end. A Ctrl-C that comes more than a moment later does not wait for that."""
        began = time.monotonic()
        while self._running:
            try:
                self._have_them_save()
            except KeyboardInterrupt:
                if time.monotonic() - began > _SAME_SECONDS:
                    for job in self._running:
                        job.process.kill()
                        job.process.wait()
                    raise

    def _have_them_save(self) -> None:
        for job in self._running:
            if job.number not in self._told:
                self._told.add(job.number)
                job.process.send_signal(signal.SIGTERM)
        while self._running:
            self._running[-1].process.wait()
            self._running.pop().display.close()
