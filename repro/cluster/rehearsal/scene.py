"""One job of a rehearsal: submitted, stopped in its way, and watched until it has come back or stays away."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path

from repro.cluster import slurm
from repro.cluster.rehearsal.same import differences
from repro.cluster.rehearsal.settings import Settings
from repro.cluster.rehearsal.verdict import Event, Seen
from repro.cluster.sbatch import Job, text
from repro.errors import UserError
from repro.records import RunDirectory, find_runs

_OVER = {
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "TIMEOUT",
    "NODE_FAIL",
    "PREEMPTED",
    "OUT_OF_MEMORY",
    "BOOT_FAIL",
    "DEADLINE",
}
_RUNS = {"RUNNING", "SIGNALING"}
_STARTED = {*_RUNS, *_OVER, "SUSPENDED", "STOPPED"}
_LATE_SECONDS = 120.0
"""How long SLURM may take over what it announces."""
Waiting = Generator[str, None, None]
"""Says, whenever it is asked, what it waits for."""


@dataclass(kw_only=True, eq=False)
class Scene:
    """A job that an event happens to; without one, the run that is left alone."""

    event: Event | None
    job: Job
    folder: Path
    """Where its log and its run are: ``EVENT.out``, ``runs/EVENT``."""
    urgent: str = ""
    """Text of the script that pushes it out."""
    seen: Seen = field(default_factory=Seen)
    numbers: list[str] = field(default_factory=list)
    """SLURM's of its jobs, the one that runs last."""
    _known: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """In names of files and folders."""
        return self.event or "alone"

    @property
    def log(self) -> str:
        """What the job has printed, in all its lives."""
        path = self.folder / f"{self.name}.out"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    @property
    def run(self) -> RunDirectory | None:
        """Its run, once it has begun."""
        place = self.folder / "runs" / self.name
        return next(iter(find_runs([place])), None) if place.exists() else None

    def submit(self) -> None:
        """Hand its script to SLURM; `UserError` if that fails."""
        self.numbers.append(slurm.submit(text(self.job)))

    def play(self, settings: Settings) -> Waiting:
        """Go through the whole scene."""
        yield from self._until("room in the queue", lambda: self._state != "PENDING" or self._held)
        if self.event is not None:
            yield from self._until("its first checkpoint", lambda: self._has_checkpoint() or self._state in _OVER)
            if self._state in _OVER:
                return
            yield from self._happen(settings)
            if not self.seen.happened:
                return
            yield from self._come_back()
        yield from self._until("its end", lambda: self._state in _OVER or self._held)

    def compare(self, alone: RunDirectory) -> None:
        """Read its log, and hold the run against the one that was left alone, if it came to its end."""
        log, run = self.log, self.run
        self.seen.saved = "checkpoint saved; the same command continues" in log
        if match := re.search(r"could not be requeued \((.*)\)", log):
            self.seen.refused = match[1]
        if run is None or run.status != "finished":
            return
        self.seen.differs = differences(run, alone)
        kinds = {str(life.get("device", life["host"])) for each in (run, alone) for life in each.lives}
        self.seen.devices = sorted(kinds) if len(kinds) > 1 else []
        steps = [line["step"] for line in run.metric_lines() if "step/objective" in line["metrics"]]
        self.seen.again = len(steps) - len(set(steps))

    # SLURM's view of the job

    @property
    def _state(self) -> str:
        return self.seen.state

    @property
    def _held(self) -> bool:
        return self.seen.held

    @property
    def _stopped(self) -> bool:
        return self._state not in _RUNS or self._restarts > 0

    @property
    def _restarts(self) -> int:
        return int(self._known.get("Restarts", 0))

    def _look(self) -> None:
        try:
            self._known = slurm.job(self.numbers[-1])
        except UserError as error:
            if "Invalid job id" in str(error):  # forgotten: it has been over for long
                self._known["JobState"] = self._state if self._state in _OVER else "COMPLETED"
        self.seen.state = self._known.get("JobState", "PENDING")
        self.seen.reason = self._known.get("Reason", "")

    def _until(self, what: str, done: Callable[[], bool], *, seconds: float = float("inf")) -> Waiting:
        """Wait until something holds, for so many seconds at most."""
        ends = time.monotonic() + seconds
        self.seen.gave_up = f"waited for {what}"
        while True:
            self._look()
            if done():
                self.seen.gave_up = ""
                return
            if time.monotonic() > ends:
                return
            yield f"{what} ({self.seen.reason})" if self._state == "PENDING" and self.seen.reason != "None" else what

    def _has_checkpoint(self) -> bool:
        return any((self.folder / "runs" / self.name).glob("*/checkpoints/*.ckpt"))

    # What happens to it

    def _happen(self, settings: Settings) -> Waiting:
        number = self.numbers[-1]
        seconds = _LATE_SECONDS + settings.kill_wait
        if self.event == "requeue":
            try:
                slurm.call("scontrol", "requeue", number)
            except UserError as error:
                self.seen.refused = str(error)
                return
        elif self.event == "term":
            slurm.call("scancel", "--signal=TERM", number)
        elif self.event == "preempt":
            try:
                self.numbers.insert(0, slurm.submit(self.urgent, f"--nodelist={self._known['NodeList']}"))
            except UserError as error:
                self.seen.gave_up = str(error)
                return
            seconds += settings.grace
        else:
            seconds += slurm.seconds(self._known["TimeLimit"])
        what = {"limit": "its time limit", "preempt": "the other job to push it out"}.get(self.event or "", "its end")
        yield from self._until(what, lambda: self._stopped, seconds=seconds)
        self.seen.happened = self._stopped

    def _come_back(self) -> Waiting:
        began = time.monotonic()
        if self._state == "SUSPENDED":
            self.seen.back = "in place"
            (self.folder / "runs" / self.name / "go").touch()
            return
        yield from self._until("the end of its first life", lambda: self._state != "COMPLETING")
        if self._state in _OVER and not self._restarts:
            own = slurm.call("squeue", "--noheader", f"--name={self.job.name}", "--format=%i").split()
            if others := set(own) - set(self.numbers):
                self.numbers.append(others.pop())
                self.seen.back = "submitted itself"
            elif self.event == "term":
                self.submit()
                self.seen.back = "submitted again"
            else:
                return
        else:
            self.seen.back = "requeued"
        yield from self._until("its next life", lambda: self._state in _STARTED or self._held)
        self.seen.after = time.monotonic() - began
