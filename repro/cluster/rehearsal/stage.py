"""The whole rehearsal: its jobs at once, what they wait for said as it changes, and all of them gone at the end."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import math
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from repro.cluster import sbatch, scripts, slurm
from repro.cluster.rehearsal import paced
from repro.cluster.rehearsal.scene import Scene
from repro.cluster.rehearsal.settings import Settings
from repro.cluster.rehearsal.verdict import Event, Verdict, judge
from repro.config import Config
from repro.errors import UserError, refusing
from repro.text import shell

_EPOCH_STEPS = 20
_CHECKPOINT_SECONDS = 2.5
_START_SECONDS = 60
"""What a start may take until the first step, on a busy file server."""


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


def rehearse(plan: Plan) -> list[Verdict]:
    """Play it; every job is cancelled at its end, and by Ctrl-C.

    Raises:
        UserError: SLURM refuses, does not answer, or the run that is left alone does not come to its end.
    """
    alone, *scenes = together = _scenes(plan)
    written = {scene.name: sbatch.text(scene.job) for scene in together}
    with refusing(f"cannot write '{plan.folder}'", "choose another --runs"):
        plan.folder.mkdir(parents=True)
        for name, text in written.items():
            (plan.folder / f"{name}.sbatch").write_text(text, encoding="utf-8")
    with _cleared([scene.job.name for scene in together]):
        for scene in together:
            scene.submit()
        settings = Settings.of(slurm.job(alone.numbers[0])["Partition"])
        print(_announcement(plan, settings, [scene.numbers[0] for scene in together]), flush=True)
        _play(together, settings, plan)
    run = alone.run
    if run is None or run.status != "finished":
        end = " | ".join(alone.log.strip().split("\n")[-4:])
        raise UserError(
            f"the run that nothing happens to has not finished ({alone.seen.gave_up or alone.seen.state}); "
            f"the end of its log, '{plan.folder / 'alone.out'}': {end or 'nothing'}"
        )
    for scene in scenes:
        scene.compare(run)
    return [judge(scene.event, scene.seen, settings, plan.step) for scene in scenes if scene.event is not None]


def texts(plan: Plan) -> Iterator[str]:
    """The scripts that a rehearsal would submit."""
    for scene in _scenes(plan):
        yield sbatch.text(scene.job)
        if scene.urgent:
            yield scene.urgent


def _scenes(plan: Plan) -> list[Scene]:
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
        resources = dataclasses.replace(resources, time=str(math.ceil(plan.wait)))
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


def _announcement(plan: Plan, settings: Settings, jobs: Sequence[str]) -> str:
    minutes = math.ceil((plan.seconds + settings.hold) / 60)
    notes = ""
    if not settings.keeps_accounts and (plan.resources.account or plan.resources.qos):
        notes += "This cluster keeps no accounts: --account and --qos mean nothing. "
    if settings.preemption and "preempt" not in plan.events:
        notes += f"Jobs here are preempted ({settings.preemption}); --preempt-by tries it. "
    return notes + (
        f"{len(jobs)} jobs ({', '.join(jobs)}), all at once; about {minutes} minutes once they have started "
        f"(SLURM holds what it requeues for {settings.hold} s), and {plan.wait:g} at most (--wait). "
        f"Ctrl-C cancels them. Everything of it is in {plan.folder}"
    )


@contextlib.contextmanager
def _cleared(names: Sequence[str]) -> Iterator[None]:
    """At the end every job of these names is cancelled, also one that was accepted late; SIGTERM is as Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        print("cancelled: no job of the rehearsal is left", flush=True)
        raise
    finally:
        for name in (*names, *(f"{name}-urgent" for name in names)):
            with contextlib.suppress(UserError):
                slurm.call("scancel", f"--user={getpass.getuser()}", f"--name={name}")
        signal.signal(signal.SIGTERM, before)


def _play(scenes: Sequence[Scene], settings: Settings, plan: Plan) -> None:
    """Look at each scene in turn until all are over, or the time is."""
    began = time.monotonic()
    playing = {scene: scene.play(settings) for scene in scenes}
    told: dict[Scene, str] = {}
    while playing and time.monotonic() - began < 60 * plan.wait:
        for scene, waiting in list(playing.items()):
            what = next(waiting, None)
            text = f"waits for {what}" if what else scene.seen.state.lower()
            if told.get(scene) != text:
                print(f"{time.monotonic() - began:5.0f} s  {scene.name:8} job {scene.numbers[-1]} {text}", flush=True)
                told[scene] = text
            if what is None:
                del playing[scene]
        if scenes[0] not in playing and scenes[0].seen.state != "COMPLETED":
            return  # it does not run here: the others would tell the same
        if playing:
            time.sleep(plan.poll)
