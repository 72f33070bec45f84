"""All sections of a report: what is remembered, and the rest by as many processes as are worth their start."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Collection, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.errors import UserError
from repro.machine import processors
from repro.report.identity import Prints
from repro.report.memory import Memory
from repro.report.sources import Section

if TYPE_CHECKING:
    from repro.report.render import Rendered

_WORTH_A_PROCESS = 12
"""So many runs to read and draw are worth a process."""


def render(
    sections: Sequence[Section], level: int, memory: Memory, *, pictures: bool = False
) -> tuple[list[Rendered], dict[str, Any]]:
    """Every section, and the figures that they show by key.

    Args:
        sections: The sections.
        level: Of their headings: 1 if the page holds nothing else, 2 otherwise.
        memory: Gives what was made before, and keeps what is made now.
        pictures: See `repro.report.render.Studio`; these are not remembered.
    """
    prints = Prints()
    keys = [prints.of_section(section, level) for section in sections]
    rendered = [_remembered(memory, key) for key in keys]
    left = [number for number, part in enumerate(rendered) if part is None or pictures]
    groups = _sharing([sections[number] for number in left])
    jobs = [[sections[left[index]] for index in group] for group in groups]
    drawn: dict[str, Any] = {}
    kept = [] if pictures else memory.keys
    for group, (made, new) in zip(groups, _render_all(jobs, level, prints, kept, pictures), strict=True):
        drawn |= new
        for index, part in zip(group, made, strict=True):
            rendered[left[index]] = part
            memory.put(keys[left[index]], asdict(part))
    done = [part for part in rendered if part is not None]
    for key in dict.fromkeys(key for part in done for key in part.keys):
        drawn[key] = drawn[key] if key in drawn else memory.get(key)
        memory.put(key, drawn[key])
    return done, drawn


def _remembered(memory: Memory, key: str) -> Rendered | None:
    """A section that was written before, with all of its figures."""
    from repro.report.render import Rendered

    content = memory.get(key)
    if content is None:
        return None
    rendered = Rendered(**content)
    return rendered if all(memory.get(part) is not None for part in rendered.keys) else None


def _runs(section: Section) -> set[Path]:
    return {cell.run.path.resolve() for cell in section.cells if cell.run is not None}


def _sharing(sections: Sequence[Section]) -> list[list[int]]:
    """Sections by number, together where they share a run, so that each is read and drawn by one process."""
    groups: list[tuple[set[Path], list[int]]] = []
    for number, section in enumerate(sections):
        runs, members = _runs(section), [number]
        for group in [group for group in groups if group[0] & runs]:
            groups.remove(group)
            runs, members = runs | group[0], [*group[1], *members]
        groups.append((runs, members))
    return [members for _, members in groups]


Made = tuple[list["Rendered"], dict[str, Any]]


def _render_all(
    jobs: Sequence[Sequence[Section]], level: int, prints: Prints, kept: Collection[str], pictures: bool
) -> list[Made]:
    """What `_job` returns for each; by one process where others would cost more than they save."""
    sizes = [len(set().union(*map(_runs, job))) for job in jobs]
    workers = min(processors(), len(jobs), sum(sizes) // _WORTH_A_PROCESS)
    if workers < 2 or not _may_fork():
        return [_job(job, level, prints, kept, pictures) for job in jobs]
    import repro.report.render  # noqa: F401  # once, here, rather than in every process

    order = sorted(range(len(jobs)), key=lambda number: -sizes[number])  # the longest first
    with warnings.catch_warnings(), ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        warnings.simplefilter("ignore", DeprecationWarning)  # NumPy's threads, which know of forks
        running = {number: pool.submit(_job, jobs[number], level, prints, kept, pictures) for number in order}
        try:
            return [running[number].result() for number in range(len(jobs))]
        except BrokenProcessPool as error:
            raise UserError(
                "a process that draws the report's figures was killed, as happens when memory runs out; "
                "make the report again with fewer runs"
            ) from error


def _may_fork() -> bool:
    """Whether a fork is safe: nothing that holds locks in threads of its own, as torch does once it has computed."""
    return sys.platform == "linux" and "torch" not in sys.modules and threading.active_count() == 1


def _job(sections: Sequence[Section], level: int, prints: Prints, kept: Collection[str], pictures: bool) -> Made:
    from repro.report.render import Studio

    studio = Studio(prints, kept, pictures=pictures)
    return [studio.render(section, level) for section in sections], studio.drawn
