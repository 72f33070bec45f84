"""What can be said against a configuration before torch is imported."""

from __future__ import annotations

import dataclasses

from repro import data, measurements, networks
from repro.config import Config, DataConfig
from repro.errors import UserError
from repro.importing import check_path, require_trust
from repro.measurements.stop_rule import StopRule
from repro.networks.options import CHOSEN
from repro.own_code import source_digest

CODE_KEYS = ("model.network", "data.name")
"""Keys of a configuration that may name code: package.module:Name."""


def network_options(config: Config) -> dict[str, object]:
    """The options of `repro.networks.create_network` that the configuration itself gives."""
    return {key: getattr(config.model, key) for key in CHOSEN}


def train_samples(config: Config, asking: str) -> int:
    """How many training images the configuration leaves.

    `UserError` names the option that asks, for a data set by import path, whose number is not known beforehand.
    """
    if ":" in config.data.name:
        raise UserError(f"{asking} works only with data sets of this package; give a number for '{config.data.name}'")
    if config.data.train_size:
        return config.data.train_size
    count = data.counted(config.data.name, config.data.root).train
    if count <= config.data.validation_size:
        raise UserError(f"data.validation_size is {config.data.validation_size}; allowed: below the {count} images")
    return count - config.data.validation_size


def full_batch(config: Config) -> Config:
    """The configuration with the batch size ``full`` replaced by its number, so that both are the same run."""
    if config.data.batch_size != "full":
        return config
    return with_batch_size(config, train_samples(config, "data.batch_size full"))


def with_batch_size(config: Config, batch_size: int) -> Config:
    """The configuration with another batch size."""
    return dataclasses.replace(config, data=dataclasses.replace(config.data, batch_size=batch_size))


_RESIDENT, _DECODED = ("padding", "residence"), ("image_size", "resize_size", "orientation", "workers")


def kind_options(config: Config) -> dict[str, object]:
    """The options that only one kind of data sets takes, as far as the configuration gives any."""
    usual = DataConfig()
    options = {key: getattr(config.data, key) for key in (*_RESIDENT, *_DECODED)}
    return {key: value for key, value in options.items() if value != getattr(usual, key)}


def data_options(config: Config) -> dict[str, object]:
    """The options of `repro.data.create_data`, apart from seeds: those of one kind of data sets as far as given."""
    left_out = {"name", "seed", *_RESIDENT, *_DECODED} - kind_options(config).keys()
    return {key: value for key, value in vars(config.data).items() if key not in left_out}


def _check_data_options(config: Config, dataset: data.Dataset) -> None:
    if config.data.augmentation not in dataset.augmentations:
        allowed = ", ".join(dataset.augmentations)
        raise UserError(f"data.augmentation is {config.data.augmentation}; {config.data.name} takes {allowed}")
    foreign = _DECODED if dataset.tree is None else _RESIDENT
    for key in kind_options(config):
        if key in foreign:
            kind = "decoded from files" if dataset.tree is None else "of small images held in memory"
            raise UserError(f"data.{key} is for data sets {kind}; {config.data.name} takes none")


def require_trusted(config: Config) -> None:
    """Refuse a configuration that names untrusted code; call it before anything that it names is imported."""
    for key, name, arguments in zip(
        CODE_KEYS,
        (config.model.network, config.data.name),
        (config.model.arguments, config.data.arguments),
        strict=True,
    ):
        if ":" in name:
            check_path(name, "network" if key == "model.network" else "dataset")
            require_trust(name, key, arguments)
    for name in (*config.measure.measurements, *config.measure.every_n_steps):
        if ":" in name:
            check_path(name, "measurement")
            require_trust(name, "measure.measurements")


def own_code(config: Config) -> dict[str, str]:
    """Checksums of the code that a configuration names, by its keys: with them an edited network is another run."""
    named = zip(CODE_KEYS, (config.model.network, config.data.name), strict=True)
    return {key: source_digest(path) or "unknown" for key, path in named if ":" in path}


def check_names(config: Config) -> None:
    """Check what can be checked without looking at data, which may be elsewhere."""
    require_trusted(config)
    if ":" not in config.data.name:
        _check_data_options(config, data.dataset(config.data.name))
    networks.check(config.model.network, **network_options(config))
    taken = [*config.measure.measurements, *config.measure.every_n_steps]
    measurements.check(taken)
    if (rule := config.training.stop_when) is not None:
        StopRule.of(rule, taken)


def check(config: Config) -> str:
    """Check names, combinations and data files; returns the data's fingerprint, with that of the user's own code."""
    check_names(config)
    _check_combinations(config)
    if ":" not in config.data.name:
        dataset = data.counted(config.data.name, config.data.root)
        _check_sizes(config, dataset)
        networks.check(
            config.model.network,
            num_classes=dataset.classes,
            in_channels=dataset.channels,
            image_size=config.data.image_size or dataset.image_size,
            **network_options(config),
        )
    fingerprint = data.fingerprint(config.data.name, config.data.root, config.data.arguments)
    return " ".join([fingerprint, *own_code(config).values()])


def _check_sizes(config: Config, dataset: data.Dataset) -> None:
    """Refuse parts, batches and probes that are larger than what the data have, all of them at once."""
    name, wanted, wrong = config.data.name, config.data, []
    kept = dataset.train - wanted.validation_size
    if wanted.train_size is not None and wanted.train_size > kept:
        wrong.append(f"data.train_size is {wanted.train_size}; {name} leaves {kept} images")
    kept = min(kept, wanted.train_size or kept)
    if wanted.test_size is not None and wanted.test_size > dataset.test:
        wrong.append(f"data.test_size is {wanted.test_size}; {name} has {dataset.test} images")
    measure = config.measure
    sizes = {
        "data.batch_size": int(full_batch(config).data.batch_size),
        "measure.probe_size": measure.probe_size if measure.measurements or measure.every_n_steps else 0,
    }
    if larger := [f"{key} is {size}" for key, size in sizes.items() if size > kept]:
        wrong.append(f"{', '.join(larger)}; allowed: up to the {kept} training images")
    if wrong:
        raise UserError("; ".join(wrong))


def _check_combinations(config: Config) -> None:
    """Refuse options that do not go together."""
    model, trainer, optimizer = config.model, config.trainer, config.training.optimizer
    if model.train == "output" and optimizer == "muon":
        raise UserError(
            "model.train output trains the output layer alone, and training.optimizer muon is for matrices before it; "
            "take sgd or adamw"
        )
    if model.solver == "exact" and optimizer != "sgd":
        raise UserError(f"model.solver exact makes no training steps; leave training.optimizer {optimizer} out")
    if model.solver == "exact" and config.training.stop_when is not None:
        raise UserError("model.solver exact makes no training steps; leave training.stop_when out")
    if model.train == "output" and config.data.augmentation != "none":
        raise UserError(
            "model.train output computes each image's features once, and data.augmentation "
            f"{config.data.augmentation} changes them every time; set data.augmentation none, or model.train all"
        )
    if model.skip_scale is not None and model.skip_neurons is None:
        raise UserError("model.skip_scale is for skip connections to the output; set model.skip_neurons with it")
    if model.skip_scale is not None and model.train == "output":
        raise UserError(
            "model.skip_scale needs model.train all: if only the output trains, its weights absorb any factor"
        )
    if model.skip_scale == 0 and model.skip_head == "replace":
        raise UserError("model.skip_scale 0 with model.skip_head replace leaves no output; take skip_head add")
    if model.solver == "exact" and model.train != "output":
        raise UserError("model.solver exact solves for the output layer alone; set model.train output with it")
    if model.solver == "exact" and (trainer.devices not in ("auto", 1) or trainer.num_nodes > 1):
        devices = f"trainer.devices is {trainer.devices} and trainer.num_nodes {trainer.num_nodes}"
        raise UserError(f"model.solver exact is one factorization in one process; {devices}; allowed: 1 each")
    if trainer.compile != "none" and model.train == "output":
        raise UserError(
            "model.train output trains one linear layer on features that are computed once, and there is nothing to "
            "compile; set --trainer.compile none"
        )
    if trainer.compile == "none" and trainer.compile_mode != "default":
        raise UserError(
            f"trainer.compile_mode {trainer.compile_mode} is for what is compiled; set --trainer.compile blocks "
            "or network with it"
        )
