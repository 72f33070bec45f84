"""Weights & Biases: a second home for the record, which no failure of its own can stop."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, ParamSpec

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn
from matplotlib.figure import Figure

from repro.config import LogConfig
from repro.measurements import Reading, table
from repro.records import RunDirectory
from repro.training.charts import Charts, image, summary

P = ParamSpec("P")
Mode = Literal["offline", "online", "disabled"]
_ENVIRONMENT_MODES: dict[str, Mode] = {
    "online": "online",
    "run": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}


def mode(log: LogConfig) -> Mode:
    """The flag's mode, else WANDB_MODE's, else offline: compute nodes have no network, and a login is no request."""
    return log.wandb or _ENVIRONMENT_MODES.get(os.environ.get("WANDB_MODE", ""), "offline")


class _Nothing:
    """Takes any call and does nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_arguments, **_keywords: None


class RunWandbLogger(WandbLogger):
    """Lightning's W&B logger for a run directory.

    Logs the run's configuration, the metrics, and for readings a table and a chart of κ against layer. The first
    failure of W&B's is told in one line; the training and its record go on without.

    Args:
        run: The run's directory; W&B's own files lie in its folder ``wandb``.
        log: Mode, project, entity.
        config: The run's configuration as a flat mapping.
        identifier: W&B's id of the run, the same in all its lives.
    """

    def __init__(
        self,
        run: RunDirectory,
        *,
        log: LogConfig,
        config: Mapping[str, Any],
        identifier: str,
    ) -> None:
        import wandb

        self._broken: str | None = None
        self._charts = Charts(run.name)
        chosen = mode(log)
        if chosen == "online" and wandb.api.api_key is None:
            rank_zero_warn("W&B is asked for online but has no login (`wandb login`); it goes on offline")
            chosen = "offline"
        super().__init__(
            name=run.name,
            save_dir=run.path,
            id=identifier,
            project=log.project,
            entity=log.entity,
            group=run.study,
            offline=chosen == "offline",
            resume="allow" if chosen == "online" else None,
            config=dict(config),
            settings=wandb.Settings(console="off", silent=True, init_timeout=60, x_disable_stats=chosen == "offline"),
        )

        self._wandb_init.pop("anonymous", None)  # Lightning passes what W&B no longer knows

    @property
    def experiment(self) -> Any:
        """W&B's run; something that takes everything and does nothing once W&B has failed.

        Lightning asks for it by itself before training, so a failure to start is met here.
        """
        if self._broken is None:
            try:
                return super().experiment
            except Exception as error:  # whatever W&B raises, the run goes on
                self._give_up(error)
        return _Nothing()

    def _attempt(self, action: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        if self._broken is not None:
            return
        try:
            action(*args, **kwargs)
        except Exception as error:  # whatever W&B raises, the run goes on
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._broken = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        rank_zero_warn(f"W&B failed and is off for the rest of this run; its record has everything: {self._broken}")

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics recorded after `step` steps."""
        self._attempt(super().log_metrics, dict(metrics), step)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: the whole configuration is given at the start."""

    @rank_zero_only
    def log_readings(self, readings: Sequence[Reading], *, step: int, epoch: int) -> None:
        """Log a table of each measurement, and the charts."""
        self._attempt(self._log_readings, readings, step, epoch)

    def _log_readings(self, readings: Sequence[Reading], step: int, epoch: int) -> None:
        frame = table(readings).assign(step=step, epoch=epoch)
        content = {**summary(frame), **self._charts.content(frame)}
        self.experiment.log({"epoch": epoch, "trainer/global_step": step, **content})

    @rank_zero_only
    def log_figures(self, draw: Callable[[], Mapping[str, Figure]]) -> None:
        """Log figures as images; drawn here, so that W&B is not the reason for a failure either."""
        self._attempt(self._log_figures, draw)

    def _log_figures(self, draw: Callable[[], Mapping[str, Figure]]) -> None:
        self.experiment.log({f"report/{name}": image(figure) for name, figure in draw().items()})

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Nothing to do: Lightning calls this after fitting, before the final evaluation."""

    @rank_zero_only
    def close(self, *, success: bool) -> None:
        """Close W&B's run: each run of a study in the same process has its own."""
        self._attempt(self._finish, success)

    def _finish(self, success: bool) -> None:
        if self._experiment is not None:
            self._experiment.finish(exit_code=0 if success else 1)
            self._experiment = None


def available() -> bool:
    """Whether the package wandb is installed."""
    return importlib.util.find_spec("wandb") is not None
