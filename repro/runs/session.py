"""From a resolved configuration to a finished run directory."""

from __future__ import annotations

import contextlib
import time
import uuid
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from repro.config import Config, to_flat
from repro.data import provenance
from repro.distributed.processes import is_first_rank, several
from repro.distributed.together import Together, attended
from repro.errors import UserError
from repro.measurements.stop_rule import StopRule
from repro.networks.assumptions import unmet
from repro.networks.skip import SkipToOutput
from repro.records import ENDED, RunDirectory, environment
from repro.records.environment import commit, versions
from repro.runs.build import Experiment, build
from repro.runs.checkpoint_file import newest_sound
from repro.runs.checkpoints import RunCheckpoints, sweep
from repro.runs.device_info import device_info
from repro.runs.stop import TAKEN_OVER, CannotSave, Interrupted, StopRequest
from repro.runs.stop_when import StopWhen
from repro.runs.threads import Threads
from repro.text import say
from repro.tracking.other_loggers import other_loggers
from repro.tracking.record_logger import RecordLogger
from repro.tracking.wandb_environment import sweep_run
from repro.tracking.wandb_logger import RunWandbLogger, WandbIdentifier, wandb_logger
from repro.training.divergence import Diverged, require_finite_result, require_finite_weights
from repro.training.measure_callback import MeasureCallback
from repro.training.progress import Progress
from repro.waiting import until

_SHARED_SECONDS = 60.0  # until one node sees what another has written
_PATCH_IMAGES = 64  # that are compared for Assumption 3.1


def fit(
    config: Config,
    run: RunDirectory,
    stop: StopRequest,
    *,
    fingerprint: str,
    anew: bool = False,
    label: str | None = None,
) -> dict[str, Any]:
    """Train to the end, going on from the newest checkpoint if there is one, and evaluate; returns the run's state.

    The directory is prepared, and locked by the caller's process until this returns; the request to stop listens
    already. The fingerprint is of the data and of the user's own code. `anew` looks for no checkpoint: rank 0 may not
    have set an earlier run aside yet. Progress is shown under `label`, by default the run's name.

    Raises:
        Interrupted: The run was asked to stop; its checkpoint is saved.
        CannotSave: A checkpoint could not be written; the earlier one is there.
        PeerLost: Another process of the run has gone.
        UserError: If the data are missing, damaged or too few, the network cannot be built, or the run's processes were
            told different things.
    """
    session = RunSession(config, run, stop, checkpoint=None if anew else newest_sound(run))
    experiment = None
    try:
        experiment = _build(session, label or run.name, fingerprint)
        trainer, module, data = experiment.trainer, experiment.module, experiment.datamodule
        with attended(trainer.strategy, session.start_name, alike=(Interrupted, Diverged, CannotSave)) as name:
            session.follow(name)
            trainer.fit(module, datamodule=data, ckpt_path=session.checkpoint, weights_only=True)
            require_finite_weights(module.network, trainer.global_step)
            trainer.test(module, datamodule=data, verbose=False, weights_only=True)
            require_finite_result(module.final)
        session.finish(experiment)
    except BaseException as reason:
        session.end(reason)
        if not isinstance(reason, Diverged):
            raise
    finally:
        if experiment is not None:
            experiment.data.teardown("fit")
    return run.state


def _build(session: RunSession, label: str, fingerprint: str) -> Experiment:
    config, run = session.config, session.run
    measure = config.measure
    measuring = None
    if measure.measurements or measure.every_n_steps:
        options = dict(vars(measure))
        measuring = MeasureCallback(mode=options.pop("probe_mode"), **options)
    if (rule := config.training.stop_when) is not None:
        taken = [*measure.measurements, *measure.every_n_steps]
        session.stop_when = StopWhen(StopRule.of(rule, taken), run, measuring)
    callbacks: list[Callback | None] = [
        measuring,
        Progress(label, config.trainer.progress),
        session.identifier,
        session.threads,
        session,
        session.stop_when,
        session.checkpoints,
    ]
    loggers = [RecordLogger(run), *([session.remote] if session.remote else []), *session.beside]
    ranks = {"strategy": Together(_facts(session, fingerprint))} if several(config) else {}
    return build(config, loggers=loggers, callbacks=list(filter(None, callbacks)), folder=run.path, **ranks)


def _facts(session: RunSession, fingerprint: str) -> dict[str, str]:
    """What the run's processes must have been told alike."""
    found = {
        **to_flat(session.config),
        **commit(),
        **{f"version of {name}": version for name, version in versions().items()},
        "run directory": session.run.path.absolute(),
        "data": fingerprint,
    }
    return {name: str(value) for name, value in found.items()}


class RunSession(Callback):
    """Records one session of a run: that it runs, on what, from which checkpoint, and how it ended."""

    def __init__(self, config: Config, run: RunDirectory, stop: StopRequest, *, checkpoint: Path | None) -> None:
        self.config, self.run = config, run
        self._started = time.perf_counter()
        self._seconds_before = float(run.state.get("seconds", 0.0))
        if is_first_rank():
            sweep(run)
        self.threads = Threads(int(config.data.batch_size))
        self._go_on_from(checkpoint)
        stored = run.state.get("wandb_id") or (checkpoint and WandbIdentifier.stored(checkpoint))
        self.identifier = WandbIdentifier(sweep_run() or stored or uuid.uuid4().hex[:8])
        self.remote: RunWandbLogger | None = wandb_logger(run, config=config, identifier=self.identifier.identifier)
        self.beside = other_loggers(run, config)
        self.checkpoints = RunCheckpoints(run, config.trainer, stop=stop)
        self.stop_when: StopWhen | None = None
        self._trainer: Trainer | None = None
        """The trainer, once the run runs."""

    def _go_on_from(self, checkpoint: Path | None) -> None:
        self.checkpoint = checkpoint
        last = self.run.last_life if checkpoint is not None else {}
        self.threads.recorded = (last["threads"], last["device"]) if {"threads", "device"} <= last.keys() else None

    @property
    def start_name(self) -> str | None:
        """The name of the checkpoint that it goes on from."""
        return None if self.checkpoint is None else self.checkpoint.name

    def follow(self, name: str | None) -> None:
        """Go on from the checkpoint that rank 0 goes on from; `UserError` if this process does not see it."""
        if name == self.start_name:
            return
        path = None if name is None else self.run.checkpoints / name
        if path is not None and not until(path.exists, f"'{path}', which rank 0 sees", seconds=_SHARED_SECONDS):
            raise UserError(
                f"there is no '{path}' here, from which rank 0 continues; name --runs on a disk that all share"
            )
        self._go_on_from(path)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Record that the run is running: data and network are there, and the threads are chosen."""
        if stage != "fit":
            return
        config, run, data = self.config, self.run, trainer.datamodule  # type: ignore[attr-defined]
        network = pl_module.network
        if isinstance(network, SkipToOutput) and trainer.is_global_zero:
            images, _ = data.probe(min(data.samples("train"), _PATCH_IMAGES))
            if conditions := unmet(network, images.cpu(), trained=config.model.train == "all"):
                run.update_state(assumption_unmet=conditions)
                say(f"note: Assumption 3.1 (Nguyen) does not hold: {'; '.join(conditions)}")
        self._trainer = trainer
        if trainer.is_global_zero:
            where = provenance(config.data.name, config.data.root)
            device = device_info(config, pl_module, trainer)  # type: ignore[arg-type]
            run.add_life({**environment(), **device, **self.threads.facts, "data": where})
            now = {"status": "running", "wandb_id": self.identifier.identifier, "wandb_live": self.remote is not None}
            now |= dict.fromkeys(("reason", "final", "solution"))  # an earlier session's are not this one's
            run.update_state(**now, max_epochs=config.trainer.max_epochs)
        if self.remote is not None:
            self.remote.start()  # of the record's state before this session
            if trainer.is_global_zero:
                run.update_state(wandb_live=self.remote.live)  # until now a sync would have come between

    def finish(self, experiment: Experiment) -> None:
        """Write down the result of a training that came to its end, or was ended by its rule, and close."""
        trainer, module, status = experiment.trainer, experiment.module, "finished"
        ended: dict[str, Any] = {"final": module.final, "step": trainer.global_step, "epoch": trainer.current_epoch}
        if self.config.model.solver == "exact":  # it has taken no step that would have saved one
            self.checkpoints.save(trainer)
        if self.stop_when is not None and self.stop_when.reason is not None:
            status, ended["reason"] = "stopped", self.stop_when.reason
        self._close(status, **ended, **module.state_entries, **self.checkpoints.state_entries)

    def end(self, reason: BaseException) -> None:
        """Write down how a session ended by an exception; before it runs, a mistake of the user's is no failure."""
        if self._trainer is not None:
            status, entries = status_of(reason)
            self._close(status, **entries)
        elif isinstance(reason, Exception) and not isinstance(reason, UserError | Interrupted) and is_first_rank():
            self.run.update_state(status="failed", reason=f"{type(reason).__name__}: {reason}")

    def _close(self, status: str, **outcome: Any) -> None:
        """Write down how it ended; after ``taken over`` the directory is left alone."""
        run, trainer = self.run, self._trainer
        assert trainer is not None
        seconds = self._seconds_before + time.perf_counter() - self._started
        if trainer.is_global_zero and status != "taken over":
            if status in ENDED:
                run.delete_features()  # an extended run computes them again
            if status == "diverged":
                outcome = {"step": trainer.global_step, "epoch": trainer.current_epoch, **outcome}
            with contextlib.suppress(*([] if status in ENDED else [OSError])):  # a full disk: what stopped it is told
                run.update_state(status=status, seconds=round(seconds, 3), **outcome)
        if self.remote is not None:
            self.remote.close(status)
        for logger in self.beside:
            logger.close(status)


def status_of(reason: BaseException) -> tuple[str, dict[str, Any]]:
    """What becomes of a run whose training ended by an exception: its status, and what else is written down."""
    if isinstance(reason, Diverged):
        step = {} if reason.step is None else {"step": reason.step}  # not where it was seen, which may be later
        return "diverged", {"reason": str(reason), **step}
    if isinstance(reason, Interrupted):
        return ("taken over" if reason.signal == TAKEN_OVER else "interrupted"), {}
    return "failed", {"reason": f"{type(reason).__name__}: {reason}"} if isinstance(reason, Exception) else {}
