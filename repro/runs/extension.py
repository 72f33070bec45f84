"""A longer run that goes on from where a shorter one ended, where that is the same result."""

from __future__ import annotations

import dataclasses
import shutil
import sys

from repro.config import Config, determining, former_identity, identity, load
from repro.distributed.processes import several
from repro.errors import UserError
from repro.records import RunDirectory

_RECORDS = ("metrics.jsonl", "readings.jsonl", "spectra.jsonl")


def longest_shorter(run: RunDirectory, config: Config, fingerprint: str) -> RunDirectory | None:
    """The longest finished run beside another one that differs from it in having fewer epochs alone.

    None where the learning rate depends on the number of epochs: the steps that both have would differ. None for
    several processes: they start at once, and would not all find the checkpoint.

    Args:
        run: The longer run's directory.
        config: Its configuration.
        fingerprint: Of its data, and of the user's own code.
    """
    if config.training.milestones or config.model.solver == "exact" or several(config):
        return None
    wanted, found = determining(config), []
    for path in run.path.parent.glob("*/config.yaml"):
        other = RunDirectory(path.parent)
        try:
            theirs = load(path)
            longer = dataclasses.replace(theirs.trainer, max_epochs=config.trainer.max_epochs)
            same = determining(dataclasses.replace(theirs, trainer=longer)) == wanted
            shorter = theirs.trainer.max_epochs < config.trainer.max_epochs
            finished = same and shorter and other.state.get("status") == "finished"
            names = (identity(theirs, fingerprint), former_identity(theirs, fingerprint))  # for the data, too
            if finished and other.name.endswith(names) and other.saved_checkpoints():
                found.append((theirs.trainer.max_epochs, other))
        except UserError:  # damaged, or of another version
            continue
    return max(found, key=lambda each: each[0])[1] if found else None


def go_on_from(shorter: RunDirectory, run: RunDirectory, config: Config) -> None:
    """Give a new run the records and the last checkpoint of a shorter one, and say so."""
    from repro.runs.checkpoint_file import adopt

    for name in _RECORDS:
        if (shorter.path / name).exists():
            shutil.copyfile(shorter.path / name, run.path / name)
    adopt(shorter.saved_checkpoints()[-1], run.checkpoints, config)
    state = {key: value for key, value in shorter.state.items() if key in ("step", "epoch", "seconds")}
    run.update_state(**state, goes_on_from=shorter.name)
    print(f"repro: {run.name} goes on from the end of {shorter.name}: its steps are the same", file=sys.stderr)
