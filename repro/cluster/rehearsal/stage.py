"""The whole rehearsal: its jobs at once, what they wait for said as it changes, and all of them gone at the end."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence

from repro.cluster import sbatch, slurm
from repro.cluster.rehearsal.plan import Plan, scenes
from repro.cluster.rehearsal.scene import Scene
from repro.cluster.rehearsal.settings import Settings
from repro.cluster.rehearsal.verdict import Verdict, judge
from repro.errors import UserError, refusing
from repro.records import replace_files


def rehearse(plan: Plan) -> list[Verdict]:
    """Play it; every job is cancelled at its end, and by Ctrl-C.

    `UserError` if SLURM refuses, does not answer, or the run that is left alone does not come to its end.
    """
    alone, *others = together = scenes(plan)
    written = {scene.name: sbatch.text(scene.job) for scene in together}
    with refusing(f"cannot write '{plan.folder}'", "choose another --runs"):
        plan.folder.mkdir(parents=True)
        replace_files({plan.folder / f"{name}.sbatch": text.encode() for name, text in written.items()})
    with _cleared([scene.job.name for scene in together]):
        _submit(together, plan)
        settings = Settings.of(slurm.job(alone.numbers[0])["Partition"])
        print(_announcement(plan, settings, [scene.numbers[0] for scene in together]), flush=True)
        _play(together, settings, plan)
    run = alone.run
    if run is None or run.status != "finished":
        end = " | ".join(alone.log.strip().split("\n")[-4:])
        raise UserError(
            f"the reference run has not finished ({alone.seen.gave_up or alone.seen.state}); "
            f"the end of its log, '{plan.folder / 'alone.out'}': {end or 'nothing'}"
        )
    for scene in others:
        scene.compare(run)
    return [judge(scene.event, scene.seen, settings, plan.step) for scene in others if scene.event is not None]


def _submit(together: Sequence[Scene], plan: Plan) -> None:
    try:
        for scene in together:
            scene.submit()
    except UserError:
        shutil.rmtree(plan.folder, ignore_errors=True)  # there is nothing to see in it
        raise


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
    finally:
        for name in (*names, *(f"{name}-urgent" for name in names)):
            with contextlib.suppress(UserError):
                slurm.call("scancel", f"--user={os.getuid()}", f"--name={name}")
        print("no job of the rehearsal is left", flush=True)
        signal.signal(signal.SIGTERM, before)


def _play(together: Sequence[Scene], settings: Settings, plan: Plan) -> None:
    """Look at each scene in turn until all are over, or the time is."""
    began = time.monotonic()
    playing = {scene: scene.play(settings) for scene in together}
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
        if together[0] not in playing and together[0].seen.state != "COMPLETED":
            return  # it does not run here: the others would tell the same
        if playing:
            time.sleep(plan.poll)
