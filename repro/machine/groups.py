"""Where the control groups of this process are: a container's limits, a SLURM job's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple


class Group(NamedTuple):
    """One control group above this process."""

    version: int
    folder: Path


def groups(controller: str, root: Path = Path("/")) -> Iterator[Group]:
    """The control groups that limit this process, from its own up to the topmost that can be seen from here.

    `controller` is ``cpu`` or ``memory``; version 2 has one hierarchy for all.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        mounts = (root / "proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        version = 1 if controllers else 2
        if version == 1 and controller not in controllers.split(","):
            continue
        for top, mount in _mounted(mounts, version, controller):
            path = PurePosixPath(group)
            inside = path.relative_to(top) if path.is_relative_to(top) else PurePosixPath()  # a container's own view
            for folder in (inside, *inside.parents):
                yield Group(version, root / mount.lstrip("/") / folder)


def _mounted(mounts: list[str], version: int, controller: str) -> Iterator[tuple[str, str]]:
    """For every mount of a hierarchy, the group at its top and the mount point (see proc(5))."""
    for line in mounts:
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        of_one = kind == "cgroup" and controller in options.split(",")
        if of_one if version == 1 else kind == "cgroup2":
            top, mount = (re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), part) for part in before.split()[3:5])
            yield top, mount
