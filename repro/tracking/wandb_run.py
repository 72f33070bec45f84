"""W&B's own run: opened, filled and closed."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from repro import waiting
from repro.errors import UserError, first_line
from repro.figures import RunRecords, draw
from repro.records import ENDED, RunDirectory
from repro.tracking.charts import Charts, image, summary
from repro.tracking.wandb_cursor import STATUS, STEP, Cursor, Position, Row
from repro.tracking.wandb_description import Description
from repro.tracking.wandb_service import Service

_PATIENCE_SECONDS = (0.0, 1.0, 2.0, 4.0, 8.0)
_QUIET = {  # what W&B finds out by itself: the git remote, the program's path, the user's folders
    "program": "repro",
    "disable_git": True,
    "save_code": False,
    "x_disable_meta": True,
}
_ELSEWHERE = {  # nothing is said of a machine that did not train
    **_QUIET,
    "x_disable_machine_info": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}
_RETRIES = {  # W&B's own take many minutes, and what is not sent now is sent later from the record
    "x_graphql_retry_max": 3,
    "x_graphql_retry_wait_max_seconds": 5,
    "x_graphql_timeout_seconds": 15,
    "x_file_transfer_retry_max": 3,
    "x_file_transfer_retry_wait_max_seconds": 5,
}
_STREAM_RETRIES = {"x_file_stream_retry_max": 5, "x_file_stream_retry_wait_max_seconds": 5}
LONGEST_WAIT_SECONDS = 10.0
"""How long W&B may take with a row before training goes on without it."""
LONGEST_FINISH_SECONDS = 30.0
"""How long W&B may take to send the rest at a run's end: a job that was asked to stop has little time."""


def open_run(
    description: Description,
    *,
    mode: Literal["online", "offline"],
    project: str,
    entity: str | None,
    folder: Path,
    training: bool,
    places: bool = False,
) -> Any:
    """Open W&B's run: a new one, or, online, the one that already has this id; without an entity the account's own.

    Its own files are kept below `folder`, all of them when offline. Where this process trains, the machine is watched,
    and W&B may not hold it up. With `places` W&B tells of the git remote, the program and its machine, as it finds
    them.
    """
    import wandb

    wanted: dict[str, Any] = {"console": "off", "silent": True, "init_timeout": 60, "finish_timeout_raises": True}
    if training:  # the stream of rows does not hold it up before the end
        wanted |= {**_RETRIES, "x_disable_stats": mode == "offline", "finish_timeout": LONGEST_FINISH_SECONDS}
        wanted |= {} if places else _QUIET
    else:
        wanted |= {**_RETRIES, **_STREAM_RETRIES, **_ELSEWHERE, "finish_timeout": 900}
    wandb.termsetup(wandb.Settings(silent=True), None)  # before the run's settings apply it tells of the login
    # older W&B has fewer settings
    supported = {key: value for key, value in wanted.items() if key in wandb.Settings.model_fields}
    start = partial(
        wandb.init,
        id=description.identifier,
        name=description.name,
        group=description.group,
        job_type=description.job_type,
        tags=list(description.tags),
        config=dict(description.config),
        notes=description.notes,
        project=project,
        entity=entity,
        dir=folder,
        mode=mode,
        resume="allow" if mode == "online" else None,
        reinit="create_new",
        settings=wandb.Settings(**supported),
    )
    run = waiting.outcome(start, "W&B to open the run")
    run.define_metric(STEP)
    run.define_metric("*", step_metric=STEP, step_sync=True)
    return run


@contextlib.contextmanager
def replaying(description: Description, *, project: str, entity: str, of: Path) -> Iterator[Any]:
    """W&B's run of something that is recorded in the folder `of`, online; closed if anything fails.

    If W&B fails, it keeps what it has taken until then.
    """
    remote = None
    with tempfile.TemporaryDirectory(prefix="repro-wandb-") as folder:
        try:
            remote = open_run(
                description, mode="online", project=project, entity=entity, folder=Path(folder), training=False
            )
            yield remote
        except Exception as error:  # whatever W&B raises
            if remote is not None:
                with contextlib.suppress(Exception):
                    finish(remote, exit_code=1)
            raise UserError(f"W&B failed for '{of}': {first_line(error)}; the same command continues") from error


class Sender:
    """Sends rows of a record to W&B's run: of what is new, by the cursor, charts and tables under the run's label.

    `patient`: wait for W&B as long as it takes. `pictures`: send our own figures too.
    """

    def __init__(self, label: str, cursor: Cursor, *, patient: bool, pictures: bool = False) -> None:
        self.cursor = cursor
        self._label, self._patient, self._pictures = label, patient, pictures
        self._charts = Charts(label, pictures=pictures)
        self._number = 0  # W&B's own count of rows, over all lives of an offline run

    def pass_over(self, row: Row) -> None:
        """Take a row as sent before; later charts may show it."""
        if (new := self.cursor.advance(row)) is not None:
            self._number += len(new.metrics) + len(new.measurements)  # as many rows at most
        if row.readings is not None:
            self._charts.note(row.readings)

    def send(self, remote: Any, row: Row) -> bool:
        """Send what is new of a row; returns whether anything is.

        `TimeoutError` if W&B takes too long with it, as it does with tables while it cannot be reached.
        """
        new = self.cursor.advance(row)
        if new is None:
            if row.readings is not None:
                self._charts.note(row.readings)
            return False
        content: dict[str, Any] = {"epoch": new.epoch, **new.metrics, **self.cursor.position.columns()}
        if new.readings is not None:
            content |= {**summary(new.readings), **self._charts.content(new.readings)}
        self._log(remote, content)
        return True

    def send_again(self, remote: Any, record: Sequence[Row], names: Collection[str]) -> None:
        """Send charts and tables of these names again, from the newest readings of the whole record that give them.

        Names are as W&B's run has them; those of `send_figures` are left to it.
        """
        measured = [(row, row.readings) for row in record if row.readings is not None]
        last = {tuple(row.measurements): row.step for row, _ in measured}.values()
        charts, content = Charts(self._label, pictures=self._pictures), dict[str, Any]()
        for row, readings in measured:
            if row.step in last:
                content |= charts.content(readings)
            else:
                charts.note(readings)
        if again := {name: value for name, value in content.items() if {name, f"{name}_table"} & set(names)}:
            self._log(remote, {**again, **self.cursor.position.columns()})

    def send_figures(self, remote: Any, run: RunDirectory) -> None:
        """Send the figures of the whole run, if pictures are asked for."""
        if not self._pictures:
            return
        figures = {f"report/{name}": image(figure) for name, figure in draw([RunRecords.read(run)]).items()}
        self._log(remote, {**figures, **self.cursor.position.columns()})

    def _log(self, remote: Any, content: Mapping[str, Any]) -> None:
        started = time.monotonic()
        remote.log(content, step=self._number if remote.offline else None, commit=True)
        self._number += 1
        if not self._patient and (seconds := time.monotonic() - started) > LONGEST_WAIT_SECONDS:
            raise TimeoutError(f"it held the training up for {seconds:.0f} s")


def close_run(remote: Any, state: Mapping[str, Any], status: str) -> None:
    """Put the results into the run's summary and close it: finished, failed, or to be continued."""
    remote.summary.update(
        {
            STATUS: status,
            **{f"final/{name}": value for name, value in state.get("final", {}).items()},
            **{name: state[name] for name in ("seconds", "reason") if name in state},
        }
    )
    if status not in (*ENDED, "failed"):
        remote.mark_preempting()  # W&B then shows it as preempted, not as failed
    finish(remote, exit_code=0 if status in ENDED else 1)


def finish(remote: Any, *, exit_code: int) -> None:
    """Close W&B's run when it has sent what it has."""
    waiting.outcome(partial(remote.finish, exit_code=exit_code), "W&B to take the rest")


def confirm(service: Service, entity: str, project: str, identifier: str, position: Position, status: str) -> None:
    """Check that W&B has the whole record and the newest charts, within seconds: its client gives up without a word."""
    lacks = ""
    for seconds in _PATIENCE_SECONDS:
        waiting.until(lambda: False, "W&B to show what it has taken", seconds=seconds)
        summary = service.run_summary(entity, project, identifier) or {}
        reached = Position.of_summary(summary)
        if (reached, summary.get(STATUS)) != (position, status):
            lacks = f"has taken the record to step {max(reached.step, 0)} of {position.step} only"
        elif lost := service.lost_media(entity, project, identifier, summary):
            lacks = f"lacks the files of {', '.join(lost)}"
        else:
            return
    raise UserError(f"W&B {lacks}")
