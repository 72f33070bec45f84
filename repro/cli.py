"""The command `repro`. Commands are imported when they are called, so that help and errors are immediate."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import NoReturn

from repro import __version__
from repro.commands import parser_of
from repro.commands.options import Asked, Request
from repro.commands.stopped import tell
from repro.errors import PeerLost, UserError, leaving_out, limit_reached
from repro.importing import trusting
from repro.machine import prepare
from repro.records import NO_SPACE
from repro.runs.stop import USER_SIGNALS, CannotSave, Interrupted, defer_user_signals
from repro.text import PlainErrors, PlainOutput, say


def run(arguments: Sequence[str]) -> int:
    """Run a command line without the program's name; returns the exit status."""
    with _Answer() as answer:
        answer.status = _done(_asked(arguments))
    return answer.status


def main() -> NoReturn:
    """The console command: as `run`, with streams and threads of its own; who imports the package keeps theirs."""
    with _console(), _Answer() as answer:
        asked = _asked(sys.argv[1:])
        prepare()
        answer.status = _done(asked)
        sys.stdout.flush()
    sys.exit(answer.status)


def _done(asked: Asked) -> int:
    with trusting(asked.request.trust), leaving_out() as left_out:
        status = asked.do(asked.request)
        return status or (2 if left_out() else 0)


def _asked(arguments: Sequence[str]) -> Asked:
    command, *rest = arguments or ["help"]
    if command == "--version":
        return Asked(_version, Request())
    if command in ("-h", "--help"):
        command, rest = "help", []
    asked: Asked = parser_of(command).read(rest)
    return asked


def _version(_request: Request) -> int:
    print(f"repro {__version__}")
    return 0


class _Answer(AbstractContextManager["_Answer"]):
    """The exit status of what is done in it; mistakes and requests to stop are told in a line."""

    status = 0

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if isinstance(error, Interrupted):
            self.status = tell(error)
            return True
        if isinstance(error, UserError | CannotSave | PeerLost):
            say(error)
            self.status = 2 if isinstance(error, UserError) else 1
            return True
        told = None
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            told = limit_reached(error)
        elif isinstance(error, MemoryError):
            told = "memory is used up; give it less to do at a time, or close other programs"
        if told is not None:
            say(told)
            self.status = 1
        return told is not None


@contextmanager
def _console() -> Iterator[None]:
    """Streams that take any text, and an end without a traceback if the reader or the user leaves."""
    if "SLURM_JOB_ID" in os.environ:
        defer_user_signals()
    if not _looks_here():  # nor do the processes that it starts: python -m would import a stranger's torch.py
        os.environ["PYTHONSAFEPATH"] = "1"
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed by the caller
            setattr(sys, stream, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = PlainOutput(sys.stdout)
    if isinstance(sys.stderr, io.TextIOWrapper):  # progress bars steer the terminal
        sys.stderr = PlainErrors(sys.stderr)
    try:
        yield
        sys.stdout.flush()
    except OSError as error:  # the reader has seen enough; or its disk is full, which is said
        if not isinstance(error, BrokenPipeError) and error.errno not in NO_SPACE:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    finally:
        if "SLURM_JOB_ID" in os.environ:
            for number in USER_SIGNALS:
                signal.signal(number, signal.SIG_IGN)  # what is done cannot be stopped


def _looks_here() -> bool:
    """Whether modules are looked for where one stands, as with ``python -m repro``, but not with ``repro``."""
    try:
        return bool({"", os.getcwd()} & set(sys.path))  # noqa: PTH109
    except FileNotFoundError:  # it has been removed
        return False
