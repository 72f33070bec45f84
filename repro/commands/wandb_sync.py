"""`repro wandb-sync`: records replayed into W&B, from a machine with network."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from repro.errors import UserError
from repro.records import find_runs
from repro.report import wandb_artifact
from repro.tracking import wandb_sync
from repro.tracking.wandb_service import Service


def main(arguments: Sequence[str], parser: argparse.ArgumentParser) -> int:
    """Run ``repro wandb-sync PATH ...``."""
    parser.add_argument(
        "paths",
        nargs="+",
        type=_path,
        metavar="DIR",
        help="run directories, folders of runs such as a study's, or names of folders in runs/",
    )
    parser.add_argument("--project", help="W&B project (default: each run's own log.project)")
    parser.add_argument("--entity", help="W&B user or team (default: each run's own log.entity, else the account's)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be sent")
    given = parser.parse_args(arguments)
    runs, studies = find_runs(given.paths), wandb_artifact.studies(given.paths)
    if not runs:
        raise UserError(f"no run in {', '.join(map(str, given.paths))}; repro runs list names the runs")
    service = Service()
    _ = service.entity  # refuses before anything takes time
    sent = 0
    for number, run in enumerate(runs, 1):
        pending = wandb_sync.pending(run, service, project=given.project, entity=given.entity)
        live = pending.status == "running" and run.state.get("wandb_live")
        if live or not pending.outdated:
            done = "logs to W&B itself while it trains" if live else "up to date"
        else:
            lost = f" and {len(pending.lost)} charts and tables again" if pending.lost else ""
            done = f"{pending.new} of {len(pending.record)} steps{lost} {'to send' if given.dry_run else 'sent'}"
            sent += 1
            if not given.dry_run:
                wandb_sync.send(pending, service)
        _say(f"[{number}/{len(runs)}] {run.path}: {done} ({service.url}/{pending.path})")
    for folder in studies:
        report = wandb_artifact.study_report(folder, service, project=given.project, entity=given.entity)
        if report.outdated and not given.dry_run:
            wandb_artifact.send(report)
        done = "up to date" if not report.outdated else "to send" if given.dry_run else "sent"
        _say(f"{folder}: report {done} (artifact {report.entity}/{report.project}/study-{report.description.group})")
    verb = "would be sent" if given.dry_run else "sent"
    print(f"{len(runs)} runs: {sent} {verb}, {len(runs) - sent} as they are")
    return 0


def _path(text: str) -> Path:
    named = Path("runs") / text
    return named if not Path(text).exists() and named.exists() else Path(text)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
