"""From a configuration to a finished run directory."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.plugins.environments import SLURMEnvironment  # type: ignore[attr-defined]
from torch import Tensor, nn

from repro.config import Config
from repro.data import create_data, provenance
from repro.data.batches import Batches
from repro.errors import UserError
from repro.networks import create_network
from repro.networks.assumptions import unmet
from repro.networks.initialization import INITIALIZATIONS
from repro.networks.skip import SkipToOutput
from repro.records import ENDED, RunDirectory, environment
from repro.training.batch_statistics import synchronise
from repro.training.checkpoint_file import CheckpointFile, load_weights, newest_sound, signature
from repro.training.checkpoints import RunCheckpoints, sweep
from repro.training.checks import full_batch, kind_options, network_options, train_samples
from repro.training.classifier import Classifier, Diverged
from repro.training.compiled import Compiled, require_compiler
from repro.training.exact import require_memory, solve
from repro.training.facts import device_facts
from repro.training.features import Place
from repro.training.graph import GraphClassifier, require_gpu
from repro.training.heap import keep_heap
from repro.training.interrupt import TAKEN_OVER, Interrupted, StopRequest
from repro.training.measuring import MeasureCallback
from repro.training.placement import devices, in_slurm, is_first_rank, several
from repro.training.progress import Progress
from repro.training.random_features import FeatureBatches, OutputClassifier, settle
from repro.training.record_logger import RecordLogger
from repro.training.wandb_logger import WandbIdentifier, mode, wandb_logger

_PATCH_IMAGES = 64  # that are compared for Assumption 3.1
PRECISIONS: dict[str, Any] = {"32": "32-true", "tf32": "32-true", "bf16": "bf16-mixed"}


def _quiet() -> None:
    """Keep Lightning's notes to themselves: what matters, this program says."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for note in (
        ".*does not have many workers.*",
        ".*tensorboardX.*",
        ".*GPU available but not used.*",
        ".*treespec, LeafSpec.*",
        ".*`srun` command is available.*",  # on a login node, or a laptop with SLURM
        ".*module.s. in eval mode at the start of training.*",  # frozen layers are meant to be
        ".*smaller than the logging interval.*",
        ".*Total length of .* across ranks is zero.*",  # nothing is held out
        ".*Trying to infer the `batch_size`.*",
        ".*The `srun` command is available on your system.*",
    ):
        warnings.filterwarnings("ignore", message=note)


@dataclass
class Experiment:
    """The parts that a configuration becomes."""

    config: Config
    module: Classifier
    data: Any
    trainer: Trainer


def build(config: Config, *, loggers: Sequence[Logger] = (), callbacks: Sequence[Callback] = ()) -> Experiment:
    """Build the network, the data and the trainer of a configuration; seeds every generator first.

    Raises:
        UserError: If the data are missing, damaged or too few, or the network cannot be built.
    """
    _quiet()
    config = full_batch(config)
    torch.set_float32_matmul_precision("high" if config.trainer.precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = config.trainer.precision == "tf32"
    seed_everything(config.seed, workers=True, verbose=False)
    data = create_data(
        config.data.name,
        root=config.data.root,
        batch_size=config.data.batch_size,
        evaluation_batch_size=config.data.evaluation_batch_size,
        seed=config.seed,
        train_size=config.data.train_size,
        validation_size=config.data.validation_size,
        split=config.data.split,
        split_seed=config.data.seed,
        normalization=config.data.normalization,
        augmentation=config.data.augmentation,
        **kind_options(config),
        arguments=config.data.arguments,
    )
    network = create_network(
        config.model.network,
        num_classes=data.num_classes,
        in_channels=data.in_channels,
        image_size=data.image_size,
        **network_options(config),
    )
    if config.model.skip_neurons is not None:
        network = _connected(config, network, data)
    if several(config) and config.training.batch_statistics == "synchronised" and config.model.train == "all":
        synchronise(network)
    network = network.to(memory_format=torch.channels_last)  # convolutions run faster
    facts: dict[str, Any] = {"num_classes": data.num_classes, "every_n_steps": config.log.every_n_steps}
    if config.model.train == "output":
        module: Classifier = OutputClassifier(network, image=_blank(data), training=config.training, **facts)
    else:
        kind = GraphClassifier if config.trainer.graph else Classifier
        module = kind(network, training=config.training, **facts)
    trainer = Trainer(
        accelerator=config.trainer.accelerator,
        devices=devices(config),
        num_nodes=config.trainer.num_nodes,
        precision=PRECISIONS[config.trainer.precision],
        max_epochs=config.trainer.max_epochs,
        check_val_every_n_epoch=config.trainer.evaluate_every_n_epochs,
        logger=list(loggers) or False,
        callbacks=list(callbacks),
        enable_checkpointing=any(isinstance(callback, RunCheckpoints) for callback in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        plugins=[
            CheckpointFile(signature(config)),
            *([SLURMEnvironment(auto_requeue=False)] if in_slurm() else []),
        ],
    )
    if trainer.strategy.root_device.type == "cpu":
        keep_heap()
    if config.trainer.graph:
        require_gpu(trainer)
    if config.trainer.compile != "none":
        require_compiler(trainer.strategy.root_device)
        module.compiled = Compiled(network, config.trainer.compile)
    # Lightning's handlers would save and synchronise inside the signal handler, which hangs under DDP: see StopRequest.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    return Experiment(config, module, data, trainer)


def _blank(data: Any) -> Tensor:
    return torch.zeros(1, data.in_channels, data.image_size, data.image_size)


def _features(module: OutputClassifier, data: Any, run: RunDirectory, batches: Batches) -> FeatureBatches:
    """What `OutputClassifier` trains on; called when the network is where it trains."""
    everything = data.batches("train").shared(0, 1)
    settle(module.network, everything)
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


def _connected(config: Config, network: nn.Module, data: Any) -> SkipToOutput:
    """The network with its randomly chosen neurons connected to the output."""
    model = config.model
    assert model.skip_neurons is not None
    connected = SkipToOutput(
        network,
        train_samples(config, "model.skip_neurons train") if model.skip_neurons == "train" else int(model.skip_neurons),
        model.skip_seed,
        image=_blank(data),
        num_classes=data.num_classes,
        head=model.skip_head,
    )
    INITIALIZATIONS[model.initialization](connected.skip)
    return connected


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
    if stop is not None:
        return _fit(config, run, label or run.name, stop)
    stop = StopRequest()
    with stop.listening():
        return _fit(config, run, label or run.name, stop)


def _fit(config: Config, run: RunDirectory, label: str, stop: StopRequest) -> dict[str, Any]:
    started = time.perf_counter()
    before = run.state
    if is_first_rank():
        sweep(run)
    checkpoint = newest_sound(run)
    identifier = before.get("wandb_id") or (checkpoint and WandbIdentifier.stored(checkpoint)) or uuid.uuid4().hex[:8]
    checkpoints = RunCheckpoints(run, config.trainer, stop=stop)
    logger = RecordLogger(run)
    callbacks = [Progress(label, config.trainer.progress), WandbIdentifier(identifier), checkpoints]
    experiment = build(config, loggers=[logger], callbacks=callbacks)
    trainer, module, data = experiment.trainer, experiment.module, experiment.data
    data.trainer = trainer
    data.setup("fit")
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
    remote = wandb_logger(run, config=config, identifier=identifier)
    trainer.loggers = [logger, *([remote] if remote else [])]
    if trainer.is_global_zero:
        run.add_life(
            {
                **environment(),
                **device_facts(config, module, trainer),
                "data": provenance(config.data.name, config.data.root),
            }
        )
        live = remote is not None and mode(config.log) == "online"
        facts = {"status": "running", "wandb_id": identifier, "wandb_live": live, "reason": None}
        run.update_state(**facts, max_epochs=config.trainer.max_epochs)
    if remote is not None:
        remote.start()  # of the record's state before this life
    status, outcome = "failed", {}
    try:
        if config.model.solver == "exact":
            outcome = _solve(experiment, run)
        else:
            trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        trainer.test(module, datamodule=data, verbose=False, weights_only=True)
        if config.model.solver == "exact":
            checkpoints.save(trainer)
        status = "finished"
        outcome |= {"final": module.final, "step": trainer.global_step, "epoch": trainer.current_epoch}
        outcome |= {**module.facts, **checkpoints.facts}
    except Diverged as reason:
        status, outcome = "diverged", {"reason": str(reason)}
    except Interrupted as reason:
        status = "taken over" if reason.signal == TAKEN_OVER else "interrupted"
        raise
    except Exception as error:
        outcome = {"reason": f"{type(error).__name__}: {error}"}
        raise
    finally:
        data.teardown("fit")
        seconds = before.get("seconds", 0.0) + time.perf_counter() - started
        if trainer.is_global_zero and status != "taken over":
            if status in ENDED:
                run.delete_features()  # an extended run computes them again
            with contextlib.suppress(*([] if status in ENDED else [OSError])):  # a full disk: what stopped it is told
                run.update_state(status=status, seconds=round(seconds, 3), **outcome)
        if remote is not None:
            remote.close(status)
    return run.state


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
    )


def restore(config: Config, checkpoint: Path) -> tuple[Experiment, dict[str, Any]]:
    """Build a configuration's experiment with a checkpoint's weights.

    Returns:
        The experiment, and the checkpoint's content.

    Raises:
        UserError: If the checkpoint cannot be read, is another network's, or the data are missing.
    """
    experiment = build(config)
    content = load_weights(checkpoint)
    try:
        experiment.module.load_state_dict(content["state_dict"])
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"cannot use checkpoint '{checkpoint}': {reason}; name another, or train again") from error
    return experiment, content


def evaluate(config: Config, checkpoint: Path) -> dict[str, float]:
    """Evaluate a checkpoint on the training set and every held-out part.

    Returns:
        ``train_accuracy``, ``train_cross_entropy``, ``test_accuracy`` ...
    """
    experiment, _ = restore(config, checkpoint)
    experiment.trainer.test(experiment.module, datamodule=experiment.data, verbose=False, weights_only=True)
    return experiment.module.final
