"""What every command that trains can be told."""

from __future__ import annotations

from repro.commands.options import Request, option
from repro.runs.budget import Budget


class Again(Request):
    """A request to train, which can begin anew."""

    again: bool = option("train finished runs again; keep the old ones as NAME.1", default=False)


class Starting(Again):
    """A request to train within a time."""

    budget: Budget = option(
        "save checkpoints and stop within this time; the same command continues, also on another machine",
        default=Budget(),
        read=Budget.of,
        metavar="MINUTES",
    )
