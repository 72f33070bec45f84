"""What is said on stderr while a study runs."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from repro.errors import UserError
from repro.records import RunDirectory
from repro.studies.plan import steps
from repro.studies.study import StudyCell

_SAY_SECONDS = 30.0
_TAIL_LINES = 15


def label(cell: StudyCell, number: int, cells: int) -> str:
    """What a cell is shown under: ``resnet110 seed 0 (2/3)``."""
    return f"{cell.label} seed {cell.seed} ({number}/{cells})"


def say(text: str) -> None:
    """Write lines, above the bars if there are any."""
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()


def say_nothing_to_do(name: str, run: RunDirectory) -> None:
    """Say that a cell's run has ended before."""
    say(f"{name}: {run.state['status']} before, nothing to do")


def tail(log: Path, lines: int = _TAIL_LINES) -> list[str]:
    """The end of a log."""
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]


class Bar:
    """A progress bar over a cell's steps."""

    def __init__(self, name: str, cell: StudyCell, run: RunDirectory) -> None:
        self._run = run
        self._bar = tqdm(total=steps(cell.config), desc=name, unit="step", dynamic_ncols=True, leave=False)

    def look(self) -> None:
        """Move to the last step that was recorded."""
        with suppress(UserError, OSError):  # it is just being replaced
            if self._run.state.get("status") == "running":  # not of the run before, which is begun anew
                done = self._run.last_step()
                if not self._bar.n and done:
                    self._bar.initial = done  # its pace is that of this life
                self._bar.update(done - self._bar.n)
        self._bar.refresh()

    def close(self) -> None:
        """Take the bar away: a line says how it ended."""
        self._bar.close()


class Lines:
    """The last line of a cell's log, twice a minute."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._said = ""
        self._next = time.monotonic() + _SAY_SECONDS

    def look(self) -> None:
        """Say the last line, if it is time and it is new."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _SAY_SECONDS
        line = "".join(tail(self._log, 1)) or f"{self._log.stem}: starting"
        if line != self._said:
            say(line)
        self._said = line

    def close(self) -> None:
        """Nothing more is said."""
