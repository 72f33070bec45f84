"""The Lightning parts of an experiment, for a script or a notebook of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from repro.config import Config, flatten, from_mapping, read_yaml, to_flat
from repro.distributed.processes import alone
from repro.importing import trusting
from repro.runs.build import Experiment
from repro.runs.build import build as build_experiment
from repro.runs.build import restore as restore_experiment
from repro.runs.start import resolve, stored_checkpoint
from repro.runs.validation import CODE_KEYS


def build(configuration: str | Path | None = None, *, trust: Sequence[str] = (), **options: Any) -> Experiment:
    """Make what ``repro fit`` would train: `module`, a LightningModule, and `data`, a LightningDataModule.

    It seeds all random generators first. Only the callbacks and loggers of your Trainer record anything. Callbacks such
    as EarlyStopping can monitor ``train/accuracy``, ``test/cross_entropy`` and so on. After `Trainer.test`, which also
    evaluates the training set, these are in ``trainer.callback_metrics``.

    Args:
        configuration: A YAML file. Default: the defaults of `repro fit`.
        trust: Code that the file may import: packages, modules or ``package.module:Name``.
        options: Changes to the configuration: ``seed=3``, or by group, ``model={"network": "resnet20"}``.

    Raises:
        UserError: In all cases in which ``repro fit`` refuses to start.

    Example:
        >>> parts = build(model={"network": "resnet8", "width": 4}, seed=3)
        >>> type(parts.module).__name__, type(parts.data).__name__
        ('Classifier', 'MNIST5k')
    """
    config = _with({} if configuration is None else read_yaml(configuration), options)
    with trusting([*trust, *_typed(options)]):
        return build_experiment(resolve(config).config)


def restore(path: str | Path, *, trust: Sequence[str] = (), **options: Any) -> Experiment:
    """Load a run: its network with the weights of its newest checkpoint, in evaluation mode, and its data.

    Args:
        path: The run's directory, one of its checkpoints, or the folder of a card (`repro card`).
        trust: Code that the run may import, as in `build`.
        options: As in `build`, such as ``data={"root": "elsewhere"}`` if the data are in another folder here.

    Raises:
        UserError: The run or checkpoint does not exist, is damaged or is another network's, or the data are missing.

    Example:
        >>> import repro
        >>> experiment = restore("runs/single/RUN")
        >>> frame = repro.measure(experiment.module.network, experiment.data.probe(64)[0])
        >>> sorted(set(frame["measurement"]))
        ['representations', 'weights']
    """
    _, config, checkpoint = stored_checkpoint(path)
    config = alone(_with(to_flat(config), options))
    with trusting([*trust, *_typed(options)]):
        experiment, _ = restore_experiment(resolve(config).config, checkpoint)
    experiment.module.eval()
    experiment.data.setup("fit")
    return experiment


def _typed(options: dict[str, Any]) -> list[str]:
    """The import paths of code among a caller's options: who writes them trusts them."""
    flat = flatten(options, source="options")
    return [str(name) for key in CODE_KEYS if ":" in str(name := flat.get(key, ""))]


def _with(mapping: dict[str, Any], options: dict[str, Any]) -> Config:
    return from_mapping({**flatten(mapping), **flatten(options, source="options")})
