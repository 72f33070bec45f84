"""A study's report as a W&B artifact: its summary table, figures and page, a version for each state of the study."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro import waiting
from repro.errors import UserError
from repro.records import MANIFEST, find_runs
from repro.tracking.wandb_description import Description, manifest, tags
from repro.tracking.wandb_names import artifact_name, fitted, without_places
from repro.tracking.wandb_service import Service, place

_DIGEST = "report/digest"


def studies(paths: Sequence[Path]) -> list[Path]:
    """The folders of studies at or below the given paths that have runs; a run directory is not one."""
    folders = {
        file.parent for path in paths for file in ([] if (path / "config.yaml").is_file() else path.rglob(MANIFEST))
    }
    return sorted(folder for folder in folders if find_runs([folder]))


@dataclass(frozen=True, kw_only=True)
class StudyReport:
    """A study's report beside what W&B has of it."""

    folder: Path
    description: Description
    entity: str
    project: str
    files: Mapping[str, bytes]
    """The report's files by name."""
    digest: str
    outdated: bool
    """Whether W&B lacks it."""

    @property
    def artifact(self) -> str:
        """The artifact's name."""
        return artifact_name(f"study-{self.folder.resolve().name}")


def study_report(
    folder: Path, service: Service | None, *, project: str | None = None, entity: str | None = None
) -> StudyReport:
    """The report of a study as its records are now; without a service nobody asks what W&B has.

    Project and entity (user or team) are by default those of the study's runs. `UserError` if the records cannot be
    read, W&B has no such project, cannot be reached or refuses.
    """
    from repro.config import load
    from repro.report.build import files
    from repro.report.sources import sections

    for run in find_runs([folder]):
        with suppress(UserError):  # damaged: the report says so
            log, labels = load(run.config_path).log, run.state.get("wandb", {})
            break
    else:
        raise UserError(f"'{folder}' has no run that can be read; its report is not sent")
    project, whose = place(log, labels, project=project, entity=entity)
    entity = whose or (service.entity if service else "?")
    made = files(sections([folder]), pictures=True)
    digest = hashlib.sha256(b"".join(name.encode() + content for name, content in made.items())).hexdigest()
    about = manifest(folder)
    description = Description(
        identifier=hashlib.sha256(f"report/{folder.resolve().name}".encode()).hexdigest()[:8],
        name=fitted(f"{folder.resolve().name} (report)"),
        group=fitted(folder.resolve().name),
        job_type="report",
        tags=tags(about),
        config=without_places({key: value for key, value in about.items() if key != "cells"}),
    )
    summary = (service.run_summary(entity, project, description.identifier) if service else None) or {}
    return StudyReport(
        folder=folder,
        description=description,
        entity=entity,
        project=project,
        files=made,
        digest=digest,
        outdated=summary.get(_DIGEST) != digest,
    )


def send(report: StudyReport) -> None:
    """Log the artifact ``study-NAME`` of type ``study``, from a run of its own in the study's group."""
    import wandb

    from repro.tracking.wandb_run import finish, replaying

    with replaying(report.description, project=report.project, entity=report.entity, of=report.folder) as remote:
        artifact = wandb.Artifact(report.artifact, type="study")
        for name, content in report.files.items():
            with artifact.new_file(name, mode="wb") as file:
                file.write(content)
        artifact.add(summary_table(report.files), "summary")
        waiting.outcome(remote.log_artifact(artifact).wait, "W&B to take the report")
        remote.summary[_DIGEST] = report.digest
        finish(remote, exit_code=0)


def summary_table(files: Mapping[str, bytes]) -> Any:
    """The report's accuracy table, of several the first, as W&B's."""
    import csv

    import wandb

    text = next(content for name, content in files.items() if name.endswith(".csv")).decode()
    rows: list[Any] = list(csv.reader(text.splitlines()))
    return wandb.Table(columns=rows[0], data=rows[1:])
