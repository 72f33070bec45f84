"""What makes two runs the same run, and what a run is called."""

from __future__ import annotations

import hashlib
import json
import re

from repro.config.parsing import to_flat
from repro.config.schema import Config

_WHOLE_GROUPS = ("model.", "training.")
_KEYS = (
    "seed",
    "trainer.precision",
    "data.name",
    "data.batch_size",
    "data.train_size",
    "data.validation_size",
    "data.test_size",
    "data.split",
    "data.seed",
    "data.normalization",
    "data.augmentation",
    "data.padding",
    "data.image_size",
    "data.resize_size",
    "data.arguments",
)


def determining(config: Config) -> dict[str, object]:
    """The part of a configuration that determines the result: no paths, logs, intervals or devices.

    `trainer.max_epochs` is left out so that a larger one extends the run.
    """
    return {key: value for key, value in to_flat(config).items() if key.startswith(_WHOLE_GROUPS) or key in _KEYS}


def identity(config: Config, fingerprint: str) -> str:
    """Eight hexadecimal digits that name the result.

    Made of what differs from the defaults, so that an option which a later version adds changes no run's identity
    while it is not used. (A default must therefore never change its meaning.)

    Args:
        config: The configuration.
        fingerprint: A checksum of the data set.
    """
    usual = determining(Config())
    given = {key: value for key, value in determining(config).items() if value != usual[key]}
    content = json.dumps([given, fingerprint], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:8]


def _slug(text: object) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", str(text).lower()).strip("-")


def run_name(config: Config, base: Config, fingerprint: str) -> str:
    """The run's folder: what differs from its base, the seed, the identity (``resnet110-width8-seed0-1a2b3c4d``)."""
    if config.name:
        readable = config.name
    else:
        before = determining(base)
        changed = {
            key: value
            for key, value in determining(config).items()
            if value != before[key] and key not in ("model.network", "seed")
        }
        parts = [_slug(config.model.network.replace(":", "-"))]
        parts += [_slug(f"{key.split('.')[-1].split('_')[0]}{value}") for key, value in changed.items()]
        readable = "-".join(parts)[:80]
    return f"{readable}-seed{config.seed}-{identity(config, fingerprint)}"
