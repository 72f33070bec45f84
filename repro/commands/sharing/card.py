"""`repro card`: a run or a study for the Hugging Face Hub."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from repro.commands.options import Action, argument, command_parser, option
from repro.commands.study.part import Part
from repro.records import RunDirectory
from repro.text import shell

if TYPE_CHECKING:
    from repro.report.sources import Section

EXAMPLES = ("runs/single/RUN", "oyedotun-table1 --out cards/table1", "runs/single/RUN --push me/resnet110-mnist")


class _Card(Part):
    name: str = argument("a run directory, or a study's name or file", metavar="RUN|STUDY")
    out: Path | None = option("folder for the card (default: cards/NAME)", default=None)
    push: str | None = option("upload it to this repository of the Hub", default=None, metavar="OWNER/NAME")
    private: bool = option("make a new repository private", default=False)

    @property
    def is_run(self) -> bool:
        """Whether a run is meant, and not a study."""
        path = Path(self.name)
        return path.is_dir() or (len(path.parts) > 1 and path.suffix not in (".yaml", ".yml"))


def main(request: _Card) -> int:
    """Write the folder, and print where it is."""
    from repro.report.cards import folder, hub

    if request.push is not None:
        hub.require_login()
    section = folder.section_of(RunDirectory.open(request.name)) if request.is_run else _of_study(request)
    name = Path(request.name).resolve().name if request.is_run else request.study.folder(request.preset)
    out = request.out or Path("cards") / name
    files = folder.write(section, out, single=request.is_run)
    print(f"{out}: {len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.2f} MB")
    if request.push is not None:
        names = [path.relative_to(out).as_posix() for path in files]
        print(hub.push(out, names, request.push, private=request.private))
    return 0


parser = partial(command_parser, examples=EXAMPLES, actions=Action(_Card, main))


def _of_study(request: _Card) -> Section:
    from repro.report.sources import of_cells

    command = shell("repro", "study", "run", request.name, *request.size)
    return of_cells(request.study, request.preset, request.cells, [request.folder], command=command)
