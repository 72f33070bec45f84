"""`repro study submit`: what is missing, handed to SLURM."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from repro.cluster import sbatch, submission
from repro.cluster.preflight import passes
from repro.commands.options import option
from repro.commands.study.part import Part
from repro.errors import UserError
from repro.importing import trusted
from repro.studies import manifest
from repro.text import shell


class Submit(Part):
    """A request to hand a study's runs to SLURM."""

    max_parallel: int | None = option("runs at the same time (default: as many as fit)", default=None, metavar="K")
    partition: str | None = option("SLURM's partition", default=None)
    time: str | None = option(f"time limit of one job (default: {sbatch.STUDY.time})", default=None)
    dry_run: bool = option("show the scripts; write and submit nothing", default=False)
    further: tuple[str, ...] = option(
        "further option: --sbatch=--account=physics",
        default=(),
        flag="--sbatch",
        action="append",
        metavar="OPTION",
    )


def submit(request: Submit) -> int:
    """Submit the runs of a study that are neither finished nor on their way.

    Raises:
        UserError: A wrong option, or SLURM refuses.
    """
    if request.max_parallel is not None and request.max_parallel < 1:
        raise UserError(f"--max-parallel is {request.max_parallel}; allowed: 1 or more")
    extra = _of_sbatch(request.further)
    limit = submission.seconds(request.time or sbatch.STUDY.time)
    study, cells, folder = request.study, request.cells, request.folder
    if not passes(request.preflight(limit)):
        return 1
    names = [cell.resolved.directory.name for cell in cells]
    chosen = submission.missing(cells, names, folder)
    if not chosen:
        print(f"nothing to submit: all {len(cells)} runs are finished or on their way (repro study status)")
        return 0
    arguments = [
        request.name,
        *request.size,
        *(["--runs", request.runs] if request.runs != "runs" else []),
        *(["--trust", ",".join(names_trusted)] if (names_trusted := trusted()) else []),
    ]
    if study.runs_of is None and not request.dry_run:
        command = shell("repro", "study", "run", *arguments)
        manifest.write(folder, manifest.content(study.at(request.preset, command), cells, names))
    arrays = submission.jobs(
        folder,
        arguments,
        {number: cells[number] for number in chosen},
        at_once=request.max_parallel,
        time=request.time,
        partition=request.partition,
        extra=extra,
    )
    for job, parts in arrays:
        print(f"\n{sbatch.text(job)}")
        if request.dry_run:
            print(f"would submit {len(parts)} of {len(cells)} runs")
            continue
        number = submission.submit(job, folder, {part: names[part] for part in parts})
        print(f"submitted job {number}: {len(parts)} of {len(cells)} runs; logs in {folder}/logs")
    return 0


def _of_sbatch(texts: Sequence[str]) -> list[str]:
    """Further options of sbatch, each a word; several may stand in one --sbatch, quoted as for a shell."""
    words = []
    for text in texts:
        try:
            words += shlex.split(text)
        except ValueError as error:
            raise UserError(f"--sbatch is '{text}', which cannot be split into words: {error}") from error
    for word in words:
        if not word.startswith("--"):
            raise UserError(f"--sbatch is '{word}'; allowed: options of sbatch, such as --sbatch=--account=physics")
    return words
