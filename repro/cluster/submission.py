"""Runs as SLURM jobs, studies as arrays: what is missing, and handing it over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from repro.cluster import sbatch, scripts, slurm
from repro.errors import refusing
from repro.records import append_lines, form, now
from repro.studies.match import match
from repro.studies.study import StudyCell
from repro.text import ranges

RECORD = "submitted.jsonl"
"""Which job has which runs: one line a submission, in the study's folder."""
ALONE = "N/A"
"""In place of an array's task, as squeue prints it."""


def queued(folder: Path) -> set[str]:
    """Folder names of a study's runs that wait or run in a job submitted earlier."""
    record = list(form.lines(folder / RECORD, {"job": str, "runs": dict}))
    if not record:
        return set()
    alive = set(slurm.call("squeue", "--noheader", "--array", "--format=%F_%K").split())
    return {run for line in record for task, run in line["runs"].items() if f"{line['job']}_{task}" in alive}


def missing(cells: Sequence[StudyCell], names: Sequence[str], folder: Path) -> list[int]:
    """Numbers of the study's runs, with these folder names, that are neither ended, nor running, nor queued."""
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
    resources: sbatch.Resources,
    *,
    at_once: int | None = None,
) -> list[tuple[sbatch.Job, list[int]]]:
    """The arrays that run these of a study's runs, one for each layout of nodes and devices, with the runs' numbers.

    `at_once` is how many may run at once; None: as many as there is room for.
    """
    layouts: dict[scripts.Layout, list[int]] = {}
    for number, cell in sorted(cells.items()):
        layouts.setdefault(scripts.layout(cell.config), []).append(number)
    return [
        (
            scripts.study(
                folder.name,
                arguments,
                array=ranges(chosen, "-", ",") + ("" if at_once is None else f"%{at_once}"),
                output=f"{slurm.log_pattern(folder)}/logs/slurm-%A_%a.out",
                where=where,
                resources=resources,
            ),
            chosen,
        )
        for where, chosen in layouts.items()
    ]


def submit(job: sbatch.Job, folder: Path, runs: Mapping[int | str, str]) -> str:
    """Hand a script to SLURM, and record the folder names of its runs, by number in its array or `ALONE`.

    Returns SLURM's number of the job. `UserError` if SLURM refuses or the folder cannot be written.
    """
    with refusing(f"cannot write '{folder}'", "choose another --runs"):
        (folder / "logs").mkdir(parents=True, exist_ok=True)
    number = slurm.submit(sbatch.text(job))
    append_lines(folder / RECORD, [{"job": number, "submitted": now(), "runs": runs}])
    return number
