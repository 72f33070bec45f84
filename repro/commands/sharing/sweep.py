"""`repro sweep`: a study for W&B's agents."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from repro.commands.options import Action, command_parser, option
from repro.commands.study.part import Part
from repro.studies import sweep
from repro.text import shell

EXAMPLES = ("oyedotun-search", "oyedotun-table1 --preset full --out sweeps/table1")


class _Sweep(Part):
    out: Path | None = option("folder for the files (default: sweeps/STUDY)", default=None)


def main(request: _Sweep) -> int:
    """Write the sweep's files, and print what to type next."""
    name = request.study.folder(request.preset)
    file = sweep.write(request.cells, request.out or Path("sweeps") / name, name=name)
    print(f"{file}: {len(request.cells)} runs, written to {request.folder}")
    print(f"  {shell('wandb', 'sweep', '--project', 'repro', file)}")
    print("  wandb agent ENTITY/repro/ID   (in this folder, on any number of machines; the first command prints ID)")
    print(f"  {shell('repro', 'study', 'report', request.name, *request.size)}")
    return 0


parser = partial(command_parser, examples=EXAMPLES, actions=Action(_Sweep, main))
