"""The one exception for a user's mistake, and the words in which it is told."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from repro.text import printable, say


class UserError(Exception):
    """A mistake of the user's: one line that says what was given, what is allowed and what to do.

    The command line prints it on stderr and exits with status 2; it is never shown as a traceback. Control characters
    in what was given are shown as escapes: they could rewrite the terminal.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(message.split())))


class Damaged(UserError):
    """A record that cannot be read. Who reads several leaves it out, and says so (`leave_out`)."""


_LEFT_OUT: dict[str, None] = {}


def leave_out(damage: object) -> None:
    """Say, once, in a line what cannot be read and is left out: the command goes on, and ends with status 2."""
    if (line := printable(str(damage))) not in _LEFT_OUT:
        _LEFT_OUT[line] = None
        say(line)


@contextmanager
def leaving_out() -> Iterator[Callable[[], int]]:
    """What a command leaves out is said anew; calls give how many things it has left out."""
    _LEFT_OUT.clear()
    yield lambda: len(_LEFT_OUT)


class PeerLost(Exception):
    """Another process of the run has gone; the same command continues from the last checkpoint."""


def unknown(kind: str, word: object, allowed: Iterable[object], *, extra: str = "") -> UserError:
    """The error for a name that is not in a list; `extra` is one more half-sentence, such as other accepted forms.

    Names the nearest allowed values (by `difflib`, at most three), and all of them where none is near or they are few.
    """
    names = [str(name) for name in allowed]
    near = difflib.get_close_matches(str(word).lower(), [name.lower() for name in names], n=3, cutoff=0.6)
    nearest = [name for match in near for name in names if name.lower() == match]
    text = f"unknown {kind} '{word}'"
    if nearest:
        text += f"; nearest: {', '.join(dict.fromkeys(nearest))}"
    if not nearest or len(names) <= 12:
        text += f"; allowed: {', '.join(names)}"
    if extra:
        text += f"; {extra}"
    return UserError(text)


def unlike(there: Mapping[str, object], here: Mapping[str, object]) -> str:
    """What is different of what both have: ``seed is 1 there and 2 here; ...``."""
    different = [key for key in here if key in there and there[key] != here[key]]
    return "; ".join(f"{key} is {there[key]} there and {here[key]} here" for key in different)


def first_line(error: BaseException) -> str:
    """The first line of what an error of somebody else's says; its kind if it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


@contextmanager
def refusing(what: str, advice: str = "") -> Iterator[None]:
    """Within it an `OSError` becomes a `UserError`: what cannot be done, the system's reason, and what to do."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{what}: {error.strerror}{advice and f'; {advice}'}") from error


def no_pipe(path: Path) -> Path:
    """The path, unless a pipe or a device is there: reading one may never end.

    Raises:
        Damaged: It is one, or a link to one.
    """
    if not path.is_file() and path.exists() and not path.is_dir():
        raise Damaged(f"'{path}' is a pipe or a device; name a file")
    return path


_ADVICE = {
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "raise the number of files that may be open (ulimit -n 4096)"),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room, and start it again"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "it takes a place where you may read and write"),
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.ETIMEDOUT), "the disk or its server fails; start it again later"),
    **dict.fromkeys((errno.EAGAIN, errno.ENOMEM), "the machine has no memory or process left; start fewer at a time"),
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "links lead in a circle; name the place itself",
}


def limit_reached(error: OSError) -> str | None:
    """What the machine refuses, and what to do, in a line; None for what may be a fault of ours."""
    advice = _ADVICE.get(error.errno or 0)
    where = "" if error.filename is None else f" '{error.filename}'"
    return advice and printable(f"the machine refuses:{where} {error.strerror}; {advice}")
