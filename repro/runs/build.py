"""From a configuration to its network, data and trainer."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.plugins.environments import SLURMEnvironment  # type: ignore[attr-defined]
from torch import Tensor, nn

from repro.config import Config, signature
from repro.data import create_data
from repro.distributed.processes import devices, in_slurm, several
from repro.errors import UserError
from repro.networks import create_network
from repro.networks.initialization import INITIALIZATIONS
from repro.networks.skip import SkipToOutput
from repro.runs.checkpoint_content import other_weights, read
from repro.runs.checkpoint_file import CheckpointFile
from repro.runs.checkpoints import RunCheckpoints
from repro.runs.threads import set_threads_to_look
from repro.runs.validation import full_batch, kind_options, network_options, require_trusted, train_samples
from repro.training.classifier import Classifier
from repro.training.compiled import Compiled, require_compiler
from repro.training.malloc import keep_heap
from repro.training.random_features.classifier import OutputClassifier
from repro.training.sync_batchnorm import synchronise

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
    require_trusted(config)
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
        test_size=config.data.test_size,
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
        module = Classifier(network, training=config.training, **facts)
    try:
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
    except MisconfigurationException as error:  # no such accelerator here, or fewer devices
        raise UserError(
            f"trainer.accelerator is {config.trainer.accelerator} and trainer.devices {config.trainer.devices}, which "
            f"this machine has not ({next(iter(str(error).splitlines()), '')})"
        ) from error
    if trainer.strategy.root_device.type == "cpu":
        keep_heap()
    if config.trainer.compile != "none":
        require_compiler(trainer.strategy.root_device)
        module.compiled = Compiled(network, config.trainer.compile, mode=config.trainer.compile_mode)
    # Lightning's handlers would save and synchronise inside the signal handler, which hangs under DDP: see StopRequest.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    return Experiment(config, module, data, trainer)


def _blank(data: Any) -> Tensor:
    return torch.zeros(1, data.in_channels, data.image_size, data.image_size)


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


def restore(config: Config, checkpoint: Path) -> tuple[Experiment, dict[str, Any]]:
    """Build a configuration's experiment with a checkpoint's weights.

    Returns:
        The experiment, and the checkpoint's content.

    Raises:
        UserError: If the checkpoint cannot be read, is another network's, or the data are missing.
    """
    experiment = build(config)
    content = read(checkpoint)
    if other := other_weights(content["state_dict"], experiment.module.state_dict()):
        raise UserError(f"cannot use checkpoint '{checkpoint}': it is another network's: {other}; name another")
    experiment.module.load_state_dict(content["state_dict"])
    return experiment, content


def evaluate(config: Config, checkpoint: Path) -> dict[str, float]:
    """Evaluate a checkpoint on the training set and every held-out part.

    Returns:
        ``train_accuracy``, ``train_cross_entropy``, ``test_accuracy`` ...
    """
    experiment, _ = restore(config, checkpoint)
    set_threads_to_look(experiment.module.network, _blank(experiment.data), config.data.evaluation_batch_size)
    experiment.trainer.test(experiment.module, datamodule=experiment.data, verbose=False, weights_only=True)
    return experiment.module.final
