"""Loggers of Lightning's own beside the record: they get the same numbers, and no failure of theirs stops a run."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence

from lightning.pytorch.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from repro.config import Config, to_flat
from repro.errors import UserError
from repro.measurements import Reading, table
from repro.records import ENDED, RunDirectory
from repro.text import say
from repro.tracking.charts import summary
from repro.tracking.record_logger import RunLogger

_NEEDS = {"tensorboard": ("tensorboard", "tensorboardX"), "mlflow": ("mlflow",)}


def other_loggers(run: RunDirectory, config: Config) -> list[BesideLogger]:
    """The loggers that a configuration asks for beside the record; each begins when the run does.

    `UserError` says which package is not installed.
    """
    for name in config.log.other_loggers:
        packages = _NEEDS.get(name, ())
        if packages and not any(map(importlib.util.find_spec, packages)):
            raise UserError(f"log.also has {name}, which is not installed; pip install {packages[0]}, or leave it out")
    return [BesideLogger(name, run, config) for name in config.log.other_loggers]


class BesideLogger(RunLogger):
    """One of Lightning's loggers: metrics, and of readings medians and maxima, from rank 0, each life of a run anew.

    Its kind is ``tensorboard``, ``csv`` or ``mlflow``; its files lie in a folder of that name in the run's directory.
    """

    def __init__(self, kind: str, run: RunDirectory, config: Config) -> None:
        super().__init__(run)
        self._kind, self._config = kind, config
        self._logger: Logger | None = None
        self._broken = False

    @property
    def name(self) -> str:
        """Which it is."""
        return self._kind

    def _open(self) -> Logger:
        if self._logger is None:
            self._logger = {"tensorboard": _tensorboard, "csv": _csv, "mlflow": _mlflow}[self._kind](self.run)
            self._logger.log_hyperparams(to_flat(self._config))
        return self._logger

    def _attempt(self, action: Callable[[Logger], None]) -> None:
        if self._broken:
            return
        try:
            action(self._open())
        except Exception as error:  # whatever it raises, the run goes on
            self._broken = True
            say(
                f"note: {self._kind} failed and is off for the rest of this run ({type(error).__name__}: {error}); "
                "its record has everything"
            )

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics recorded after `step` steps."""
        values = {name: float(value) for name, value in metrics.items()}
        self._attempt(lambda logger: logger.log_metrics(values, step))

    @rank_zero_only
    def log_readings(self, readings: Sequence[Reading], *, step: int, epoch: int) -> None:
        """Log what charts over time can show of them."""
        values = summary(table(readings).assign(step=step, epoch=epoch))
        self._attempt(lambda logger: logger.log_metrics(values, step))

    @rank_zero_only
    def save(self) -> None:
        """Write what is held in memory."""
        if self._logger is not None:
            self._attempt(lambda logger: logger.save())

    @rank_zero_only
    def close(self, status: str) -> None:
        """Close it: a run that has not ended goes on in another life."""
        if self._logger is not None:
            self._attempt(lambda logger: logger.save())
            self._attempt(lambda logger: logger.finalize("success" if status in ENDED else "failed"))
        self._logger = None


def _life(run: RunDirectory) -> str:
    """Each life's own: what a restarted run repeats is there twice, and nothing is overwritten."""
    return f"life-{max(1, len(run.lives))}"


def _tensorboard(run: RunDirectory) -> Logger:
    return TensorBoardLogger(run.path, name="tensorboard", version=_life(run), default_hp_metric=False)


def _csv(run: RunDirectory) -> Logger:
    return CSVLogger(run.path, name="csv", version=_life(run), flush_logs_every_n_steps=1)


def _mlflow(run: RunDirectory) -> Logger:
    import mlflow

    known = run.state.get("mlflow_run_id")
    uri = mlflow.get_tracking_uri()  # MLFLOW_TRACKING_URI's, else its own default; Lightning's is one that it refuses
    logger = MLFlowLogger(run.study, run_name=run.name, tracking_uri=uri, run_id=known)
    if known is None:
        run.update_state(mlflow_run_id=logger.run_id)
    return logger
