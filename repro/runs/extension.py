"""A longer run that goes on from where a shorter one ended, where that is the same result."""

from __future__ import annotations

import dataclasses
import shutil

from repro.config import Config, determining, former_identities, identity, load
from repro.distributed.processes import several
from repro.errors import UserError
from repro.records import RunDirectory
from repro.text import say

_RECORDS = ("metrics.jsonl", "readings.jsonl", "spectra.jsonl")


def longest_shorter(run: RunDirectory, config: Config, fingerprint: str) -> RunDirectory | None:
    """The longest finished run beside another one that differs from it in having fewer epochs alone.

    None where the learning rate depends on the number of epochs: the steps that both have would differ; or where the
    shorter one may have ended before its last epoch's end. None for several processes: they start at once, and would
    not all find the checkpoint. The fingerprint is that of data and of the user's own code.
    """
    training = config.training
    by_length = training.schedule == "cosine" or (training.schedule == "milestones" and training.milestones)
    if by_length or training.max_steps or training.stop_when or config.model.solver == "exact" or several(config):
        return None
    wanted, candidates = determining(config), []
    for path in run.path.parent.glob("*/config.yaml"):
        other = RunDirectory(path.parent)
        try:
            loaded = load(path)
            longer = dataclasses.replace(loaded.trainer, max_epochs=config.trainer.max_epochs)
            same = determining(dataclasses.replace(loaded, trainer=longer)) == wanted
            shorter = loaded.trainer.max_epochs < config.trainer.max_epochs
            finished = same and shorter and other.state.get("status") == "finished"
            names = (identity(loaded, fingerprint), *former_identities(loaded, fingerprint))  # for the data, too
            if finished and other.name.endswith(names) and other.saved_checkpoints():
                candidates.append((loaded.trainer.max_epochs, other))
        except UserError:  # damaged, or of another version
            continue
    return max(candidates, key=lambda candidate: candidate[0])[1] if candidates else None


def go_on_from(shorter: RunDirectory, run: RunDirectory, config: Config) -> None:
    """Give a new run the records and the last checkpoint of a shorter one, and say so."""
    from repro.runs.checkpoint_file import adopt

    for name in _RECORDS:
        if (shorter.path / name).exists():
            shutil.copyfile(shorter.path / name, run.path / name)
    adopt(shorter.saved_checkpoints()[-1], run.checkpoints, config)
    state = {key: value for key, value in shorter.state.items() if key in ("step", "epoch", "seconds")}
    run.update_state(**state, goes_on_from=shorter.name)
    say(f"{run.name} goes on from the end of {shorter.name}: its steps are the same")
