"""Run a study's cells here, in turn: finished ones skipped, failed ones named at the end."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Sequence

from repro.distributed.processes import several
from repro.errors import Damaged, PeerLost, UserError, limit_reached
from repro.runs.budget import BEGIN_SECONDS, LEAST_MINUTES, Budget, known_stop
from repro.runs.start import start
from repro.runs.stop import OUT_OF_TIME, CannotSave, Interrupted
from repro.studies.saying import label, say, say_nothing_to_do
from repro.studies.study import StudyCell


def require_useful(budget: Budget, cells: Sequence[StudyCell]) -> None:
    """Refuse a budget under `LEAST_MINUTES`, the time between two checkpoints, or what a run is known to need."""
    text = f"--budget is {budget.minutes:g} minutes"
    if budget.minutes < LEAST_MINUTES:
        raise UserError(f"{text}; allowed: {LEAST_MINUTES:g} or more, to start, train some steps and save them")
    for cell in cells:
        run = cell.resolved.directory
        interval = cell.config.trainer.checkpoint_every_n_minutes
        if run.damage or run.ended:
            continue
        if interval is not None and budget.minutes < interval:
            raise UserError(
                f"{text}, and {interval:g} lie between checkpoints (trainer.checkpoint_every_n_minutes of "
                f"{cell.label} seed {cell.seed}), so that a call that is killed could leave nothing; "
                f"give --budget {interval:g} or more, or --trainer.checkpoint_every_n_minutes {budget.minutes / 3:.1g}"
            )
        needed = 2 * sum(known_stop(run, here=True).values()) / 60
        if budget.minutes < needed:
            raise UserError(
                f"{text}, and {cell.label} seed {cell.seed} takes up to {needed / 2:.2g} for an evaluation and a "
                f"checkpoint alone; give {needed:.2g} or more"
            )


def run_study(cells: Sequence[StudyCell], *, again: bool = False, ends: float = math.inf) -> list[StudyCell]:
    """Run every cell in turn, here, and go on after a failure; returns those that failed.

    Their tracebacks have been printed. By `ends` of `time.monotonic` all has to be over; none begins shortly before.

    Raises:
        Interrupted: When asked to stop, or there is no time for the rest; what is at hand has its checkpoint.
        CannotSave: The disk is full: the others could not save either.
        PeerLost: Another process of a run has gone.
        UserError: For a mistake that shows in the first cell: most likely it is that of all; one that shows later is
            told, and the others go on.
    """
    failed: list[StudyCell] = []
    for number, cell in enumerate(cells, 1):
        name = label(cell, number, len(cells))
        _require_time(cell, name, again=again, ends=ends)
        try:
            outcome = start(cell.resolved, again=again, label=name, ends=ends)
        except (Interrupted, CannotSave, PeerLost):
            raise
        except Exception as error:
            if isinstance(error, UserError):
                of_all = number == 1 and not isinstance(error, Damaged)
                if of_all or several(cell.config):  # other processes are still at this cell
                    raise
                say(f"{name}: {error}")
            elif isinstance(error, OSError) and (told := limit_reached(error)):
                say(f"{name}: {told}")
            else:
                traceback.print_exc()
            say(f"{name}: failed, going on with the next")
            failed.append(cell)
            continue
        if outcome.action == "skipped":
            say_nothing_to_do(name, outcome.run)
    return failed


def _require_time(cell: StudyCell, name: str, *, again: bool, ends: float) -> None:
    if ends - time.monotonic() < BEGIN_SECONDS and (again or not cell.resolved.directory.has_result):
        raise Interrupted(f"no time to begin {name}", signal=OUT_OF_TIME)
