"""`repro study`: the papers' artefacts planned, run, followed and reported."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from repro.commands import submit
from repro.errors import UserError
from repro.records import keep
from repro.runs.budget import Budget
from repro.runs.stop import OUT_OF_TIME, Interrupted
from repro.runs.validation import check_names
from repro.studies import manifest
from repro.studies.match import match
from repro.studies.plan import RESULTS, Progress, Rate, duration, kind, progress, rates, remember
from repro.studies.study import Study, StudyCell, load, names
from repro.text import shell


def main(arguments: Sequence[str], parser: argparse.ArgumentParser) -> int:
    """Run ``repro study ACTION ...``."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="list|plan|run|submit|status|report|keep")
    commands.add_parser("list", help="the studies that there are", allow_abbrev=False)
    texts = {
        "plan": "the runs, their commands, their cost by measured step times",
        "run": "run what is missing here, then report it",
        "submit": "hand what is missing to SLURM, after a preflight",
        "status": "which runs are done, running, failed, missing; how long the rest takes",
        "report": "tables, figures and verdicts of what has been run",
        "keep": "copy the records of finished runs, without checkpoints, into results/",
    }
    for action, text in texts.items():
        sub = commands.add_parser(action, help=text, allow_abbrev=False)
        sub.add_argument("name", help="a study's name, or the path of a .yaml file")
        sub.add_argument("--preset", help="size; default: the study's first")
        sub.add_argument("--seed", type=int, nargs="+", help="seeds in place of the preset's")
        sub.add_argument("--runs", default="runs", help="folder of all run directories (default: runs)")
        if action == "run":
            sub.add_argument("--again", action="store_true", help="run finished cells anew")
            sub.add_argument(
                "--jobs",
                type=int,
                help="cells at once, in processes (default: one for each GPU, else for each processor; 1: in this one)",
            )
            sub.add_argument(
                "--budget",
                type=Budget.of,
                default=Budget(),
                metavar="MINUTES",
                help="stop in time, with checkpoints; the same command goes on, here or where the runs are copied to",
            )
            sub.add_argument(
                "--trainer.checkpoint_every_n_minutes",
                type=float,
                metavar="M",
                help="of every run, in place of its own",
            )
            sub.add_argument("--task", type=int, help="run only this one, counted from 0, without the report")
        if action == "submit":
            submit.add_options(sub)
        if action == "plan":
            sub.add_argument("--measure", action="store_true", help="time some steps here where no run has told")
        if action == "report":
            sub.add_argument("--out", type=Path, help="folder for the report (default: report/ in the study's folder)")
        if action == "keep":
            sub.add_argument("--results", type=Path, default=RESULTS, help="folder to keep them in (default: results)")
    given = parser.parse_args(arguments)
    if given.action == "list":
        return _list()
    study = load(given.name)
    if given.action == "submit":
        return submit.submit(study, given)
    if given.action == "run" and given.again and math.isfinite(given.budget.minutes):
        raise UserError("--again begins anew with every call and --budget goes on with the next; give one of the two")
    if given.action == "run" and given.task is not None:
        return submit.run_task(study, given)
    if given.action in ("run", "report"):
        return report_or_run(
            study, given, run=given.action == "run", command=shell("repro", "study", "run", given.name)
        )
    cells = submit.cells_of(study, given)
    place = Path(given.runs) / study.folder(given.preset)
    if given.action == "plan":
        return _plan(study, given, cells, place)
    if given.action == "status":
        return _status(cells, place, Path(given.runs))
    return _keep(given, cells, place)


def _list() -> int:
    for name in names():
        each = load(name)
        print(f"{name:20} {each.paper}, {each.artefact}: {each.title} [{', '.join(each.presets)}]")
    return 0


def _plan(study: Study, given: argparse.Namespace, cells: Sequence[StudyCell], place: Path) -> int:
    for cell in cells:
        check_names(cell.config)
    found, _ = match(cells, place)
    folders = [RESULTS, Path(given.runs)]
    planned = progress(cells, found, rates(folders))
    if given.measure:
        _measure(planned, Path(given.runs))
        planned = progress(cells, found, rates(folders))
    for each in planned:
        pace = f"{each.rate.seconds:.3g} s each on {each.rate.device}" if each.rate else ""
        left = f"{duration(each.remaining)} left" if each.remaining is not None else "time not known"
        print(f"{_name(each):40} {each.status:12} {each.steps:>9,} steps  {left:>14}  {pace}".rstrip())
    known = [each.remaining for each in planned if each.remaining is not None]
    unknown = len(planned) - len(known)
    size = study.preset(given.preset)
    more = (
        f", and {unknown} runs whose step time is not known from any run in '{given.runs}' or '{RESULTS}'"
        f"{'' if given.measure else '; --measure times some steps of each kind here'}"
    )
    some = math.fsum(known) or not unknown
    time_left = f"{duration(math.fsum(known))} of device time left" if some else "device time left: not known"
    print(f"{len(planned)} runs, {time_left}{more if unknown else ''}")
    print(f"cost as stated by the study: {size.cost or 'not stated'}")
    usages = [each.run.disk_usage() for each in planned if each.run is not None]
    checkpoints = [
        each.rate.checkpoint * each.cell.config.trainer.keep_checkpoints
        for each in planned
        if each.rate is not None and each.rate.checkpoint
    ]
    if usages:
        print(f"disk: {sum(usages) / len(usages) * len(planned) / 1e6:,.0f} MB, by the runs that there are")
    elif checkpoints:
        print(f"disk: {sum(checkpoints) / len(checkpoints) * len(planned) / 1e6:,.0f} MB of checkpoints")
    else:
        print("disk: not known; --measure looks at what a checkpoint of each kind takes")
    for line in size.reductions:
        print(f"reduced: {line}")
    options = ["--preset", given.preset] if given.preset else []
    print(f"run all: {shell('repro', 'study', 'run', given.name, *options, '--runs', given.runs)}")
    return 0


def _measure(planned: Sequence[Progress], runs: Path) -> None:
    """Time some steps of every kind of run of which nothing is known, and remember that."""
    from repro.runs.step_timing import time_run

    unknown = {kind(each.cell.config): each for each in planned if each.remaining is None}
    for number, each in enumerate(unknown.values(), 1):
        print(f"timing {_name(each)} ({number}/{len(unknown)})", file=sys.stderr, flush=True)
        try:
            remember(runs, each.cell.config, Rate(*time_run(each.cell.config, each.steps)))
        except UserError as error:
            print(f"repro: {_name(each)} cannot be timed: {error}", file=sys.stderr)


def _name(each: Progress) -> str:
    return f"{each.cell.label} seed {each.cell.seed}"


def _status(cells: Sequence[StudyCell], place: Path, runs: Path) -> int:
    found, strays = match(cells, place)
    kept, _ = match(cells, RESULTS / place.name)
    states = progress(cells, found, rates([RESULTS, runs]))
    for each, record in zip(states, kept, strict=True):
        share = f"{100 * each.step / each.steps:.0f} %" if each.steps else ""
        left = "time not known" if each.remaining is None else f"{duration(each.remaining)} left"
        left = "" if each.remaining == 0 else left
        more = each.run.state.get("reason", "") if each.run is not None and each.status == "failed" else ""
        if each.run is None and record is not None:
            more = f"an earlier run's record: {record.path}"
        print(f"{_name(each):40} {each.status:12} {share:>6}  {left:>14}  {more}".rstrip())
    print(_together(states))
    damaged = [stray for stray in strays if stray.run.damage]
    for stray in strays:
        if stray in damaged:
            print(f"repro: {stray.difference}", file=sys.stderr)
        else:
            print(f"no longer part of the study: {stray.run.path}: {stray.difference}")
    return 2 if damaged else 0


def _together(states: Sequence[Progress]) -> str:
    counts = Counter(each.status for each in states)
    remaining = [each.remaining for each in states]
    known = math.fsum(seconds for seconds in remaining if seconds is not None)
    whole = ", ".join(f"{number} {status}" for status, number in counts.items())
    if None not in remaining:
        return f"{whole}; {duration(known)} left"
    return f"{whole}; {f'{duration(known)} left and more that is not known' if known else 'time left: not known'}"


def _used_up(budget: Budget, cells: Sequence[StudyCell], place: Path, runs: Path) -> int:
    """Say how far the runs are at the end of a budget; returns the exit status."""
    states = progress(cells, match(cells, place)[0], rates([RESULTS, runs]))
    done = f"{sum(each.run is not None and each.run.ended for each in states)} of {len(states)} runs are done"
    print(
        f"repro: the budget of {budget.minutes:g} minutes is used up: {done} ({_together(states)}); "
        "the same command goes on from there",
        file=sys.stderr,
    )
    return 1 if any(each.status == "failed" for each in states) else 0


def report_or_run(study: Study, given: argparse.Namespace, *, run: bool, command: str) -> int:
    """Run a study's cells if asked, then write its report and print its tables."""
    from repro.distributed.processes import is_first_rank
    from repro.report.build import write
    from repro.report.sources import of_cells

    seeds = f" --seed {' '.join(map(str, given.seed))}" if given.seed else ""
    preset = f" --preset {shlex.quote(given.preset)}" if given.preset else ""
    made_by = f"{command}{preset}{seeds}{'' if given.runs == 'runs' else f' --runs {shlex.quote(given.runs)}'}"
    cells = submit.cells_of(study, given)
    place = Path(given.runs) / study.folder(given.preset)
    try:
        failed = _run(study, given, cells, place, made_by) if run else []
    except Interrupted as reason:
        if reason.signal != OUT_OF_TIME or not is_first_rank():
            raise
        return _used_up(given.budget, cells, place, Path(given.runs))
    if not is_first_rank():
        return 0
    section = of_cells(study, given.preset, cells, [place], command=made_by)
    own = place / ("report" if study.runs_of is None else f"report-{study.name}")
    page = write([section], getattr(given, "out", None) or own)
    print((page.parent / "tables.md").read_text(encoding="utf-8"))
    print(f"report: {page}")
    for cell in failed:
        print(f"repro: {cell.label} seed {cell.seed} failed; the end of its log is above", file=sys.stderr)
    return 1 if failed else 0


def _run(
    study: Study, given: argparse.Namespace, cells: Sequence[StudyCell], place: Path, command: str
) -> list[StudyCell]:
    from repro.config import Config
    from repro.runs.start import locate
    from repro.studies.at_once import AtOnce, sensible_jobs
    from repro.studies.runner import require_useful, run_study

    if given.jobs is not None and given.jobs < 1:
        raise UserError(f"--jobs is {given.jobs}; allowed: 1 or more")
    runs = [locate(cell.config, Config()) for cell in cells]  # refuses what cannot be run before anything runs
    require_useful(given.budget, cells, runs)
    if study.runs_of is None:
        manifest.write(place, manifest.content(study, given.preset, cells, [run.name for run in runs], command))
    missing = [run for run, cell in zip(runs, cells, strict=True) if given.again or not run.ended]
    jobs = given.jobs or min(sensible_jobs(), len(missing))
    if jobs > 1:
        cells = _longest_first(cells, place, Path(given.runs))
        return AtOnce(cells, jobs, folder=place, again=given.again, ends=given.budget.ends).run()
    return run_study(cells, again=given.again, ends=given.budget.ends)


def _longest_first(cells: Sequence[StudyCell], place: Path, runs: Path) -> list[StudyCell]:
    """So that at the end no long one runs alone; what has begun goes on before anything else begins.

    Those of which nothing is known count as long.
    """
    found, _ = match(cells, place)
    known = progress(cells, found, rates([RESULTS, runs]))
    order = sorted(known, key=lambda each: (each.run is None, -math.inf if each.remaining is None else -each.remaining))
    return [each.cell for each in order]


def _keep(given: argparse.Namespace, cells: Sequence[StudyCell], place: Path) -> int:
    found, _ = match(cells, place)
    kept = [run for run in found if run is not None and run.ended]
    if not kept:
        raise UserError(
            f"'{place}' has no finished run of this study; {shell('repro', 'study', 'status', given.name)} lists them"
        )
    for run in kept:
        target = given.results / place.name / run.name
        size = keep(run, target)
        print(f"{target}: {size / 1e6:.2f} MB")
    return 0
