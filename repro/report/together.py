"""All sections of a report: what is remembered, and the rest by as many processes as are worth their start."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.errors import UserError
from repro.machine import processors
from repro.report.identity import Prints
from repro.report.memory import Memory
from repro.report.outcomes import tell_damage
from repro.report.sources import Section

if TYPE_CHECKING:
    from repro.report.pages.svg import Drawn
    from repro.report.render import Rendered

_WORTH_A_PROCESS = 12
"""So many runs to read and draw are worth a process."""


@dataclass
class Made:
    """Sections, written, with the figures that they show."""

    rendered: list[Rendered]
    drawn: dict[str, Drawn]
    """By key."""
    png: dict[str, bytes]
    """By key, where pictures were asked for."""


def render(sections: Sequence[Section], level: int, memory: Memory, *, pictures: bool = False) -> Made:
    """Every section, from a level of headings on, and the figures that they show.

    The memory gives what was made before, and keeps what is made now; PNG (`pictures`) are not remembered.
    """
    prints = Prints()
    jobs = [_Job(section, level, elsewhere) for section, elsewhere in zip(sections, _elsewhere(sections), strict=True)]
    keys = [prints.of_section(job.section, level, job.elsewhere) for job in jobs]
    rendered = [_remembered(memory, key) for key in keys]
    left = [number for number, part in enumerate(rendered) if part is None or pictures]
    groups = _sharing([sections[number] for number in left])
    together = [[jobs[left[index]] for index in group] for group in groups]
    drawn: dict[str, Drawn] = {}
    png: dict[str, bytes] = {}
    kept = {} if pictures else memory.things
    for group, made in zip(groups, _render_all(together, prints, kept, pictures), strict=True):
        drawn |= made.drawn
        png |= made.png
        for index, part in zip(group, made.rendered, strict=True):
            rendered[left[index]] = part
            memory.put(keys[left[index]], asdict(part))
    done = [part for part in rendered if part is not None]
    tell_damage(str(result["status"]) for part in done for result in part.results)
    for key in dict.fromkeys(key for part in done for key in part.figures.values()):
        drawn[key] = drawn[key] if key in drawn else memory.get(key)
        memory.put(key, drawn[key])
    return Made(done, drawn, png)


@dataclass(frozen=True)
class _Job:
    section: Section
    level: int
    elsewhere: Mapping[str, str]


def _elsewhere(sections: Sequence[Section]) -> list[dict[str, str]]:
    """For each section where those of its runs are described, by name, that an earlier section describes."""
    from repro.report.pages.section import anchor_of

    described: dict[Path, str] = {}
    found = []
    for section in sections:
        runs = [(cell, cell.run.path.resolve()) for cell in section.cells if cell.run is not None]
        found.append({cell.name: described[path] for cell, path in runs if path in described})
        for cell, path in runs:
            described.setdefault(path, f"{section.key}.html#{anchor_of(section.key, cell)}")
    return found


def _remembered(memory: Memory, key: str) -> Rendered | None:
    """A section that was written before, with all of its figures."""
    from repro.report.render import Rendered

    if (content := memory.get(key)) is None:
        return None
    rendered = Rendered.remembered(content)
    return rendered if all(memory.get(figure) is not None for figure in rendered.figures.values()) else None


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


def _render_all(jobs: Sequence[Sequence[_Job]], prints: Prints, kept: Mapping[str, Any], pictures: bool) -> list[Made]:
    """What `_work` returns for each; by one process where others would cost more than they save."""
    sizes = [len(set().union(*(_runs(job.section) for job in group))) for group in jobs]
    workers = min(processors(), len(jobs), sum(sizes) // _WORTH_A_PROCESS)
    if workers < 2 or not _may_fork():
        return [_work(group, prints, kept, pictures) for group in jobs]
    import repro.report.render  # noqa: F401  # once, here, rather than in every process

    order = sorted(range(len(jobs)), key=lambda number: -sizes[number])  # the longest first
    with warnings.catch_warnings(), ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        warnings.simplefilter("ignore", DeprecationWarning)  # NumPy's threads, which know of forks
        running = {number: pool.submit(_work, jobs[number], prints, kept, pictures) for number in order}
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


def _work(jobs: Sequence[_Job], prints: Prints, kept: Mapping[str, Any], pictures: bool) -> Made:
    from repro.report.render import Studio

    studio = Studio(prints, kept, pictures=pictures)
    rendered = [studio.render(job.section, job.level, job.elsewhere) for job in jobs]
    return Made(rendered, studio.drawn, studio.png)
