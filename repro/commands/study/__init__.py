"""`repro study`: the papers' artefacts planned, run, followed and reported."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from repro.commands.options import Action, Request, command_parser, option
from repro.commands.study.forecast import Forecasting, forecast
from repro.commands.study.part import Part
from repro.commands.study.plan import Plan, plan, status
from repro.commands.study.run import Report, Run, report, run
from repro.commands.study.submit import Submit, submit
from repro.errors import Damaged, UserError, leave_out
from repro.records import keep
from repro.studies.files import load, names
from repro.studies.match import match
from repro.studies.plan import RESULTS
from repro.text import shell

EXAMPLES = ("list", "plan oyedotun-table2 --measure", "run oyedotun-linear --budget 50", "status oyedotun-linear")


class _Keep(Part):
    results: Path = option("folder of kept records", default=RESULTS)


def lines() -> list[str]:
    """A line on every study that there is."""
    studies = map(load, names())
    return [f"{study.name:20} {study.where}: {study.title} [{', '.join(study.presets)}]" for study in studies]


def _list(_request: Request) -> int:
    print("\n".join(lines()))
    return 0


def _keep(request: _Keep) -> int:
    kept = [run for run in match(request.cells, request.folder)[0] if run is not None and run.ended]
    if not kept:
        command = shell("repro", "study", "status", request.name)
        raise UserError(f"'{request.folder}' has no finished run of this study; {command} lists them")
    for directory in kept:
        target = request.results / request.folder.name / directory.name
        try:
            print(f"{target}: {keep(directory, target) / 1e6:.2f} MB")
        except Damaged as error:  # one must not keep the others from being kept
            leave_out(error)
    return 0


_ACTIONS = {
    "list": Action(Request, _list, "list the studies"),
    "plan": Action(Plan, plan, "list the runs with their commands and expected cost"),
    "run": Action(Run, run, "run what is missing on this machine, then write the report"),
    "submit": Action(Submit, submit, "check this machine, then submit what is missing to SLURM"),
    "status": Action(Part, status, "list which runs are done, running, failed or missing, and how long the rest takes"),
    "report": Action(Report, report, "write tables, figures and verdicts of what has been run"),
    "forecast": Action(Forecasting, forecast, "test whether the first readings of kept runs predict which runs train"),
    "keep": Action(_Keep, _keep, "copy the records of finished runs, without checkpoints, into results/"),
}
parser = partial(command_parser, examples=EXAMPLES, actions=_ACTIONS)
