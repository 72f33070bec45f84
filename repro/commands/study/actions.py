"""`repro study`: the papers' artefacts planned, run, followed and reported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from repro.commands.options import Action, Parser, Request, command_parser, option
from repro.commands.study.part import Part
from repro.commands.study.plan import Plan, plan
from repro.commands.study.run import Report, Run, report, run
from repro.commands.study.status import status
from repro.commands.study.submit import Submit, submit
from repro.errors import UserError
from repro.records import keep
from repro.studies.match import match
from repro.studies.plan import RESULTS
from repro.studies.study import load, names
from repro.text import shell

EXAMPLES = ("list", "plan oyedotun-table2 --measure", "run oyedotun-linear --budget 50", "status oyedotun-linear")


@dataclass(frozen=True, kw_only=True)
class Keep(Part):
    """What is kept, and where."""

    results: Path = option("folder to keep them in", default=RESULTS)


def parser() -> Parser:
    """The command's parser."""
    actions = {
        "list": Action("the studies that there are", Request, _list),
        "plan": Action("the runs, their commands, their cost by measured step times", Plan, plan),
        "run": Action("run what is missing here, then report it", Run, run),
        "submit": Action("hand what is missing to SLURM, after a preflight", Submit, submit),
        "status": Action("which runs are done, running, failed, missing; how long the rest takes", Part, status),
        "report": Action("tables, figures and verdicts of what has been run", Report, report),
        "keep": Action("copy the records of finished runs, without checkpoints, into results/", Keep, _keep),
    }
    return command_parser("study", EXAMPLES, actions)


def lines() -> list[str]:
    """A line on every study that there is."""
    studies = map(load, names())
    return [
        f"{each.name:20} {each.paper}, {each.artefact}: {each.title} [{', '.join(each.presets)}]" for each in studies
    ]


def _list(_request: Request) -> int:
    print("\n".join(lines()))
    return 0


def _keep(request: Keep) -> int:
    kept = [run for run in match(request.cells, request.place)[0] if run is not None and run.ended]
    if not kept:
        command = shell("repro", "study", "status", request.name)
        raise UserError(f"'{request.place}' has no finished run of this study; {command} lists them")
    for each in kept:
        target = request.results / request.place.name / each.name
        print(f"{target}: {keep(each, target) / 1e6:.2f} MB")
    return 0
