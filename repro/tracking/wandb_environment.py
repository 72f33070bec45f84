"""W&B's environment variables, as far as a run here takes them: whoever comes from W&B has set them for all scripts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from repro.text import printable

Mode = Literal["offline", "online", "disabled"]
_MODES: dict[str, Mode] = {
    "online": "online",
    "run": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
_WORDS = {
    "name": "WANDB_NAME",
    "group": "WANDB_RUN_GROUP",
    "job_type": "WANDB_JOB_TYPE",
    "notes": "WANDB_NOTES",
    "project": "WANDB_PROJECT",
    "entity": "WANDB_ENTITY",
}
_YES, _NO = ("1", "true", "yes", "on", "y", "t"), ("0", "false", "no", "off", "n", "f")
_REPLACED = ("WANDB_RUN_ID", "WANDB_RESUME")


def said() -> dict[str, Any]:
    """What the environment says of a run's place and labels: name, group, job_type, notes, project, entity, tags."""
    words: dict[str, Any] = {key: _text(name) for key, name in _WORDS.items() if os.environ.get(name)}
    tags = [tag.strip() for tag in _text("WANDB_TAGS").split(",") if tag.strip()]
    return words | ({"tags": tags} if tags else {})


def _text(name: str) -> str:
    """A variable as text that can be written: it may hold any bytes."""
    return printable(os.environ.get(name, ""), keep="\n\t")


def asked_mode() -> Mode | None:
    """The mode that the environment asks for; None if it asks for none. An agent's sweep is online by its nature."""
    if _word("WANDB_DISABLED") in _YES:
        return "disabled"
    return _MODES.get(_word("WANDB_MODE"), "online" if sweep_run() else None)


def _word(name: str) -> str:
    return os.environ.get(name, "").strip().lower()


@contextmanager
def spelt(mode: Mode) -> Iterator[None]:
    """WANDB_MODE, if it is set, as W&B spells it: W&B reads it while it starts, too, and takes fewer spellings."""
    if (before := os.environ.get("WANDB_MODE")) is None:
        yield
        return
    os.environ["WANDB_MODE"] = mode
    try:
        yield
    finally:
        os.environ["WANDB_MODE"] = before


def misspelt() -> list[str]:
    """What the environment asks for in words that are not W&B's: a sentence for each."""
    known = {"WANDB_MODE": _MODES, "WANDB_DISABLED": (*_YES, *_NO)}
    odd = [name for name, words in known.items() if _word(name) and _word(name) not in words]
    return [f"{name} is '{os.environ[name]}'; allowed: {', '.join(known[name])}; it is not taken" for name in odd]


def recorded(state: Mapping[str, Any]) -> dict[str, Any]:
    """What `said` returned when a run trained, out of its state, which may be a stranger's."""
    labels = state.get("wandb", {})
    words = {key: labels[key] for key in _WORDS if isinstance(labels.get(key), str)}
    tags = labels.get("tags")
    return words | ({"tags": [str(tag) for tag in tags]} if isinstance(tags, list) else {})


def sweep_run() -> str | None:
    """The id that a sweep's agent has given to the run of this process; None where there is no agent."""
    return os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None


def ignored() -> list[str]:
    """Names of variables that are set and not taken: a run has an id of its own, and always goes on."""
    return [] if sweep_run() else [name for name in _REPLACED if os.environ.get(name)]
