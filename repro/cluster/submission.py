"""Studies as SLURM arrays: what is missing, and handing it over."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from repro.cluster import sbatch
from repro.errors import UserError, refusing
from repro.records import append_lines, now, read_lines
from repro.studies.match import match
from repro.studies.study import StudyCell
from repro.text import stretches

RECORD = "submitted.jsonl"
"""Which job has which runs: one line a submission, in the study's folder."""
_PATIENCE_SECONDS = 60


def seconds(limit: str) -> float:
    """A time limit of SLURM's in seconds: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS; UNLIMITED.

    Raises:
        UserError: It is none.
    """
    if limit.upper() in ("UNLIMITED", "INFINITE"):
        return float("inf")
    if not re.fullmatch(r"(\d+-)?\d+(:\d+){0,2}", limit):
        raise UserError(f"--time is '{limit}'; allowed: minutes, HH:MM:SS, D-HH:MM:SS, UNLIMITED")
    days, dash, rest = limit.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if not dash and len(parts) < 3:
        parts.insert(0, 0)
    hours, minutes, rest_seconds = [*parts, 0, 0][:3]
    return 86_400.0 * int(days or 0) + 3_600 * hours + 60 * minutes + rest_seconds


def numbers(chosen: Sequence[int]) -> str:
    """Ascending numbers as SLURM writes them: ``0-3,7``."""
    return ",".join("-".join(map(str, ends)) for ends in stretches(chosen))


def _call(*command: str, text: str | None = None) -> str:
    """What one of SLURM's commands prints.

    Raises:
        UserError: It is not there, or refuses.
    """
    # The scripts look `python` up: it is to be this one.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"}
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False, env=environment
        )
    except FileNotFoundError as error:
        raise UserError(f"there is no `{command[0]}` here; submit on a login node of a SLURM cluster") from error
    except subprocess.TimeoutExpired as error:
        raise UserError(f"`{command[0]}` does not answer; is the cluster's controller up? (sinfo)") from error
    if done.returncode:
        raise UserError(f"{command[0]} refuses: {' '.join(done.stderr.split())}")
    return done.stdout


def queued(folder: Path) -> set[str]:
    """Folder names of a study's runs that wait or run in an array submitted earlier.

    Raises:
        UserError: SLURM does not answer.
    """
    record = list(read_lines(folder / RECORD))
    if not record:
        return set()
    alive = set(_call("squeue", "--noheader", "--array", "--format=%F_%K").split())
    return {run for line in record for task, run in line["runs"].items() if f"{line['job']}_{task}" in alive}


def missing(cells: Sequence[StudyCell], names: Sequence[str], folder: Path) -> list[int]:
    """Numbers of the runs that are neither finished, nor running, nor in the queue.

    Args:
        cells: All runs of the study.
        names: The names of their folders.
        folder: The study's.
    """
    waiting = queued(folder)
    runs, _ = match(cells, folder)
    chosen = []
    for number, (name, run) in enumerate(zip(names, runs, strict=True)):
        settled = run is not None and (run.ended or run.holder is not None)
        if not settled and name not in waiting:
            chosen.append(number)
    return chosen


def jobs(
    folder: Path,
    arguments: Sequence[str],
    cells: Mapping[int, StudyCell],
    *,
    at_once: int | None = None,
    time: str | None = None,
    partition: str | None = None,
    extra: Sequence[str] = (),
) -> list[tuple[sbatch.Job, list[int]]]:
    """The arrays that run some of a study's runs: one for each layout of nodes and devices.

    Args:
        folder: The study's folder.
        arguments: Of ``repro study run``.
        cells: The runs by number.
        at_once: How many may run at once; None: as many as there is room for.
        time: Time limit of one life.
        partition: SLURM's.
        extra: Further options of sbatch.

    Returns:
        Each with the numbers of its runs.
    """
    layouts: dict[tuple[int, int, bool], list[int]] = {}
    for number, cell in sorted(cells.items()):
        trainer = cell.config.trainer
        devices = 1 if trainer.devices == "auto" else int(trainer.devices)
        layouts.setdefault((trainer.num_nodes, devices, trainer.accelerator != "cpu"), []).append(number)
    return [
        (
            sbatch.study(
                folder.name,
                arguments,
                array=numbers(chosen) + ("" if at_once is None else f"%{at_once}"),
                output=f"{_pattern(folder)}/logs/slurm-%A_%a.out",
                nodes=nodes,
                devices=devices,
                gpus=gpus,
                time=time,
                partition=partition,
                extra=extra,
            ),
            chosen,
        )
        for (nodes, devices, gpus), chosen in layouts.items()
    ]


def _pattern(folder: Path) -> str:
    """A folder in a file name pattern of SLURM's, where a per cent sign begins a placeholder.

    Raises:
        UserError: It has a backslash, after which SLURM fills in no placeholder.
    """
    if "\\" in str(folder):
        raise UserError(
            f"'{folder}' has a backslash, which SLURM does not take in the names of logs; choose other --runs"
        )
    return str(folder).replace("%", "%%")


def submit(job: sbatch.Job, folder: Path, runs: Mapping[int, str]) -> str:
    """Hand a script to SLURM and record which runs it has.

    Args:
        job: What to submit.
        folder: The study's folder.
        runs: Folder names of its runs by number.

    Returns:
        SLURM's number of the job.

    Raises:
        UserError: SLURM refuses, or the folder cannot be written.
    """
    with refusing(f"cannot write '{folder}'", "choose another --runs"):
        (folder / "logs").mkdir(parents=True, exist_ok=True)
    number = _call("sbatch", "--parsable", text=sbatch.text(job)).strip().partition(";")[0]
    append_lines(folder / RECORD, [{"job": number, "submitted": now(), "runs": runs}])
    return number
