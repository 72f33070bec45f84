"""Weights & Biases while a run trains: a second home for the record, which no failure of its own can stop."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec

import torch
from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_only

from repro.config import Config, LogConfig
from repro.errors import UserError, first_line
from repro.measurements import Reading, table
from repro.records import ENDED, RunDirectory
from repro.text import say, shell
from repro.tracking.record_logger import RunLogger
from repro.tracking.wandb_cursor import Cursor, Position, Row, rows
from repro.tracking.wandb_description import describe
from repro.tracking.wandb_environment import Mode, asked_mode, ignored, misspelt, recorded, said, spelt
from repro.tracking.wandb_run import Sender, close_run, confirm, finish, open_run
from repro.tracking.wandb_service import MissingProject, Service, available, place

P = ParamSpec("P")


def mode(log: LogConfig) -> Mode:
    """The flag's mode, else the environment's, else offline: compute nodes have no network, a login is no request."""
    return log.wandb or asked_mode() or "offline"


def wandb_logger(run: RunDirectory, *, config: Config, identifier: str) -> RunWandbLogger | None:
    """The logger of a run; None if W&B is disabled or not installed."""
    if mode(config.log) == "disabled" or not available():
        return None
    return RunWandbLogger(run, config=config, identifier=identifier)


class WandbIdentifier(Callback):
    """Carries W&B's id of the run in its checkpoints."""

    def __init__(self, identifier: str) -> None:
        self.identifier = identifier

    def state_dict(self) -> dict[str, Any]:
        """The identifier, for the checkpoint."""
        return {"identifier": self.identifier}

    @staticmethod
    def stored(checkpoint: Path) -> str | None:
        """The id in a checkpoint; None if there is none or it cannot be read."""
        try:
            content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
            return str(content["callbacks"][WandbIdentifier.__qualname__]["identifier"])
        except Exception:  # whoever trains from it will say what is wrong with it
            return None


class RunWandbLogger(RunLogger):
    """Sends what a run records to W&B's run: its metrics, and of readings a table and charts of κ against layer.

    Online the run that has this id goes on where W&B has it: first comes what the record has and W&B lacks, and what a
    restarted run repeats is left out. Offline each life of the run writes its own log of what is new. The first failure
    of W&B's is told in one line; the training and its record go on without. The id is the same in all lives; W&B's own
    files lie in the run's folder ``wandb``, or in WANDB_DIR.
    """

    def __init__(self, run: RunDirectory, *, config: Config, identifier: str) -> None:
        super().__init__(run)
        self._config, self._identifier = config, identifier
        self._remote: Any = None
        self._service: Service | None = None  # online
        self._sender = self._new_sender(Position())
        self._broken: str | None = None

    def _new_sender(self, position: Position) -> Sender:
        return Sender(self.run.name, Cursor(position), patient=False, pictures=self._config.log.pictures)

    @property
    def live(self) -> bool:
        """Whether W&B itself takes what is logged, rather than a file."""
        return self._service is not None and self._broken is None

    @property
    def version(self) -> str:
        """W&B's id of the run."""
        return self._identifier

    def _place(self, service: Service) -> tuple[str, str]:
        project, entity = place(self._config.log, recorded(self.run.state))
        return project, entity or service.entity

    def _sent(self, service: Service) -> Position:
        """How much of this run's record W&B has."""
        project, entity = self._place(service)
        try:
            summary = service.run_summary(entity, project, self._identifier)
        except MissingProject:
            return Position()  # W&B makes it
        return Position.of_summary(summary)

    def _attempt(self, action: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        if self._broken is not None:
            return
        try:
            action(*args, **kwargs)
        except Exception as error:  # whatever W&B raises, the run goes on
            self._broken = first_line(error)
            say(
                f"note: W&B failed and is off for the rest of this run ({self._broken}); its record has everything, "
                f"`{_sync(self.run)}` sends it"
            )

    @rank_zero_only
    def start(self) -> None:
        """Open W&B's run, and send what earlier lives of the run have recorded and W&B lacks. Before any logging."""
        for sentence in misspelt():
            say(f"note: {sentence}")
        online = mode(self._config.log) == "online"
        with spelt("online" if online else "offline"):
            self._attempt(self._start, online=online)

    def _start(self, *, online: bool) -> None:
        log, position = self._config.log, Position()
        if online:
            try:
                self._service = Service()
                position = self._sent(self._service)
            except UserError as refusal:
                self._service = None
                say(f"note: {refusal}; this run logs offline, `{_sync(self.run)}` sends it")
                online = False
        if odd := ignored():
            say(f"note: {' and '.join(odd)} not taken: each run has an id of its own at W&B, and goes on by itself")
        if labels := said():
            self.run.update_state(wandb=labels)  # for whoever sends the record later
        self._sender = self._new_sender(position)
        project, entity = place(log, recorded(self.run.state))
        self._remote = open_run(
            describe(self.run, self._config, key=self._identifier),
            mode="online" if online else "offline",
            project=project,
            entity=entity,
            folder=self._folder(),
            training=True,
            places=log.places,
        )
        for row in rows(self.run):
            if online:
                self._sender.send(self._remote, row)
            else:
                self._sender.pass_over(row)  # the log of the life that recorded it has it

    def _folder(self) -> Path:
        """Where W&B's own files go; it would take a temporary folder, without a word, for one that it cannot write."""
        if wanted := os.environ.get("WANDB_DIR"):
            with contextlib.suppress(OSError, RuntimeError):
                (path := Path(wanted).expanduser()).mkdir(parents=True, exist_ok=True)
                if os.access(path, os.W_OK):
                    return path
            say(f"note: WANDB_DIR is '{wanted}', where nothing can be written; W&B's files go to '{self.run.path}'")
        return self.run.path

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics recorded after `step` steps."""
        values = dict(metrics)
        epoch = int(values.pop("epoch", 0))
        self._attempt(self._send, Row(step=step or 0, epoch=epoch, metrics=values))

    @rank_zero_only
    def log_readings(self, readings: Sequence[Reading], *, step: int, epoch: int) -> None:
        """Log a table of each measurement, and the charts."""
        frame = table(readings).assign(step=step, epoch=epoch)
        self._attempt(self._send, Row(step=step, epoch=max(epoch - 1, 0), metrics={}, readings=frame))

    def _send(self, row: Row) -> None:
        if self._remote is not None:
            self._sender.send(self._remote, row)

    @rank_zero_only
    def close(self, status: str) -> None:
        """Close W&B's run, a finished one with its figures: each run of a study in the same process has its own.

        Unless its status is that it has ended or failed, it is to be continued.
        """
        if self._remote is None:
            return
        self._attempt(self._close, status)
        if self._broken is not None:  # leave nothing that the next run of this process would wait for
            with contextlib.suppress(Exception):
                finish(self._remote, exit_code=1)
        self._remote = None

    def _close(self, status: str) -> None:
        if status in ("finished", "stopped"):
            self._sender.send_figures(self._remote, self.run)
        close_run(self._remote, self.run.state, status)
        if self._service is not None and status in ENDED:
            project, entity = self._place(self._service)
            confirm(self._service, entity, project, self._identifier, self._sender.cursor.position, status)


def _sync(run: RunDirectory) -> str:
    """The command that sends a run's record."""
    return shell("repro", "wandb-sync", run.path)
