"""`repro wandb-sync`: records replayed into W&B, from a machine with network."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from repro.commands.options import Action, Request, argument, command_parser, option
from repro.config import require_plain
from repro.errors import Damaged, UserError, leave_out
from repro.records import find_runs, find_studies
from repro.report import wandb_artifact
from repro.tracking import wandb_sync
from repro.tracking.wandb_service import Service

EXAMPLES = ("runs/demo", "runs/single/RUN --project mine --entity team", "runs/demo --dry-run")


class _Sync(Request):
    paths: tuple[Path, ...] = argument(
        "run directories, folders of runs such as a study's, or names of folders in runs/",
        nargs="+",
        metavar="DIR",
        read=lambda texts: tuple(map(_path, texts)),
    )
    project: str | None = option("W&B project (default: each run's own)", default=None)
    entity: str | None = option("W&B user or team (default: each run's own)", default=None)
    dry_run: bool = option("only list what would be sent (all of it, if there is no login)", default=False)

    def __post_init__(self) -> None:
        require_plain(self.project, "--project")
        require_plain(self.entity, "--entity")


def main(request: _Sync) -> int:
    """Send what W&B lacks, a line a run and study."""
    runs = find_runs(request.paths)
    studies = [folder for folder in find_studies(request.paths) if find_runs([folder])]
    if not runs:
        raise UserError(f"no run in {', '.join(map(str, request.paths))}; repro runs list names the runs")
    service = _service(request)
    sent = left_out = 0
    for number, run in enumerate(runs, 1):
        try:
            pending = wandb_sync.pending(run, service, project=request.project, entity=request.entity)
        except Damaged as error:
            leave_out(error)
            left_out += 1
            continue
        live = pending.status == "running" and run.state.get("wandb_live")
        if live or not pending.outdated:
            done = "logs to W&B itself while it trains" if live else "up to date"
        else:
            lost = f" and {len(pending.lost)} charts and tables again" if pending.lost else ""
            done = f"{pending.new} of {len(pending.record)} steps{lost} {'to send' if request.dry_run else 'sent'}"
            sent += 1
            if service and not request.dry_run:
                wandb_sync.send(pending, service)
        where = f"{service.url}/{pending.path}" if service else pending.path
        _say(f"[{number}/{len(runs)}] {run.path}: {done} ({where})")
    for folder in studies:
        report = wandb_artifact.study_report(folder, service, project=request.project, entity=request.entity)
        if report.outdated and not request.dry_run:
            wandb_artifact.send(report)
        done = "up to date" if not report.outdated else "to send" if request.dry_run else "sent"
        _say(f"{folder}: report {done} (artifact {report.entity}/{report.project}/{report.artifact})")
    verb = "would be sent" if request.dry_run else "sent"
    print(f"{len(runs)} runs: {sent} {verb}, {len(runs) - sent - left_out} up to date")
    return 0


def _service(request: _Sync) -> Service | None:
    """W&B, which refuses before anything takes time; of a dry run None, if it cannot be asked what it has."""
    try:
        service = Service()
        _ = service.entity
    except UserError as refusal:
        if not request.dry_run:
            raise
        _say(f"repro: note: {refusal}; it is not known what W&B has, so everything is listed")
        return None
    return service


parser = partial(command_parser, examples=EXAMPLES, actions=Action(_Sync, main))


def _path(text: str) -> Path:
    named = Path("runs") / text
    return named if not Path(text).exists() and named.exists() else Path(text)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
