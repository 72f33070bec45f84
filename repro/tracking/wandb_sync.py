"""The record of a run replayed into W&B's run: afterwards, from a machine with network, any number of times."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from tqdm import tqdm

from repro.config import Config, load
from repro.errors import Damaged, UserError
from repro.records import ENDED, RunDirectory
from repro.records.lock import Lock
from repro.tracking.wandb_cursor import STATUS, Cursor, Position, Row, rows
from repro.tracking.wandb_description import describe, identifier
from repro.tracking.wandb_service import Service, place


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A run, and what W&B has of it."""

    run: RunDirectory
    config: Config
    entity: str
    project: str
    identifier: str
    """W&B's id of the run."""
    position: Position
    """How much of the record W&B has."""
    record: list[Row]
    """All rows of the record."""
    new: int
    """How many rows of the record W&B lacks or has in part."""
    status: str
    lost: list[str]
    """Names of charts and tables of which W&B has the rows but not the files."""
    outdated: bool
    """Whether anything is to be sent."""

    @property
    def path(self) -> str:
        """Where the run is at W&B: ENTITY/PROJECT/runs/ID."""
        return f"{self.entity}/{self.project}/runs/{self.identifier}"


def pending(
    run: RunDirectory,
    service: Service | None,
    *,
    project: str | None = None,
    entity: str | None = None,
    key: str | None = None,
) -> Pending:
    """What of a run, which is only read, W&B lacks.

    Of a run that trains right now the last step is left for later: it may not be complete. Without a service nobody
    asks what W&B has, and all counts as new. Project and entity are by default as `repro.tracking.wandb_service.place`
    has them; the key is W&B's id of the run, by default its own.

    Raises:
        Damaged: The run cannot be read.
        UserError: W&B cannot be asked.
    """
    if damage := run.damage:
        raise Damaged(damage)
    try:
        config, status, record = load(run.config_path), run.status, list(rows(run))
    except UserError as error:
        raise Damaged(str(error)) from error
    key = key or identifier(run)
    project, whose = place(config.log, run.state.get("wandb", {}), project=project, entity=entity)
    entity = whose or (service.entity if service else "?")
    summary = (service.run_summary(entity, project, key) if service else None) or {}
    position = Position.of_summary(summary)
    if status == "running":
        record = record[:-1]
    cursor = Cursor(position)
    new = sum(cursor.advance(row) is not None for row in record)
    lost = service.lost_media(entity, project, key, summary) if service else []
    return Pending(
        run=run,
        config=config,
        entity=entity,
        project=project,
        identifier=key,
        position=position,
        record=record,
        new=new,
        status=status,
        lost=lost,
        outdated=new > 0 or bool(lost) or summary.get(STATUS) != status,
    )


def send(run: Pending, service: Service) -> None:
    """Send what W&B lacks of a run, an ended one with its figures, and ask the service whether it has everything.

    If W&B fails, what has been sent is not sent again.
    """
    from repro.tracking.wandb_run import Sender, close_run, confirm, replaying

    if run.status == "running" and run.run.state.get("wandb_live"):
        raise UserError(f"'{run.run.path}' logs to W&B itself while it trains; sync it when it has ended")
    description = describe(run.run, run.config, key=run.identifier)
    sender = Sender(run.run.name, Cursor(run.position), patient=True, pictures=run.config.log.pictures)
    with _alone(run.run), replaying(description, project=run.project, entity=run.entity, of=run.run.path) as remote:
        for row in tqdm(run.record, desc=run.run.name, unit="step", disable=not sys.stderr.isatty()):
            sender.send(remote, row)
        if run.lost:
            sender.send_again(remote, run.record, run.lost)
        if run.status in ENDED:
            sender.send_figures(remote, run.run)
        close_run(remote, run.run.state, run.status)
        confirm(service, run.entity, run.project, run.identifier, sender.cursor.position, run.status)


@contextlib.contextmanager
def _alone(run: RunDirectory) -> Iterator[None]:
    """Refuse while another process syncs this run; where the lock cannot be written, there is no check."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(Lock(run.path / "wandb-sync.lock"))
        yield
