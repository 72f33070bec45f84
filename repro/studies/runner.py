"""Run a study's cells: finished ones skipped, failed ones named at the end, several at once where asked."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from repro.config import Config, to_yaml
from repro.errors import UserError
from repro.machine import allowed, available_memory, processors
from repro.records import RunDirectory
from repro.studies.stacking import stacks
from repro.studies.study import Cell
from repro.training.budget import BEGIN_SECONDS, LEAST_MINUTES, Budget, known_stop
from repro.training.interrupt import LAST_SECONDS, OUT_OF_TIME, CannotSave, Interrupted, StopRequest
from repro.training.placement import several
from repro.training.runs import locate, nothing_to_do, start, start_stack

_TAIL_LINES = 15
_LOOK_SECONDS = 0.5  # between looks for a signal
_SAY_SECONDS = 30.0
_START_SECONDS = 1.0  # of a process, before its budget begins
_GRACE_SECONDS = 1.0  # before the end, for processes that have not stopped by themselves
_MEMORY = 2 * 2**30  # bytes that a process may want


def sensible_jobs() -> int:
    """How many cells at once: one for each GPU; without, one for each processor, as far as memory goes.

    Networks of many thin layers gain little from a second thread, and lose much where it has to wait for others.
    """
    return len(_gpus()) or max(1, min(processors(), available_memory() // _MEMORY))


def require_useful(budget: Budget, cells: Sequence[Cell], runs: Sequence[RunDirectory]) -> None:
    """Refuse a budget that is too short for runs to get further in it.

    Raises:
        UserError: It is under `LEAST_MINUTES`, the time between two checkpoints, or what a run is known to need.
    """
    given = f"--budget is {budget.minutes:g} minutes"
    if budget.minutes < LEAST_MINUTES:
        raise UserError(f"{given}; allowed: {LEAST_MINUTES:g} or more, to start, train some steps and save them")
    for cell, run in zip(cells, runs, strict=True):
        interval = cell.config.trainer.checkpoint_every_n_minutes
        if nothing_to_do(run, cell.config):
            continue
        if interval is not None and budget.minutes < interval:
            raise UserError(
                f"{given}, and {interval:g} lie between checkpoints (trainer.checkpoint_every_n_minutes of "
                f"{cell.label} seed {cell.seed}), so that a call that is killed could leave nothing; "
                f"give --budget {interval:g} or more, or --trainer.checkpoint_every_n_minutes {budget.minutes / 3:.1g}"
            )
        needed = 2 * sum(known_stop(run, here=True).values()) / 60
        if budget.minutes < needed:
            raise UserError(
                f"{given}, and {cell.label} seed {cell.seed} takes up to {needed / 2:.2g} for an evaluation and a "
                f"checkpoint alone; give {needed:.2g} or more"
            )


def run_study(
    cells: Sequence[Cell], *, stack: int | None = None, again: bool = False, ends: float = math.inf
) -> list[Cell]:
    """Run every cell in turn, here; go on after a failure.

    Args:
        cells: What to run.
        stack: Train up to so many as one, where they differ in seeds and rates alone.
        again: Run finished cells anew.
        ends: When all has to be over, by `time.monotonic`. None begins shortly before.

    Returns:
        The cells that failed (their tracebacks have been printed).

    Raises:
        Interrupted: When asked to stop, or there is no time for the rest; what is at hand has its checkpoint.
        CannotSave: The disk is full: the others could not save either.
        UserError: For a mistake that shows in the first cell: most likely it is that of all; one that shows later is
            told, and the others go on. For a stack also if no two cells can be stacked.
    """
    failed: list[Cell] = []
    parts = [[cell] for cell in cells] if stack is None else stacks(cells, stack)
    for number, part in enumerate(parts, 1):
        label = _label(part, number, len(parts))
        _require_time(part, label, again=again, ends=ends)
        configs = [cell.config for cell in part]
        try:
            if len(part) == 1:
                outcomes = [start(configs[0], again=again, label=label, ends=ends)]
            else:
                outcomes = start_stack(configs, again=again, label=label, ends=ends)
        except (Interrupted, CannotSave):
            raise
        except Exception as error:
            if isinstance(error, UserError):
                if number == 1 or several(configs[0]):  # other processes are still at this cell
                    raise
                _say(f"{label}: {error}")
            else:
                traceback.print_exc()
            _say(f"{label}: failed, going on with the next")
            failed += part
            continue
        for cell, outcome in zip(part, outcomes, strict=True):
            if outcome.action == "skipped":
                _say_nothing_to_do(label if len(part) == 1 else f"{cell.label} seed {cell.seed}", outcome.run)
    return failed


def run_at_once(
    cells: Sequence[Cell], jobs: int, *, folder: Path, again: bool = False, ends: float = math.inf
) -> list[Cell]:
    """Run the cells in processes of their own, so many at a time; they share the processors and take the GPUs in turn.

    What a process prints goes to ``FOLDER/logs/LABEL-seedN.log``; here stands when each begins and ends, and twice a
    minute how far those at hand are. Each is told at its start when it has to be over, and stops by itself in time.

    Returns:
        The cells that failed (the ends of their logs have been printed).

    Raises:
        Interrupted: When asked to stop, or there is no time for the rest; every cell at hand has its checkpoint.
        UserError: If the logs cannot be written.
    """
    try:
        (folder / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write '{folder}': {error.strerror}; choose another --runs") from error
    gpus = _gpus()
    running: dict[subprocess.Popen[bytes], Path] = {}
    stopped, cut = threading.Event(), threading.Event()

    def one(numbered: tuple[int, Cell]) -> int:
        number, cell = numbered
        if stopped.is_set():
            return 0
        label, log = _label([cell], number, len(cells)), folder / "logs" / f"{cell.label}-seed{cell.seed}.log"
        run = locate(cell.config, Config())
        if not again and nothing_to_do(run, cell.config):
            _say_nothing_to_do(label, run)
            return 0
        if ends - time.monotonic() < BEGIN_SECONDS:
            cut.set()
            return 0
        configuration = log.with_suffix(".yaml")
        configuration.write_text(to_yaml(cell.config), encoding="utf-8")
        command = [sys.executable, "-m", "repro", "fit", "--config", str(configuration), "--trainer.progress", "lines"]
        if math.isfinite(ends):
            command += ["--budget", f"{(ends - time.monotonic() - _START_SECONDS) / 60:.4f}"]
        share = {"OMP_NUM_THREADS": str(max(1, allowed() // jobs))}
        if gpus:
            share["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*command, *(["--again"] if again else [])],
                env={**os.environ, **share},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a terminal's Ctrl-C reaches this process alone, which hands it on once
            )
            running[process] = log
            _say(f"{label}: begun, see {log}")
            status = process.wait()
            del running[process]
        if status and not stopped.is_set():
            tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
            _say("\n".join([f"{label}: failed with exit status {status}; the end of its log:", *tail]))
        elif not stopped.is_set():
            if not run.ended:
                cut.set()
            _say(f"{label}: {'done' if run.ended else 'stopped, its checkpoint is saved'}")
        return status

    stop = StopRequest(ends + LAST_SECONDS - _GRACE_SECONDS)
    with ThreadPoolExecutor(jobs) as pool, stop.listening():
        futures = [pool.submit(one, numbered) for numbered in enumerate(cells, 1)]
        said: dict[Path, str] = {}
        next_line = time.monotonic() + _SAY_SECONDS
        while not stop and wait(futures, timeout=_LOOK_SECONDS).not_done:
            if time.monotonic() < next_line:
                continue
            next_line = time.monotonic() + _SAY_SECONDS
            for log in list(running.values()):
                if (line := _last_line(log)) != said.get(log):
                    _say(line)
                said[log] = line
        if stop:
            stopped.set()
            told: set[subprocess.Popen[bytes]] = set()
            while wait(futures, timeout=_LOOK_SECONDS if told else 0).not_done:
                for process in set(running) - told:  # one may have begun a moment ago
                    process.send_signal(signal.SIGTERM)  # it saves a checkpoint
                    told.add(process)
            raise Interrupted("stopped, every cell that ran has its checkpoint", signal=stop.signal)
        statuses = [future.result() for future in futures]
    if cut.is_set():
        raise Interrupted("no time for the rest", signal=OUT_OF_TIME)
    return [cell for cell, status in zip(cells, statuses, strict=True) if status]


def _require_time(cells: Sequence[Cell], label: str, *, again: bool, ends: float) -> None:
    if _is_late(ends) and (
        again or any(not nothing_to_do(locate(cell.config, Config()), cell.config) for cell in cells)
    ):
        raise Interrupted(f"no time to begin {label}", signal=OUT_OF_TIME)


def _is_late(ends: float) -> bool:
    """Whether no cell may begin any more; all processes of the one before decide alike."""
    if math.isinf(ends):
        return False
    from repro.training.agreement import Agreement

    return bool(Agreement().highest(int(ends - time.monotonic() < BEGIN_SECONDS))[0])


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if lines else f"{log.stem}: starting"


def _label(part: Sequence[Cell], number: int, parts: int) -> str:
    names = " ".join(dict.fromkeys(cell.label for cell in part))
    seeds = ", ".join(str(cell.seed) for cell in part)
    return f"{names} seed{'s' if len(part) > 1 else ''} {seeds} ({number}/{parts})"


def _say_nothing_to_do(label: str, run: RunDirectory) -> None:
    _say(f"{label}: {run.state['status']} before, nothing to do")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _gpus() -> list[str]:
    """Names of the GPUs that processes may use, as CUDA_VISIBLE_DEVICES has them."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in visible.split(",") if name]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(number) for number in range(listed.count("UUID: GPU"))]
