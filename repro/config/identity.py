"""What makes two runs the same run, and what a run is called."""

from __future__ import annotations

import hashlib
import re

from repro.config.parsing import to_flat
from repro.config.schema import Config
from repro.text import canonical

_WHOLE_GROUPS = ("model.", "training.")
_KEYS = (
    "seed",
    "trainer.max_epochs",
    "trainer.precision",
    *(_COMPILED := ("trainer.compile", "trainer.compile_mode")),
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
    "data.orientation",
    "data.arguments",
)


_SHORT = {"trainer.max_epochs": "epochs", "trainer.num_nodes": "nodes"}


def determining(config: Config) -> dict[str, object]:
    """The part of a configuration that determines the result: no paths, logs, intervals or devices.

    The number of epochs belongs to it: milestones are shares of all steps, and even without any it says which of the
    networks along the way is the result. So do the processes where each normalises its own part of a batch, and where
    a rule may end the run (``training.stop_when``) what is measured and evaluated when: the rule reads it.
    """
    local, ruled = config.training.batch_statistics == "local", config.training.stop_when is not None
    keys = {*_KEYS, *(("trainer.devices", "trainer.num_nodes") if local else ())}
    keys |= {"trainer.evaluate_every_n_epochs"} if ruled else set()
    groups = (*_WHOLE_GROUPS, "measure.") if ruled else _WHOLE_GROUPS
    return {key: value for key, value in to_flat(config).items() if key.startswith(groups) or key in keys}


def signature(config: Config) -> str:
    """`determining` as text: equal for equal runs, apart from the content of their data and of the user's own code."""
    return canonical(determining(config))


def identity(config: Config, fingerprint: str) -> str:
    """Eight hexadecimal digits that name a run, by its configuration and a checksum of its data and the user's code.

    Made of what differs from the defaults, so that an option which a later version adds changes no run's identity while
    it is not used. (A default must therefore never change its meaning.)
    """
    return _digest(_differing(config), fingerprint)


def former_identities(config: Config, fingerprint: str) -> tuple[str, ...]:
    """How older versions named a run: newest first.

    The first did not count what is compiled; the second, besides, continued a run for more epochs under its own name.
    """
    later = ("trainer.max_epochs", "trainer.devices", "trainer.num_nodes")
    settings = _differing(config)
    return tuple(
        _digest({key: value for key, value in settings.items() if key not in left_out}, fingerprint)
        for left_out in (_COMPILED, (*_COMPILED, *later))
    )


def _differing(config: Config) -> dict[str, object]:
    usual = to_flat(Config())
    return {key: value for key, value in determining(config).items() if value != usual[key]}


def _digest(settings: dict[str, object], fingerprint: str) -> str:
    content = canonical([settings, fingerprint])
    return hashlib.sha256(content.encode()).hexdigest()[:8]


def _slug(text: object) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", str(text).lower()).strip("-")


def run_name(config: Config, base: Config, fingerprint: str) -> str:
    """The run's folder: what differs from its base, the seed, the identity (``resnet110-width8-seed0-1a2b3c4d``)."""
    if config.name:
        readable = config.name
    else:
        before = to_flat(base)
        changed = {
            key: value
            for key, value in determining(config).items()
            if value != before[key] and key not in ("model.network", "seed")
        }
        parts = [_slug(config.model.network.replace(":", "-"))]
        short = {key: _SHORT.get(key, key.split(".")[-1].split("_")[0]) for key in changed}
        parts += [_slug(f"{short[key]}{value}") for key, value in changed.items()]
        readable = "-".join(parts)[:80]
    return f"{readable}-seed{config.seed}-{identity(config, fingerprint)}"
