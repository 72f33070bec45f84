"""`repro doctor --rehearse`: small runs on the cluster that meet what long ones will."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import get_args

from repro.cluster import slurm
from repro.commands.configuration import ConfiguredRequest
from repro.commands.options import option
from repro.commands.slurm.jobs import OnSlurm, of_sbatch
from repro.config import Config
from repro.errors import UserError


class Rehearsal(ConfiguredRequest, OnSlurm):
    """A request to try a cluster."""

    events: tuple[str, ...] = option(
        "how the jobs are stopped: requeue, term, limit, preempt (default: the first three; preempt with --preempt-by)",
        default=(),
        nargs="+",
    )
    preempt_by: tuple[str, ...] = option(
        "sbatch option of a job that preempts ours, such as --preempt-by=--partition=urgent; ours then takes a whole "
        "node, so that it preempts no job of other people",
        default=(),
        action="append",
        metavar="OPTION",
    )
    step: float = option("seconds that a training step of your runs takes", default=1.0)
    wait: float = option("minutes after which the rehearsal gives up", default=30.0)


def rehearse(request: Rehearsal) -> int:
    """Play it, and print a verdict a line; the status is 1 if a setting stands against one."""
    from repro.cluster.rehearsal.plan import Plan, texts
    from repro.cluster.rehearsal.stage import rehearse as play
    from repro.cluster.rehearsal.verdict import Event

    config, urgent = request.config, of_sbatch("--preempt-by", request.preempt_by)
    if config != replace(Config(), runs=config.runs, trainer=config.trainer):
        raise UserError("--rehearse trains a small run of its own; of a configuration it takes --trainer.* and --runs")
    events = request.events or ("requeue", "term", "limit", *(["preempt"] if urgent else []))
    allowed = get_args(Event)
    if odd := set(events) - set(allowed):
        raise UserError(f"--events has '{min(odd)}'; allowed: {', '.join(allowed)}")
    if ("preempt" in events) != bool(urgent):
        raise UserError("a preemption needs both: --events preempt and --preempt-by=--partition=NAME (or --qos)")
    resources = replace(request.resources(), time=request.time or "5")
    if not 120 <= slurm.seconds(resources.time) <= 60 * request.wait:
        raise UserError(f"--time is '{resources.time}'; allowed in a rehearsal: 2 minutes to --wait ({request.wait:g})")
    if not 0 < request.step <= 3_600:
        raise UserError(f"--step is {request.step:g}; allowed: seconds above 0, up to 3,600")
    plan = Plan(
        events=tuple(event for event in allowed if event in events),
        resources=resources,
        config=config,
        folder=Path(config.runs) / f"rehearsal-{datetime.now():%Y%m%d-%H%M%S}",
        step=request.step,
        wait=request.wait,
        urgent=urgent,
    )
    if request.dry_run:
        print("\n".join(texts(plan)))
        return 0
    verdicts = play(plan)
    for verdict in verdicts:
        print(verdict)
    return 1 if any(verdict.against for verdict in verdicts) else 0
