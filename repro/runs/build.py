"""From a configuration to its network, data and trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningDataModule, Trainer, seed_everything
from lightning.pytorch.loggers.logger import Logger
from torch import Tensor, nn

from repro.config import Config, signature, to_flat
from repro.data import ImageData, create_data
from repro.distributed.environment import cluster_environment
from repro.distributed.processes import check_layout, devices, require_others, several
from repro.distributed.together import Together, attended
from repro.errors import UserError, first_line
from repro.lightning_compat import quiet, without_signal_handlers
from repro.machine.memory import keep_heap
from repro.networks import create_network
from repro.networks.skip import SkipToOutput, connect
from repro.runs.checkpoint_content import other_weights, read, read_weights
from repro.runs.checkpoint_file import CheckpointFile
from repro.runs.checkpoints import RunCheckpoints
from repro.runs.threads import set_threads_to_look, share_threads
from repro.runs.validation import data_options, network_options, require_trusted, train_samples
from repro.training.classifier import Classifier
from repro.training.compiled import Compiled, require_compiler
from repro.training.random_features.classifier import OutputClassifier, feature_batches
from repro.training.random_features.least_norm import LeastNorm, no_batches
from repro.training.sync_batchnorm import synchronise

PRECISIONS: dict[str, Any] = {"32": "32-true", "tf32": "32-true", "bf16": "bf16-mixed"}


@dataclass
class Experiment:
    """The parts that a configuration becomes."""

    config: Config
    module: Classifier
    data: ImageData
    trainer: Trainer

    @property
    def datamodule(self) -> LightningDataModule:
        """The data, for the trainer."""
        return cast(LightningDataModule, self.data)


def build(
    config: Config,
    *,
    loggers: Sequence[Logger] = (),
    callbacks: Sequence[Callback] = (),
    folder: Path | None = None,
    **trainer_options: Any,
) -> Experiment:
    """Build network, data and trainer of a configuration, whose batch size is a number; seeds every generator.

    Nothing is attached to them or replaced afterwards: what a callback needs of the data it fetches in its ``setup``.
    Features that do not fit into memory are kept in `folder`, by default the trainer's ``default_root_dir``. The
    trainer's options go in place of the configuration's. `UserError` where the data are missing, damaged or too few, or
    the network cannot be built.
    """
    quiet()
    require_trusted(config)
    torch.set_float32_matmul_precision("high" if config.trainer.precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = config.trainer.precision == "tf32"
    seed_everything(config.seed, workers=True, verbose=False)
    data = build_data(config)
    network = _network(config, data)
    facts: dict[str, Any] = {"num_classes": data.num_classes, "every_n_steps": config.log.every_n_steps}
    module: Classifier
    if config.model.train == "output":
        output = OutputClassifier(network, image=_blank(data), training=config.training, **facts)
        if config.model.solver == "exact":
            data.training_batches, callbacks = no_batches, [*callbacks, LeastNorm(folder)]
        else:
            data.training_batches = partial(feature_batches, output, data, folder)
        module = output
    else:
        module = Classifier(network, training=config.training, **facts)
    trainer = _trainer(config, loggers, callbacks, trainer_options)
    if trainer.strategy.root_device.type == "cpu":
        keep_heap()
    share_threads(trainer.num_devices)
    if config.trainer.compile != "none":
        require_compiler(trainer.strategy.root_device)
        module.compiled = Compiled(network, config.trainer.compile, mode=config.trainer.compile_mode)
    return Experiment(config, module, data, trainer)


def build_data(config: Config) -> ImageData:
    """The data of a configuration."""
    options = {**data_options(config), "seed": config.seed, "split_seed": config.data.seed}
    return create_data(config.data.name, **options)


def _network(config: Config, data: ImageData) -> nn.Module:
    network = create_network(
        config.model.network,
        num_classes=data.num_classes,
        in_channels=data.in_channels,
        image_size=data.image_size,
        **network_options(config),
    )
    if config.model.skip_neurons is not None and config.model.skip_scale != 0:
        network = _connected(config, network, data)
    if several(config) and config.training.batch_statistics == "synchronised" and config.model.train == "all":
        synchronise(network)
    return network.to(memory_format=torch.channels_last)  # convolutions run faster


def _trainer(
    config: Config, loggers: Sequence[Logger], callbacks: Sequence[Callback], options: dict[str, Any]
) -> Trainer:
    wanted: dict[str, Any] = {
        "accelerator": config.trainer.accelerator,
        "devices": devices(config),
        "num_nodes": config.trainer.num_nodes,
        "precision": PRECISIONS[config.trainer.precision],
        "max_epochs": config.trainer.max_epochs,
        "gradient_clip_val": config.training.clip_gradients,
        "check_val_every_n_epoch": config.trainer.evaluate_every_n_epochs,
        "logger": list(loggers) or False,
        "callbacks": list(callbacks),
        "enable_checkpointing": any(isinstance(callback, RunCheckpoints) for callback in callbacks),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
        "plugins": [
            CheckpointFile(signature(config)),
            *filter(None, [cluster_environment()]),
        ],
    }
    try:
        return without_signal_handlers(Trainer(**{**wanted, **options}))
    except MisconfigurationException as error:  # no such accelerator here, or fewer devices
        raise UserError(
            f"trainer.accelerator is {config.trainer.accelerator} and trainer.devices {config.trainer.devices}, which "
            f"this machine does not have ({first_line(error)})"
        ) from error


def _blank(data: ImageData) -> Tensor:
    return torch.zeros(1, data.in_channels, data.image_size, data.image_size)


def _connected(config: Config, network: nn.Module, data: ImageData) -> SkipToOutput:
    """The network with its randomly chosen neurons connected to the output."""
    model = config.model
    assert model.skip_neurons is not None
    return connect(
        network,
        train_samples(config, "model.skip_neurons train") if model.skip_neurons == "train" else int(model.skip_neurons),
        model.skip_seed,
        image=_blank(data),
        num_classes=data.num_classes,
        head=model.skip_head,
        scale=1.0 if model.skip_scale is None else model.skip_scale,
        initialization=model.initialization,
    )


def restore(config: Config, checkpoint: Path, **trainer_options: Any) -> tuple[Experiment, dict[str, Any]]:
    """Build a configuration's experiment with a checkpoint's weights; options as for `build`.

    Returns the experiment and the checkpoint's content; of a card's weights those, with epoch and global_step.
    `UserError` if the checkpoint cannot be read, is another network's, or the data are missing.
    """
    experiment = build(config, **trainer_options)
    alone = checkpoint.suffix == ".safetensors"
    content, target = (
        (read_weights(checkpoint), experiment.module.network) if alone else (read(checkpoint), experiment.module)
    )
    if other := other_weights(content["state_dict"], target.state_dict()):
        raise UserError(f"cannot use checkpoint '{checkpoint}': it is another network's: {other}; name another")
    target.load_state_dict(content["state_dict"])
    return experiment, content


def evaluate(config: Config, checkpoint: Path) -> dict[str, float]:
    """Evaluate a checkpoint on the training set and every held-out part: ``train_accuracy``, ``test_cross_entropy`` ...

    `UserError` as from `restore`, and where the processes are others than the configuration asks for; `PeerLost` if
    another process has gone.
    """
    check_layout(config)
    require_others(config)
    told = {**to_flat(config), "checkpoint": checkpoint.absolute()}
    ranks = {"strategy": Together({name: str(value) for name, value in told.items()})} if several(config) else {}
    experiment, _ = restore(config, checkpoint, **ranks)
    set_threads_to_look(experiment.module.network, _blank(experiment.data), config.data.evaluation_batch_size)
    trainer = experiment.trainer
    with attended(trainer.strategy):
        trainer.test(experiment.module, datamodule=experiment.datamodule, verbose=False, weights_only=True)
    return experiment.module.final
