"""`repro study submit`, a single task of what it submits, and `repro doctor`."""

from __future__ import annotations

import argparse
import math
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from repro.cluster import sbatch, submission
from repro.cluster.preflight import Check, preflight
from repro.config import parse
from repro.errors import UserError
from repro.importing import trusted
from repro.studies import manifest
from repro.studies.match import match
from repro.studies.plan import RESULTS, progress, rates
from repro.studies.study import Study, StudyCell, load
from repro.text import shell


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``repro study submit`` beside the study's."""
    parser.add_argument(
        "--max-parallel", type=int, metavar="K", help="runs at once (default: as many as there is room)"
    )
    parser.add_argument("--partition", help="SLURM's partition")
    parser.add_argument("--time", help=f"time limit of one life of a run (default: {sbatch.STUDY.time})")
    parser.add_argument("--dry-run", action="store_true", help="show the scripts; write and submit nothing")
    parser.add_argument(
        "--sbatch", action="append", default=[], metavar="OPTION", help="further option: --sbatch=--account=physics"
    )


def submit(study: Study, given: argparse.Namespace) -> int:
    """Submit the runs of a study that are neither finished nor on their way.

    Raises:
        UserError: A wrong option, or SLURM refuses.
    """
    if given.max_parallel is not None and given.max_parallel < 1:
        raise UserError(f"--max-parallel is {given.max_parallel}; allowed: 1 or more")
    extra = _of_sbatch(given.sbatch)
    limit = submission.seconds(given.time or sbatch.STUDY.time)
    cells = cells_of(study, given)
    place = Path(given.runs) / study.folder(given.preset)
    if not _passes(preflight([cell.config for cell in cells], limit=limit, longest=_longest(cells, place))):
        return 1

    names = [cell.resolved.directory.name for cell in cells]
    chosen = submission.missing(cells, names, place)
    if not chosen:
        print(f"nothing to submit: all {len(cells)} runs are finished or on their way (repro study status)")
        return 0
    arguments = [
        given.name,
        *(["--preset", given.preset] if given.preset else []),
        *(["--seed", *map(str, given.seed)] if given.seed else []),
        *(["--runs", given.runs] if given.runs != "runs" else []),
        *(["--trust", ",".join(names_trusted)] if (names_trusted := trusted()) else []),
    ]
    if study.runs_of is None and not given.dry_run:
        command = shell("repro", "study", "run", *arguments)
        manifest.write(place, manifest.content(study.at(given.preset, command), cells, names))
    arrays = submission.jobs(
        place,
        arguments,
        {number: cells[number] for number in chosen},
        at_once=given.max_parallel,
        time=given.time,
        partition=given.partition,
        extra=extra,
    )
    for job, parts in arrays:
        print(f"\n{sbatch.text(job)}")
        if given.dry_run:
            print(f"would submit {len(parts)} of {len(cells)} runs")
            continue
        number = submission.submit(job, place, {part: names[part] for part in parts})
        print(f"submitted job {number}: {len(parts)} of {len(cells)} runs; logs in {place}/logs")
    return 0


def _of_sbatch(given: Sequence[str]) -> list[str]:
    """Further options of sbatch, each a word; several may stand in one --sbatch, quoted as for a shell."""
    words = []
    for text in given:
        try:
            words += shlex.split(text)
        except ValueError as error:
            raise UserError(f"--sbatch is '{text}', which cannot be split into words: {error}") from error
    for word in words:
        if not word.startswith("--"):
            raise UserError(f"--sbatch is '{word}'; allowed: options of sbatch, such as --sbatch=--account=physics")
    return words


def cells_of(study: Study, given: argparse.Namespace) -> list[StudyCell]:
    """The study's runs as the command line asks for them."""
    key = "trainer.checkpoint_every_n_minutes"
    minutes = getattr(given, key, None)
    settings = {} if minutes is None else {key: minutes}
    return study.cells(given.preset, seeds=given.seed, runs=given.runs, settings=settings)


def _longest(cells: Sequence[StudyCell], place: Path) -> float | None:
    found, _ = match(cells, place)
    remaining = [each.remaining for each in progress(cells, found, rates([RESULTS, place.parent]))]
    known = [seconds for seconds in remaining if seconds is not None]
    return max(known) if known and math.isfinite(max(known)) else None


def _passes(checks: Iterable[Check]) -> bool:
    """Print each check; whether all are fine."""
    fine = True
    for each in checks:
        print(each, flush=True)
        fine = fine and each.ok
    return fine


def run_task(study: Study, given: argparse.Namespace) -> int:
    """Run one of a study's runs, by its number, without the report: a task of an array.

    Raises:
        UserError: There is no such run, or it cannot be run.
        Interrupted: When asked to stop, or the budget is used up; it has its checkpoint.
    """
    from repro.studies.runner import require_useful, run_study

    cells = cells_of(study, given)
    if not 0 <= given.task < len(cells):
        raise UserError(f"--task is {given.task}; the study has runs 0 to {len(cells) - 1}")
    cell = cells[given.task]
    require_useful(given.budget, [cell])
    return 1 if run_study([cell], again=given.again, ends=given.budget.ends) else 0


def doctor(arguments: Sequence[str], parser: argparse.ArgumentParser) -> int:
    """Run ``repro doctor [STUDY | --config FILE ...]``."""
    if arguments and not arguments[0].startswith("-"):
        parser.add_argument("study", help="a study's name, or the path of a .yaml file")
        parser.add_argument("--preset", help="size; default: the study's first")
        parser.add_argument("--runs", default="runs", help="folder of all run directories (default: runs)")
        parser.add_argument("--time", help="time limit of one life, as sbatch takes it")
        given = parser.parse_args(arguments)
        limit = submission.seconds(given.time) if given.time else None
        study = load(given.study)
        cells = study.cells(given.preset, runs=given.runs)
        place = Path(given.runs) / study.folder(given.preset)
        checks = preflight([cell.config for cell in cells], limit=limit, longest=_longest(cells, place))
    else:
        checks = preflight([parse(arguments, command="doctor")[0]])
    return 0 if _passes(checks) else 1
