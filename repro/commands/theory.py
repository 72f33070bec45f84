"""`repro theory`: the papers' statements checked by experiment."""

from __future__ import annotations

import shlex
import sys
import time
from functools import partial
from pathlib import Path

from repro.commands.options import MOST, Action, Request, argument, command_parser, option
from repro.errors import UserError
from repro.studies.plan import RESULTS
from repro.theory import PAPERS, STATEMENTS, chosen, examine

KEPT = RESULTS / "theory"


class _Theory(Request):
    names: tuple[str, ...] = argument(
        f"statements by name, or {' or '.join(PAPERS)} (default: all)", nargs="*", default=(), metavar="NAME"
    )
    out: Path = option("folder for the page", default=Path("theory"))
    seed: int = option("seed of all random numbers", default=0, least=0, most=MOST)
    keep: bool = option(f"also keep the results in {KEPT}, for repro report --all", default=False)
    list: bool = option("name the statements and run none", default=False)


def main(request: _Theory) -> int:
    """Examine the statements, print a line each and write the page."""
    names = chosen(request.names)
    if request.list:
        for name in names:
            print(f"{name:24} {STATEMENTS[name].place}: {STATEMENTS[name].text}")
        return 0
    from repro.report import theory as report

    out = request.out
    if out.exists() and not out.is_dir():
        raise UserError(f"--out '{out}' is a file; name a folder")
    results = {}
    started = time.perf_counter()
    for number, name in enumerate(names, 1):
        if sys.stderr.isatty():
            print(f"{number}/{len(names)} {name} ...", end="\r", file=sys.stderr, flush=True)
        results[name] = examine(name, request.seed)
        print(f"{name:24} {results[name].verdict}", flush=True)
    written = [*request.names, *(["--seed", str(request.seed)] if request.seed else [])]
    command = shlex.join(["repro", "theory", *written])
    page = report.write(results, out, seed=request.seed, command=command, kept=KEPT if request.keep else None)
    print(f"{len(names)} statement{'' if len(names) == 1 else 's'} in {time.perf_counter() - started:.0f} s: {page}")
    return 0


parser = partial(
    command_parser, examples=("", "oyedotun-theorem-2 nguyen-lemma-3.2", "--list"), actions=Action(_Theory, main)
)
