"""Hostile and careless input: what comes of each of `benchmarks/breaks_inputs.py`, as a table that can be made again.

    python benchmarks/breaks.py [--log FILE] [--json FILE] [--only WORDS]

Each input is a command in a copy of a small world (runs, checkpoints, a study, images), in a process forked from one
that has imported everything. Good is: refused in one line with exit status 2, handled, or stopped in one line with what
was there kept. Bad is a traceback, more than 60 seconds, and whatever the input's own check finds: something lost, a
wrong result, silence where a word is due.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import breaks_calls as calls
import breaks_inputs as inputs
import breaks_lately as lately
import breaks_planted as planted
import breaks_strangers as strangers

import repro.data.loading.decoding
import repro.report.build
import repro.runs.session
import repro.runs.start  # noqa: F401  # all that a command imports later
from repro import cli

LIMIT = 60.0
LIMITS = {"seconds": LIMIT}
MEMORY = 6 * 2**30
"""Bytes that a command may take: what wants more must not take the machine with it."""
BAD = ("traceback", "hang", "wrong", "silent", "steers")


class Outcome(NamedTuple):
    """What came of one input."""

    outcome: str
    seconds: float
    said: str
    err: str


def child(
    world: Path,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    before: Callable[[], object],
    ends: Sequence[int],
) -> None:
    """The command, in a process of its own; never returns."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number in (1, 2):
        os.dup2(ends[number - 1], number)
    streams = [open(number, "w", encoding=environment.get("ENCODING", "utf-8")) for number in (1, 2)]  # noqa: PTH123, SIM115
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__ = streams  # type: ignore[misc]
    os.chdir(world)
    os.environ.update(environment)
    del sys.modules["__main__"].__file__  # workers would import this program
    sys.argv = ["repro", *arguments]
    sys.path.insert(0, str(world))
    status = 70
    try:
        before()
        cli.main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)


class Life(NamedTuple):
    """How a command ended."""

    status: int | None
    """None: it took too long."""
    seconds: float
    out: str
    err: str


def life(world: Path, arguments: Sequence[str], case: inputs.Case) -> Life:
    """Run a command."""
    began = time.monotonic()
    pipes = [os.pipe() for _ in range(2)]  # not files: there is a limit on their size
    process = os.fork()
    if not process:
        environment = {"OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled", **case.environment}
        child(world, arguments, environment, case.before, [end for _, end in pipes])
    said = [b"", b""]
    for beginning, end in pipes:
        os.close(end)
        os.set_blocking(beginning, False)
    kill_at = began + case.kill_after if case.kill_after else None
    status = None
    while status is None and time.monotonic() - began < LIMITS["seconds"]:
        done, ended = os.waitpid(process, os.WNOHANG)
        status = os.waitstatus_to_exitcode(ended) if done else None
        if status is None and kill_at is not None and time.monotonic() > kill_at:
            os.kill(process, signal.SIGTERM)
            kill_at = None
        for number, (beginning, _) in enumerate(pipes):
            with contextlib.suppress(BlockingIOError):
                while piece := os.read(beginning, 2**16):
                    said[number] += piece
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):  # and what it has left behind
        os.killpg(process, signal.SIGKILL)
    if status is None:
        os.waitpid(process, 0)
    for beginning, _ in pipes:
        os.close(beginning)
    return Life(status, time.monotonic() - began, *(each.decode("utf-8", "replace") for each in said))


def judge(case: inputs.Case, template: Path, place: Path) -> Outcome:
    """What comes of one input."""
    world = place / "world"
    shutil.copytree(template, world, symlinks=True)
    case.setup(world)
    arguments = [str(part).replace("{world}", str(world)) for part in case.arguments]
    status, seconds, out, err = life(world, arguments, case)
    lines = [line for line in err.splitlines() if line.startswith("repro: ") and not line.startswith("repro: note")]
    said = (lines[-1] if lines else (err or out).strip().splitlines()[-1] if (err or out).strip() else "")[:300]
    outcome = _outcome(case, status, out, err, lines)
    if outcome not in BAD and case.check is not None and (wrong := case.check(world)):
        outcome, said = "wrong", wrong
    shutil.rmtree(world, ignore_errors=True)
    return Outcome(outcome, round(seconds, 2), said.replace(str(world), "."), err)


def _outcome(case: inputs.Case, status: int | None, out: str, err: str, lines: Sequence[str]) -> str:
    if status is None:
        return "hang"
    if "Traceback (most recent call last)" in out + err and not case.own_traceback:
        return "traceback"
    if re.search("\x1b(?!\\[A)|\u202e", out + err):  # a stranger's text in the terminal
        return "steers"
    if status == 2 and len(lines) == 1:
        outcome = "refused"
    elif status == 0:
        outcome = "handled"
    elif status in (130, 143, 129, -2, -15, -1) if "in the middle" in case.kind else case.kill_after and status == -15:
        outcome = "stopped"
    elif status == 1 and "as a check fails" in out:  # of a dry run
        outcome = "refused"
    elif status in (1, 2, 130, 143, *([-signal.SIGTERM] if case.kill_after else [])) and lines:
        outcome = "stopped" if status != 2 else "refused"
    else:
        return "traceback"
    if case.says and not re.search(case.says, out + err, re.DOTALL):
        return "silent"
    return outcome if not case.wanted or outcome in case.wanted else "wrong"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--log", type=Path, help="lines of JSON, one for each input: those in it are not run again")
    parser.add_argument("--only", default="", help="kinds and names in which this regular expression is found")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds that a command may take, beside other work")
    parser.add_argument("--verbose", action="store_true", help="all that a bad one said")
    given = parser.parse_args()
    LIMITS["seconds"] = given.limit
    chosen = [
        case
        for table in (inputs, lately, strangers, planted, calls)
        for case in table.table()
        if re.search(given.only, f"{case.kind}: {case.name}")
    ]
    found: dict[tuple[str, str], Outcome] = {}
    if given.log and given.log.exists():
        lines = map(json.loads, given.log.read_text().splitlines())
        found = {(kind, name): Outcome(*outcome) for kind, name, *outcome in lines}
    with tempfile.TemporaryDirectory() as name:
        template = Path(name, "template")
        template.mkdir()
        inputs.build(template, lambda arguments: life(template, arguments, inputs.Case("", "", [])))
        os.chmod(name, 0o755)  # noqa: PTH101
        for number, case in enumerate(chosen):
            if (case.kind, case.name) in found:
                continue
            place = Path(name, str(number))
            place.mkdir()
            outcome = judge(case, template, place)
            found[case.kind, case.name] = outcome
            if given.log:
                with given.log.open("a") as file:
                    file.write(json.dumps([case.kind, case.name, *outcome[:3], ""]) + "\n")
            if outcome.outcome in BAD and given.verbose:
                print(outcome.err, flush=True)
            mark = "BAD" if outcome.outcome in BAD else "   "
            print(
                f"{mark} {outcome.outcome:9} {outcome.seconds:5.1f} s  {case.kind}: {case.name}: {outcome.said}",
                flush=True,
            )
    counts = Counter(outcome.outcome for outcome in found.values())
    kinds = dict.fromkeys(kind for kind, _ in found)
    outcomes = ", ".join(f"{n} {what}" for what, n in counts.most_common())
    print(f"\n{len(found)} inputs of {len(kinds)} kinds: {outcomes}")
    if given.json:
        table = {kind: {name: outcome.outcome for (of, name), outcome in found.items() if of == kind} for kind in kinds}
        machine = f"{platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[2]:.0f}, "
        machine += f"limit {given.limit:g} s"
        result = {"machine": machine, "inputs": len(found), "kinds": len(kinds), "outcomes": counts, "table": table}
        given.json.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(any(outcome.outcome in BAD for outcome in found.values()))


if __name__ == "__main__":
    main()
