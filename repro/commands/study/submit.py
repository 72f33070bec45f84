"""`repro study submit`: what is missing, handed to SLURM."""

from __future__ import annotations

from repro.cluster import sbatch, slurm, submission
from repro.cluster.preflight import passes
from repro.commands.options import option
from repro.commands.slurm.jobs import OnSlurm
from repro.commands.study.part import Part
from repro.importing import trust_flags
from repro.studies import manifest
from repro.text import shell


class Submit(Part, OnSlurm):
    """A request to hand a study's runs to SLURM."""

    max_parallel: int | None = option(
        "runs at the same time (default: as many as fit)", default=None, metavar="K", least=1
    )


def submit(request: Submit) -> int:
    """Submit the runs of a study that are neither finished nor on their way."""
    resources = request.resources()
    study, cells, folder = request.study, request.cells, request.folder
    fine = passes(request.preflight(slurm.seconds(resources.time)))
    if not fine and not request.dry_run:
        return 1
    # What is wrong may keep a run from having a name: the scripts of all are shown then.
    names = [cell.resolved.directory.name for cell in cells] if fine else []
    chosen = submission.missing(cells, names, folder) if fine else list(range(len(cells)))
    if not chosen:
        print(f"nothing to submit: all {len(cells)} runs are finished, running or queued (repro study status)")
        return 0
    arguments = [request.name, *request.typed, *trust_flags()]
    if study.runs_of is None and not request.dry_run:
        command = shell("repro", "study", "run", *arguments)
        manifest.write(folder, manifest.content(study.at(request.preset, command), cells, names))
    arrays = submission.jobs(
        folder, arguments, {number: cells[number] for number in chosen}, resources, at_once=request.max_parallel
    )
    for job, parts in arrays:
        print(f"\n{sbatch.text(job)}")
        if request.dry_run:
            would = "would submit" if fine else "would not submit, as a check fails,"
            print(f"{would} {len(parts)} of {len(cells)} runs")
            continue
        number = submission.submit(job, folder, {part: names[part] for part in parts})
        print(f"submitted job {number}: {len(parts)} of {len(cells)} runs; logs in {folder}/logs")
    return 0 if fine else 1
