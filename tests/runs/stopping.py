"""Something befalls a training process at a step of the test's choice: `STOP` in its environment is "step rank".

Imported by processes that tests start; the repository's root must be on their path.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def _befalls(what: Callable[[], None]) -> None:
    from repro.training.classifier import Classifier

    step = Classifier.training_step

    def training_step(self: Classifier, *given: Any) -> Any:
        if f"{self.trainer.global_step} {self.trainer.global_rank}" == os.environ.get("STOP"):
            what()
        return step(self, *given)

    Classifier.training_step = training_step  # type: ignore[method-assign]


def by_signal(number: int) -> None:
    """The process gets a signal."""
    _befalls(lambda: os.kill(os.getpid(), number))


def by_ctrl_c() -> None:
    """The whole process group gets what a terminal's Ctrl-C sends: the workers too."""
    _befalls(lambda: os.killpg(0, signal.SIGINT))


def by_clock() -> None:
    """An hour goes by, on the clock of budgets."""
    passed: list[bool] = []
    an_hour_later(lambda: bool(passed))
    _befalls(lambda: passed.append(True))


def an_hour_later(when: Callable[[], bool]) -> None:
    """An hour has gone by on the clock of budgets as soon as that holds."""
    from repro.runs import stop as interrupt

    now = interrupt.time.monotonic
    interrupt.time = SimpleNamespace(monotonic=lambda: now() + 3600 * when())  # type: ignore[assignment]


def by_writing() -> None:
    """The process is killed after so many of what it writes of measuring and of saving: `STOP` says how many."""
    from repro.records import run_directory, spectrum

    append, replace, left = run_directory.append_lines, Path.replace, [int(os.environ["STOP"])]

    def wrote(name: str) -> None:
        left[0] -= name in ("readings.jsonl", "spectra.jsonl") or (name.startswith("step-") and name.endswith(".ckpt"))
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def append_lines(path: Path, records: Any) -> None:
        append(path, records)
        wrote(path.name)

    def replaced(self: Path, target: Any) -> Path:
        result = replace(self, target)
        wrote(Path(target).name)
        return result

    run_directory.append_lines = spectrum.append_lines = append_lines
    Path.replace = replaced  # type: ignore[method-assign]
