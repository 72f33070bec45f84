"""`repro report`: one page of any runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from repro.commands.options import Action, Request, argument, command_parser, option
from repro.errors import UserError
from repro.studies.plan import RESULTS

EXAMPLES = ("runs/demo runs/single --out page", "--all --out page")


class _Report(Request):
    paths: tuple[Path, ...] = argument("run directories, or folders of runs", nargs="*", default=(), metavar="DIR")
    all: bool = option("report every study for which --runs or --results has runs", default=False)
    runs: Path = option("for --all: folder of all run directories", default=Path("runs"))
    results: Path = option("for --all: folder of kept records", default=RESULTS)
    out: Path = option("folder for index.html, tables.md and figures", default=None, required=True)


def main(request: _Report) -> int:
    """Write the page, and print where it is."""
    if request.all == bool(request.paths):
        raise UserError("repro report takes run directories or --all, one of the two")
    from repro.report import build, build_all

    folders = [request.runs, request.results]
    print(build_all(folders, request.out) if request.all else build(request.paths, request.out))
    return 0


parser = partial(command_parser, examples=EXAMPLES, actions=Action(_Report, main))
