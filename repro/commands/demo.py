"""`repro demo`: the study that shows what this is about."""

from __future__ import annotations

import os
from functools import partial

from repro.commands.options import Action, command_parser, option
from repro.commands.starting import Again
from repro.commands.study.run import Run, run


class _Demo(Again):
    seed: tuple[int, ...] | None = option("seeds (default: 0)", default=None)
    runs: str = option("folder of all run directories", default="runs", metavar="DIR")


def main(request: _Demo) -> int:
    """Run the study, without W&B: its charts take time, and the record has everything."""
    os.environ.setdefault("WANDB_MODE", "disabled")
    return run(Run(name="demo", seed=request.seed, runs=request.runs, again=request.again), command=("repro", "demo"))


parser = partial(command_parser, examples=("", "--seed 0 1 2", "--again"), actions=Action(_Demo, main))
