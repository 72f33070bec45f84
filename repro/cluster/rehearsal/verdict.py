"""What was seen of a run that was stopped, and what it says of the cluster: one line, with what to do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from repro.cluster.rehearsal.settings import Settings

Event = Literal["requeue", "term", "limit", "preempt"]
EVENTS: dict[Event, str] = {
    "requeue": "scontrol requeue",
    "term": "SIGTERM",
    "limit": "time limit",
    "preempt": "preemption",
}
Back = Literal["", "requeued", "submitted itself", "submitted again", "in place"]


@dataclass(kw_only=True)
class Seen:
    """What became of one job."""

    happened: bool = False
    """Whether what was to happen has."""
    saved: bool = False
    """Whether it said that it saved when it was told to stop."""
    refused: str = ""
    """Why SLURM did not requeue it when it asked."""
    back: Back = ""
    """How it came back."""
    after: float = 0.0
    """Seconds from its end to its next life."""
    state: str = ""
    reason: str = ""
    """SLURM's state of the job, and reason, as they were last."""
    again: int = 0
    """Steps that were trained twice."""
    differs: Sequence[str] | None = None
    """What differs from the run that was left alone; None: it did not come to its end."""
    devices: Sequence[str] = ()
    """What it and the run that was left alone ran on, where that differs."""
    gave_up: str = ""
    """What was waited for when the time was over."""

    @property
    def held(self) -> bool:
        """Whether it is in the queue and will not start."""
        return "held" in self.reason.lower() or self.state == "SPECIAL_EXIT"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a cluster does to a run."""

    event: Event
    against: str
    """The setting that stands against it; empty if none does."""
    text: str
    known: bool = True
    """Whether it was seen to happen."""

    def __str__(self) -> str:
        sign = "open" if not self.known else "FAIL" if self.against else "ok  "
        return f"{sign}  {EVENTS[self.event]:16} {self.text}"


def judge(event: Event, seen: Seen, settings: Settings, step: float) -> Verdict:
    """What an event has shown, by what became of the job; `step` is in seconds."""
    if seen.differs is not None and seen.back:
        against, text = _finished(event, seen, settings, step)
    elif seen.held:
        against, text = _held(seen, settings)
    elif seen.refused:
        saved = "saved, but " if seen.saved else ""
        against, text = "Requeue", f"{saved}not requeued: {seen.refused}; {_cause_of_no_requeue(settings)}"
    elif seen.happened and not seen.gave_up and seen.state != "COMPLETED":
        against, text = _stayed_away(event, seen, settings)
    else:
        why = seen.gave_up or "the job was over before it happened"
        return Verdict(event=event, against="", text=f"not seen: {why} ({seen.state}, {seen.reason})", known=False)
    return Verdict(event=event, against=against, text=text)


def _finished(event: Event, seen: Seen, settings: Settings, step: float) -> tuple[str, str]:
    """It went on to its end."""
    if seen.differs and seen.devices:
        return "hardware", (
            f"resumed, on other hardware: {' and '.join(seen.devices)} differ in the last bits; "
            "ask for one kind: --constraint"
        )
    if seen.differs:
        return "repro", f"resumed, but not bit for bit: {', '.join(seen.differs[:3])} differ; please report this"
    if seen.back == "in place":
        return "", "held and continued in place, bit for bit; its memory, the GPU's too, stays taken meanwhile"
    if not seen.saved:
        twice = f" ({seen.again} steps twice)" if seen.again else ""
        return _too_short(event, settings, step, "went back to its last checkpoint" + twice)
    return "", f"resumed bit for bit: saved when told, {seen.back} after {seen.after:.0f} s"


def _too_short(event: Event, settings: Settings, step: float, then: str) -> tuple[str, str]:
    """It was killed before it had saved."""
    if event == "limit":
        return "signal", f"the signal before the limit did not arrive ({_cause_of_silence()}): killed, and {then}"
    name, value = "KillWait", settings.kill_wait
    if event == "preempt" and settings.grace:
        name, value = "GraceTime", settings.grace
    return name, (
        f"{name}={value} is too short for a step of {step:g} s and a checkpoint: killed, and {then}; "
        f"ask for a longer {name}, or save often (--trainer.checkpoint_every_n_minutes)"
    )


def _held(seen: Seen, settings: Settings) -> tuple[str, str]:
    """It is in the queue and will not start."""
    if seen.state == "SPECIAL_EXIT" or settings.holds_on_exit(128 + 15):
        cause = f"RequeueExitHold={settings.cluster['RequeueExitHold']}"
    elif "launch" in seen.reason:
        cause = "a prolog or a node fails at its start"
    else:
        cause = "somebody or a limit of requeues holds it"
    text = f"requeued into a hold ({seen.reason}: {cause}); scontrol release JOB lets it go on, ask your admins why"
    return "hold", text


def _stayed_away(event: Event, seen: Seen, settings: Settings) -> tuple[str, str]:
    """It ended, and nobody brought it back."""
    if event == "limit":
        saved = "saved by SIGTERM" if seen.saved else "killed"
        return "signal", (
            f"the signal before the limit did not arrive ({_cause_of_silence()}): {saved}, ended as {seen.state}, "
            "not requeued"
        )
    if event == "preempt" and seen.state == "PREEMPTED":
        saved = "saved" if seen.saved else f"killed before it saved (KillWait={settings.kill_wait})"
        return "PreemptMode=CANCEL", f"PreemptMode=CANCEL: {saved}, ended, not requeued; submit with --resubmit"
    return "unknown", f"ended as {seen.state} and did not come back; its log says more"


def _cause_of_silence() -> str:
    own = os.environ.get("SBATCH_SIGNAL")
    return f"SBATCH_SIGNAL={own} in your environment replaces the script's" if own else "a site's plugin takes it out?"


def _cause_of_no_requeue(settings: Settings) -> str:
    if "SBATCH_NO_REQUEUE" in os.environ:
        return "SBATCH_NO_REQUEUE in your environment switches it off: unset it"
    return f"REQUEUE is off (JobRequeue={settings.cluster.get('JobRequeue')}, or a site's plugin): ask your admins"
