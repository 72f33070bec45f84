"""W&B's own run: opened, filled and closed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from repro.figures import RunRecords, draw
from repro.records import ENDED, RunDirectory
from repro.training.charts import Charts, image, summary
from repro.training.wandb_cursor import STATUS, STEP, Cursor, Row
from repro.training.wandb_description import Description

_OFF_PROCESS = {  # of a machine that did not train
    "disable_git": True,
    "save_code": False,
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
}
_IMPATIENT = {  # what is not sent now is sent later from the record: never slow a training
    "x_graphql_retry_max": 3,
    "x_graphql_retry_wait_max_seconds": 5,
    "x_graphql_timeout_seconds": 15,
    "x_file_transfer_retry_max": 3,
}


def open_run(
    description: Description,
    *,
    mode: Literal["online", "offline"],
    project: str,
    entity: str | None,
    folder: Path,
    training: bool,
) -> Any:
    """W&B's run: a new one, or online the one that has this id already.

    Args:
        description: What it is.
        mode: Send everything at once, or write it below `folder`.
        project: W&B's project.
        entity: W&B's user or team; None: the account's own.
        folder: Where W&B keeps files of its own.
        training: Whether this process trains: then the machine is described and watched, and W&B may not hold it up.
    """
    import wandb

    wanted: dict[str, Any] = {"console": "off", "silent": True, "init_timeout": 60, "finish_timeout_raises": True}
    if training:
        wanted |= {**_IMPATIENT, "x_disable_stats": mode == "offline", "finish_timeout": 120}
    else:
        wanted |= {**_OFF_PROCESS, "x_disable_stats": True, "host": description.host, "finish_timeout": 1800}
    wandb.setup(settings=wandb.Settings(silent=True))  # it tells of logins otherwise
    known = {key: value for key, value in wanted.items() if key in wandb.Settings.model_fields}  # older W&B has fewer
    found = wandb.init(
        id=description.identifier,
        name=description.name,
        group=description.group,
        job_type=description.job_type,
        tags=list(description.tags),
        config=dict(description.config),
        project=project,
        entity=entity,
        dir=folder,
        mode=mode,
        resume="allow" if mode == "online" else None,
        reinit="create_new",
        settings=wandb.Settings(**known),
    )
    found.define_metric(STEP)
    found.define_metric("*", step_metric=STEP, step_sync=True)
    return found


class Sender:
    """Sends rows of a record to W&B's run.

    Args:
        label: What the run is called in charts.
        cursor: Knows what is new.
    """

    def __init__(self, label: str, cursor: Cursor) -> None:
        self.cursor = cursor
        self._charts = Charts(label)
        self._number = 0  # W&B's own count of rows, over all lives of an offline run

    def pass_over(self, row: Row) -> None:
        """Take a row as sent before; later charts may show it."""
        if (new := self.cursor.advance(row)) is not None:
            self._number += len(new.metrics) + len(new.measurements)  # as many rows at most
        if row.readings is not None:
            self._charts.note(row.readings)

    def send(self, remote: Any, row: Row) -> bool:
        """Send what is new of a row; returns whether anything is."""
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

    def send_figures(self, remote: Any, run: RunDirectory) -> None:
        """Send the figures of the whole run."""
        figures = {f"report/{name}": image(figure) for name, figure in draw([RunRecords.read(run)]).items()}
        self._log(remote, {**figures, **self.cursor.position.columns()})

    def _log(self, remote: Any, content: Mapping[str, Any]) -> None:
        remote.log(content, step=self._number if remote.offline else None, commit=True)
        self._number += 1


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
    remote.finish(exit_code=0 if status in ENDED else 1)
