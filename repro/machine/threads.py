"""How many threads a process computes with, and how they wait for each other: settled before torch is imported.

A step of a network of many thin layers is as fast with one thread as with two, and many times slower with two where
other work keeps one of them waiting: each waits for the other at every layer, spinning. So one thread is the rule, more
are taken where they were timed to help (`repro.runs.threads`), and they wait asleep.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, MutableMapping

from repro.errors import UserError
from repro.machine.processors import processors

NUMBER, WAITING = "OMP_NUM_THREADS", "OMP_WAIT_POLICY"

_most: int | None = None


def prepare(environment: MutableMapping[str, str] = os.environ) -> None:
    """Begin this process with one thread, and have threads wait without spinning where the user has not said how.

    For the command line alone: whoever imports the package keeps the environment as it is.
    """
    global _most
    most = limit(environment)
    policy = environment.setdefault(WAITING, "PASSIVE")
    if policy.strip().upper() not in ("PASSIVE", "ACTIVE"):
        raise UserError(f"{WAITING} is '{policy}'; allowed: PASSIVE, ACTIVE; or unset it")
    environment[NUMBER] = "1"
    _most = most


def limit(environment: Mapping[str, str] = os.environ) -> int:
    """The most threads that may be used: one a processor, and no more than the user has set."""
    setting = environment.get(NUMBER)
    if setting is None:
        return processors(environment=environment)
    if not re.fullmatch(r"\s*[1-9]\d*\s*(,\s*[1-9]\d*\s*)*", setting):  # OpenMP: one number for each level of nesting
        raise UserError(f"{NUMBER} is '{setting}'; allowed: 1 or more, as an upper limit; or unset it")
    return min(int(setting.split(",")[0]), processors(environment=environment))


def allowed() -> int:
    """The most threads that this process may use, as the user had it before `prepare`."""
    return limit() if _most is None else _most


def prepared() -> bool:
    """Whether this package chooses the threads of this process; it does not in scripts and notebooks."""
    return _most is not None


def told(threads: int, processes: int = 1) -> str:
    """The chosen numbers of threads and processes, as text for a line at the start."""
    count = processors()
    per_process = f"{threads} thread{'' if threads == 1 else 's'} a process"
    at_once = f"{processes} processes at once, " if processes > 1 else ""
    return f"{count} processor{'' if count == 1 else 's'}; {at_once}{per_process}"
