"""W&B's environment variables, as far as a run here takes them: whoever comes from W&B has set them for all scripts."""

from __future__ import annotations

import os
from typing import Any, Literal

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
_REPLACED = ("WANDB_RUN_ID", "WANDB_RESUME")


def said() -> dict[str, Any]:
    """What the environment says of a run's place and labels: name, group, job_type, notes, project, entity, tags."""
    words: dict[str, Any] = {key: os.environ[name] for key, name in _WORDS.items() if os.environ.get(name)}
    tags = [tag.strip() for tag in os.environ.get("WANDB_TAGS", "").split(",") if tag.strip()]
    return words | ({"tags": tags} if tags else {})


def asked_mode() -> Mode | None:
    """The mode that the environment asks for; None if it asks for none. An agent's sweep is online by its nature."""
    if os.environ.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes", "on"):
        return "disabled"
    return _MODES.get(os.environ.get("WANDB_MODE", ""), "online" if sweep_run() else None)


def sweep_run() -> str | None:
    """The id that a sweep's agent has given to the run of this process; None where there is no agent."""
    return os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None


def ignored() -> list[str]:
    """Names of variables that are set and not taken: a run has an id of its own, and always goes on."""
    return [] if sweep_run() else [name for name in _REPLACED if os.environ.get(name)]
