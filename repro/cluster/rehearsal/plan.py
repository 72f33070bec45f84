"""What a rehearsal submits: jobs that train the same, for an event each, and one that is left alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from repro.cluster import sbatch, scripts, slurm
from repro.cluster.rehearsal import paced
from repro.cluster.rehearsal.scene import Scene
from repro.cluster.rehearsal.verdict import Event
from repro.config import Config
from repro.text import shell

_EPOCH_STEPS = 20
_CHECKPOINT_SECONDS = 2.5
_START_SECONDS = 60
"""What a start may take until the first step, on a busy file server."""
_LONGEST_MINUTES = 15
"""Time limit of the jobs that are not to meet it."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is rehearsed, and how."""

    events: Sequence[Event]
    resources: sbatch.Resources
    config: Config
    """Of which nodes, devices and kind of device count."""
    folder: Path
    """Where everything of it goes."""
    step: float
    """Seconds of a step."""
    wait: float
    """Minutes after which it gives up."""
    urgent: Sequence[str]
    """Options of sbatch for the job that pushes one out."""
    poll: float = 5.0
    """Seconds between two looks."""

    @property
    def seconds(self) -> float:
        """What it takes once its jobs have started, beside SLURM's hold of requeued jobs."""
        return (self.limit if "limit" in self.events else 30 * self.step) + 2 * _START_SECONDS

    @property
    def limit(self) -> float:
        """Seconds of the life that meets its time limit."""
        return slurm.seconds(self.resources.time)


def texts(plan: Plan) -> Iterator[str]:
    """The scripts that a rehearsal would submit."""
    for scene in scenes(plan):
        yield sbatch.text(scene.job)
        if scene.urgent:
            yield scene.urgent


def scenes(plan: Plan) -> list[Scene]:
    """First the run that is left alone."""
    trainer = plan.config.trainer
    epochs = math.ceil((plan.limit + _START_SECONDS) / plan.step / _EPOCH_STEPS)
    arguments = [
        *("--model.network", f"{paced.__name__}:Paced", "--data.train_size", str(32 * _EPOCH_STEPS)),
        *("--data.batch_size", "32", "--data.validation_size", "100", "--training.warmup_steps", "5"),
        *("--trainer.max_epochs", str(epochs), "--trainer.evaluate_every_n_epochs", str(epochs)),
        *("--trainer.checkpoint_every_n_steps", str(max(1, round(_CHECKPOINT_SECONDS / plan.step)))),
        *("--trainer.progress", "none"),
        *("--trainer.accelerator", trainer.accelerator, "--trainer.devices", str(trainer.devices)),
        *("--trainer.num_nodes", str(trainer.num_nodes), "--measure.measurements", "[]"),
        *("--log.every_n_steps", "1", "--log.wandb", "disabled", "--runs", str(plan.folder / "runs")),
    ]
    return [_scene(plan, event, arguments) for event in (None, *plan.events)]


def _scene(plan: Plan, event: Event | None, arguments: Sequence[str]) -> Scene:
    own = event or "alone"
    name = f"repro-{plan.folder.name}-{own}"
    resources = plan.resources
    if event is not None:
        paces = {paced.PACE: plan.step, paced.FOLDER: (plan.folder / "runs" / own).absolute()}
        lines = [resources.setup.rstrip("\n"), *(shell("export", f"{key}={value}") for key, value in paces.items())]
        resources = dataclasses.replace(resources, setup="\n".join(lines).lstrip("\n"))
    if event != "limit":
        resources = dataclasses.replace(resources, time=str(math.ceil(min(plan.wait, _LONGEST_MINUTES))))
    if event == "preempt":  # nobody else's job is on its node: none is pushed out with it
        resources = dataclasses.replace(resources, extra=(*resources.extra, "--exclusive"))
    job = scripts.run(
        name,
        [*arguments, "--study", own],
        output=f"{slurm.log_pattern(plan.folder)}/{own}.out",
        where=scripts.layout(plan.config),
        resources=resources,
    )
    notice = int(min(sbatch.SIGNAL_SECONDS, plan.limit / 2))
    return Scene(
        event=event,
        job=dataclasses.replace(job, cpus_per_task=2, notice=notice),
        folder=plan.folder,
        urgent=_urgent(plan, f"{name}-urgent") if event == "preempt" else "",
    )


def _urgent(plan: Plan, name: str) -> str:
    options = [f"--job-name={name}", "--ntasks=1", "--time=1", "--output=/dev/null", *plan.urgent]
    return sbatch.script([(option, "") for option in options], ["sleep 10"])
