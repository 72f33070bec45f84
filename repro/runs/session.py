"""From a configuration to a finished run directory."""

from __future__ import annotations

import contextlib
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from repro.config import Config
from repro.data import provenance
from repro.data.loading.batches import Batches
from repro.distributed.processes import is_first_rank
from repro.errors import UserError
from repro.networks.assumptions import unmet
from repro.networks.skip import SkipToOutput
from repro.records import ENDED, RunDirectory, environment
from repro.runs.build import Experiment, build
from repro.runs.checkpoint_file import newest_sound
from repro.runs.checkpoints import RunCheckpoints, sweep
from repro.runs.device_info import device_info, device_name
from repro.runs.stop import TAKEN_OVER, Interrupted, StopRequest
from repro.runs.threads import set_threads
from repro.tracking.record_logger import RecordLogger
from repro.tracking.wandb_logger import RunWandbLogger, WandbIdentifier, wandb_logger
from repro.training.divergence import Diverged, require_finite_result, require_finite_weights
from repro.training.measure_callback import MeasureCallback
from repro.training.progress import Progress
from repro.training.random_features.classifier import FeatureBatches, OutputClassifier, update_batchnorm_statistics
from repro.training.random_features.least_norm import require_memory, solve
from repro.training.random_features.store import Place

_PATCH_IMAGES = 64  # that are compared for Assumption 3.1


def fit(
    config: Config, run: RunDirectory, stop: StopRequest | None = None, *, label: str | None = None
) -> dict[str, Any]:
    """Train to the end, going on from the newest checkpoint if there is one, and evaluate.

    Args:
        config: The run's configuration, checked.
        run: Its directory, prepared, locked by the caller's process until this returns.
        stop: The request to stop, if the caller listens already.
        label: What progress is shown under. Default: the run's name.

    Returns:
        The run's state.

    Raises:
        Interrupted: The run was asked to stop; its checkpoint is saved.
        CannotSave: A checkpoint could not be written; the earlier one is there.
        UserError: If the data are missing, damaged or too few, or the network cannot be built.
    """
    label = label or run.name
    if stop is not None:
        return _fit(_begun(config, run, stop, label))
    stop = StopRequest()
    with stop.listening():
        return _fit(_begun(config, run, stop, label))


def _begun(config: Config, run: RunDirectory, stop: StopRequest, label: str) -> RunSession:
    with _failing(run):
        return RunSession(config, run, stop, checkpoint=newest_sound(run), label=label)


@contextlib.contextmanager
def _failing(run: RunDirectory) -> Iterator[None]:
    """What fails before the training has begun is a failure of the run, too; a mistake of the user's is none."""
    try:
        yield
    except (UserError, Interrupted):
        raise
    except Exception as reason:
        if is_first_rank():
            run.update_state(status="failed", reason=f"{type(reason).__name__}: {reason}")
        raise


def _fit(session: RunSession) -> dict[str, Any]:
    trainer, module, data = session.experiment.trainer, session.experiment.module, session.experiment.data
    outcome: dict[str, Any] = {}
    try:
        with _failing(session.run):
            session.open()
        if session.config.model.solver == "exact":
            outcome = _solve(session.experiment, session.run)
        else:
            trainer.fit(module, datamodule=data, ckpt_path=session.checkpoint, weights_only=True)
        require_finite_weights(module.network, trainer.global_step)
        trainer.test(module, datamodule=data, verbose=False, weights_only=True)
        require_finite_result(module.final)
        if session.config.model.solver == "exact":
            session.checkpoints.save(trainer)
    except BaseException as reason:
        status, said = status_of(reason)
        session.close(status, **outcome, **said)
        if status != "diverged":
            raise
    else:
        session.close("finished", **outcome, **session.finished(trainer))
    return session.run.state


class RunSession:
    """One session of a run: everything that its training needs, from its newest checkpoint to how it ended.

    Args:
        config: The run's configuration, checked.
        run: Its directory, prepared and locked.
        stop: The request to stop.
        checkpoint: Where it goes on from.
        label: What progress is shown under.
    """

    def __init__(
        self, config: Config, run: RunDirectory, stop: StopRequest, *, checkpoint: Path | None, label: str
    ) -> None:
        self.config, self.run, self.checkpoint = config, run, checkpoint
        self._started = time.perf_counter()
        self._seconds_before = float(run.state.get("seconds", 0.0))
        if is_first_rank():
            sweep(run)
        stored = run.state.get("wandb_id") or (checkpoint and WandbIdentifier.stored(checkpoint))
        self.identifier_callback = WandbIdentifier(stored or uuid.uuid4().hex[:8])
        self.checkpoints = RunCheckpoints(run, config.trainer, stop=stop)
        self.progress = Progress(label, config.trainer.progress)
        self._record = RecordLogger(run)
        self._remote: RunWandbLogger | None = None
        self._is_open = False
        callbacks = [self.progress, self.identifier_callback, self.checkpoints]
        self.experiment = build(config, loggers=[self._record], callbacks=callbacks)

    def open(self) -> None:
        """Load the data, choose the threads, attach measurements and loggers, and record that the run is running."""
        config, run, experiment = self.config, self.run, self.experiment
        trainer, module, data = experiment.trainer, experiment.module, experiment.data
        data.trainer = trainer
        data.setup("fit")
        facts = set_threads(experiment, recorded=self._threads_before())
        if isinstance(module, OutputClassifier):
            data.training_batches = partial(_features, module, data, run)
        if isinstance(module.network, SkipToOutput) and trainer.is_global_zero:
            images, _ = data.probe(min(data.samples("train"), _PATCH_IMAGES))
            whole = config.model.train == "all"
            if conditions := unmet(module.network, images.cpu(), trained=whole):
                run.update_state(assumption_unmet=conditions)
                print(f"repro: note: Assumption 3.1 (Nguyen) does not hold: {'; '.join(conditions)}", file=sys.stderr)
        if config.measure.measurements or config.measure.every_n_steps:
            trainer.callbacks.insert(0, _measuring(config, data))  # type: ignore[attr-defined]
        identifier = self.identifier_callback.identifier
        remote = self._remote = wandb_logger(run, config=config, identifier=identifier)
        trainer.loggers = [self._record, *([remote] if remote else [])]
        self._is_open = True
        if trainer.is_global_zero:
            where = provenance(config.data.name, config.data.root)
            run.add_life({**environment(), **device_info(config, module, trainer), **facts, "data": where})
            now = {"status": "running", "wandb_id": identifier, "wandb_live": remote is not None}
            now |= dict.fromkeys(("reason", "final", "solution"))  # an earlier session's are not this one's
            run.update_state(**now, max_epochs=config.trainer.max_epochs)
        if remote is not None:
            remote.start()  # of the record's state before this session
            if trainer.is_global_zero:
                run.update_state(wandb_live=remote.live)  # until now a sync would have come between

    def _threads_before(self) -> int | None:
        """The number of threads that the run goes on with, if it goes on, on such a device."""
        device = device_name(self.experiment.trainer.strategy.root_device)
        if self.checkpoint is None or not self.run.lives or self.run.lives[-1].get("device") != device:
            return None
        return self.run.lives[-1].get("threads")

    def finished(self, trainer: Any) -> dict[str, Any]:
        """What is written down of a run that came to its end."""
        ended = {"final": self.experiment.module.final, "step": trainer.global_step, "epoch": trainer.current_epoch}
        return ended | self.experiment.module.state_entries | self.checkpoints.state_entries

    def close(self, status: str, **outcome: Any) -> None:
        """Write down how it ended, if it had begun.

        Args:
            status: The run's from now on; after ``taken over`` the directory is left alone.
            outcome: For the run's state.
        """
        run, data = self.run, self.experiment.data
        data.teardown("fit")
        if not self._is_open:
            return
        seconds = self._seconds_before + time.perf_counter() - self._started
        if self.experiment.trainer.is_global_zero and status != "taken over":
            if status in ENDED:
                run.delete_features()  # an extended run computes them again
            if status == "diverged":
                trainer = self.experiment.trainer
                outcome = {"step": trainer.global_step, "epoch": trainer.current_epoch, **outcome}
            with contextlib.suppress(*([] if status in ENDED else [OSError])):  # a full disk: what stopped it is told
                run.update_state(status=status, seconds=round(seconds, 3), **outcome)
        if self._remote is not None:
            self._remote.close(status)


def status_of(reason: BaseException) -> tuple[str, dict[str, Any]]:
    """What becomes of a run whose training ended by an exception: its status, and what else is written down."""
    if isinstance(reason, Diverged):
        step = {} if reason.step is None else {"step": reason.step}  # not where it was seen, which may be later
        return "diverged", {"reason": str(reason), **step}
    if isinstance(reason, Interrupted):
        return ("taken over" if reason.signal == TAKEN_OVER else "interrupted"), {}
    return "failed", {"reason": f"{type(reason).__name__}: {reason}"} if isinstance(reason, Exception) else {}


def _features(module: OutputClassifier, data: Any, run: RunDirectory, batches: Batches) -> FeatureBatches:
    """What `OutputClassifier` trains on; called when the network is where it trains."""
    everything = data.batches("train").shared(0, 1)
    update_batchnorm_statistics(module.network, everything)
    return FeatureBatches(module.output, batches, everything, folder=run.path, place=Place.of(data.trainer))


def _solve(experiment: Experiment, run: RunDirectory) -> dict[str, Any]:
    """Solve for the output's weights; returns what is said of the solution."""
    module, data = experiment.module, experiment.data
    assert isinstance(module, OutputClassifier)
    require_memory(module.output, data.samples("train"))
    module.to(experiment.trainer.strategy.root_device)
    features = _features(module, data, run, data.batches("train")).features
    solution = solve(module.output, features, data.batches("train").labels)
    found = {f"exact/{name}": float(value) for name, value in asdict(solution).items()}
    for logger in experiment.trainer.loggers:
        logger.log_metrics(found, step=0)
    return {"solution": asdict(solution)}


def _measuring(config: Config, data: Any) -> MeasureCallback:
    measure = config.measure
    images, labels = data.probe(measure.probe_size)
    asked = {*measure.measurements, *measure.every_n_steps}
    return MeasureCallback(
        images,
        labels,
        measurements=measure.measurements,
        held_out=data.held_out_probe(measure.probe_size) if "amplification" in asked else None,
        every_n_epochs=measure.every_n_epochs,
        every_n_steps=measure.every_n_steps,
        at_steps=measure.at_steps,
        layers=measure.layers,
        mode=measure.probe_mode,
        spectra=measure.spectra,
    )
