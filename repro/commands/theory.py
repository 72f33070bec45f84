"""`repro theory`: the papers' statements checked by experiment."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from repro.errors import UserError
from repro.studies.plan import RESULTS
from repro.theory import PAPERS, STATEMENTS, chosen, examine

KEPT = RESULTS / "theory"


def main(arguments: Sequence[str], parser: argparse.ArgumentParser) -> int:
    """Run ``repro theory [NAME ...]``."""
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"statements by name, or {' or '.join(PAPERS)} (default: all)"
    )
    parser.add_argument("--out", type=Path, default=Path("theory"), help="folder for the page (default: theory)")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn (default: 0)")
    parser.add_argument("--keep", action="store_true", help=f"keep it in {KEPT} as well, for repro report --all")
    parser.add_argument("--list", action="store_true", help="name the statements and run none")
    given = parser.parse_args(arguments)
    if not 0 <= given.seed < 2**31:
        raise UserError(f"--seed is {given.seed}; allowed: 0 to 2147483647")
    names = chosen(given.names)
    if given.list:
        for name in names:
            print(f"{name:24} {STATEMENTS[name].place}: {STATEMENTS[name].text}")
        return 0
    from repro.report import theory as report

    out: Path = given.out
    if out.exists() and not out.is_dir():
        raise UserError(f"--out '{out}' is a file; name a folder")
    results = {}
    started = time.perf_counter()
    for number, name in enumerate(names, 1):
        if sys.stderr.isatty():
            print(f"{number}/{len(names)} {name} ...", end="\r", file=sys.stderr, flush=True)
        results[name] = examine(name, given.seed)
        print(report.line(name, results[name]), flush=True)
    written = [*given.names, *(["--seed", str(given.seed)] if given.seed else [])]
    command = shlex.join(["repro", "theory", *written])
    page = report.write(results, out, seed=given.seed, command=command, kept=KEPT if given.keep else None)
    print(f"{len(names)} statement{'' if len(names) == 1 else 's'} in {time.perf_counter() - started:.0f} s: {page}")
    return 0
