"""`repro study run` and `repro study report`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from repro.commands.options import option
from repro.commands.starting import Starting
from repro.commands.study.part import Part
from repro.commands.study.plan import together
from repro.errors import UserError
from repro.runs.stop import OUT_OF_TIME, Interrupted
from repro.studies import manifest
from repro.studies.plan import Progress
from repro.studies.study import StudyCell
from repro.text import say, shell

_INTERVAL = "trainer.checkpoint_every_n_minutes"


class Report(Part):
    """A request to report a study's runs."""

    out: Path | None = option("folder for the report (default: report/ in the study's folder)", default=None)


class Run(Part, Starting):
    """A request to run a study's cells."""

    jobs: int | None = option(
        "how many runs train at the same time (default: one on each GPU, or else on each processor)",
        default=None,
        least=1,
    )
    minutes: float | None = option(
        "time between checkpoints, for every run of the study", default=None, flag=f"--{_INTERVAL}", metavar="MINUTES"
    )
    task: int | None = option("run only the run with this number, counted from 0, and make no report", default=None)

    @property
    def settings(self) -> dict[str, Any]:
        """Configuration keys that every run takes in place of its own."""
        return {} if self.minutes is None else {_INTERVAL: self.minutes}


def run(request: Run, *, command: tuple[str, ...] = ()) -> int:
    """Run what is missing, and report it as made by a command; `Interrupted` when asked to stop, with checkpoints."""
    if request.again and math.isfinite(request.budget.minutes):
        raise UserError(
            "with --again every call starts from the beginning, so that --budget never finishes; give one of the two"
        )
    if request.task is not None:
        return _run_task(request, request.task)
    from repro.distributed.processes import is_first_rank
    from repro.tracking.wandb_environment import sweep_run

    if sweep_run():
        raise UserError("an agent of W&B's starts one run at a time, not a study; repro sweep writes what it takes")
    typed = made_by(request, *command)
    try:
        failed = _run(request, typed)
    except Interrupted as reason:
        if reason.signal != OUT_OF_TIME or not is_first_rank():
            raise
        return _used_up(request)
    if not is_first_rank():
        return 0
    _report(request, typed, None)
    for cell in failed:
        say(f"{cell.label} seed {cell.seed} failed; the end of its log is above")
    return 1 if failed else 0


def report(request: Report) -> int:
    """Report what has been run."""
    _report(request, made_by(request), request.out)
    return 0


def made_by(request: Part, *command: str) -> str:
    """The command that makes the runs, as it is typed."""
    return shell(*(command or ("repro", "study", "run", request.name)), *request.typed)


def _report(request: Part, command: str, out: Path | None) -> None:
    from repro.report.build import write
    from repro.report.sources import of_cells

    study = request.study
    section = of_cells(study, request.preset, request.cells, [request.folder], command=command)
    own = request.folder / ("report" if study.runs_of is None else f"report-{study.name}")
    page = write([section], out or own)
    print((page.parent / "tables.md").read_text(encoding="utf-8"))
    print(f"report: {page}")


def _used_up(request: Run) -> int:
    """Say how far the runs are at the end of a budget; returns the exit status."""
    states = request.progress()
    done = f"{sum(state.run is not None and state.run.ended for state in states)} of {len(states)} runs are done"
    say(
        f"the budget of {request.budget.minutes:g} minutes is used up: {done} ({together(states)}); "
        "the same command continues"
    )
    return 1 if any(state.status == "failed" for state in states) else 0


def _run(request: Run, command: str) -> list[StudyCell]:
    """Run the cells that are missing; returns those that failed."""
    from repro.studies.at_once import AtOnce, sensible_jobs
    from repro.studies.runner import require_useful, run_study

    study, cells, folder = request.study, request.cells, request.folder
    runs = [cell.resolved.directory for cell in cells]  # refuses what cannot be run before anything runs
    require_useful(request.budget, cells)
    if study.runs_of is None:
        manifest.write(folder, manifest.content(study.at(request.preset, command), cells, [run.name for run in runs]))
    missing = [run for run in runs if request.again or not run.has_result]
    jobs = min(request.jobs or sensible_jobs(), len(missing))  # the threads are shared by these
    if jobs > 1:
        ordered = longest_first(request)
        return AtOnce(ordered, jobs, folder=folder, again=request.again, ends=request.budget.ends).run()
    return run_study(cells, again=request.again, ends=request.budget.ends)


def longest_first(request: Part) -> list[StudyCell]:
    """The cells with what has begun first, then the first seed of every cell, and of these the longest.

    So a picture of all is there early, and no long run is alone at the end. Those of which nothing is known count as
    long.
    """
    ranks: dict[str, int] = {}

    def begins(state: Progress) -> tuple[bool, int, float]:
        rank = ranks[state.cell.label] = ranks.get(state.cell.label, -1) + 1
        return state.run is None, rank, -math.inf if state.remaining is None else -state.remaining

    return [state.cell for state in sorted(request.progress(), key=begins)]


def _run_task(request: Run, task: int) -> int:
    """Run one of a study's runs, by its number, without the report: a task of an array."""
    from repro.studies.runner import require_useful, run_study

    if not 0 <= task < len(request.cells):
        raise UserError(f"--task is {task}; the study has runs 0 to {len(request.cells) - 1}")
    cell = request.cells[task]
    require_useful(request.budget, [cell])
    return 1 if run_study([cell], again=request.again, ends=request.budget.ends) else 0
