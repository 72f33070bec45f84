"""A disk that is really full: a small tmpfs, on which commands run out of room, and go on once it is larger.

    python benchmarks/full_disk.py [--json FILE]        (Linux, by who may mount)

Each command finds a disk with so many bytes left. It has to end in one line with what was there kept; then the disk is
made larger, and the same command has to end well, with the results of one that had room all the time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import breaks
import breaks_inputs as inputs

LEFT = (0, 8_192, 65_536, 262_144)
"""Bytes that are left, in pages of 4,096."""
COMMANDS: dict[str, list[object]] = {
    "fit, new": [*inputs.FIT, "--seed", "2"],
    "fit, measured": [
        *(*inputs.FIT, "--seed", "3", "--measure.measurements", "[weights]", "--measure.probe_size", "16"),
        *("--measure.spectra", "true"),
    ],
    "fit, going on": [*inputs.FIT, "--seed", "1"],
    "features": [*inputs.FIT, "--seed", "4", "--model.train", "output", "--model.skip_neurons", "5"],
    "study run": ["study", "run", "small.yaml", "--seed", "3", "--jobs", "1"],
    "report": ["report", "runs", "--out", "page"],
    "card": ["card", inputs.RUN, "--out", "card"],
    "sweep": ["sweep", "small.yaml", "--out", "sweep"],
    "measure": ["measure", inputs.RUN, "--probe-size", "16", "--spectra"],
    "landscape": ["landscape", inputs.RUN, "--points", "3"],
    "keep": ["study", "keep", "small.yaml"],
}  # fmt: skip


def mounted(disk: Path, size: str) -> None:
    """Mount a tmpfs, or give the one there another size."""
    options = f"remount,size={size}" if disk.is_mount() else f"size={size}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], check=True)


def results(world: Path) -> dict[str, object]:
    """The final metrics of all runs that have ended, by their names."""
    states = {path.parent.name: json.loads(path.read_text()) for path in sorted(world.glob("runs/*/*/state.json"))}
    return {name: state.get("final") for name, state in states.items() if state.get("status") == "finished"}


def played(template: Path, disk: Path, command: list[object], left: int | None) -> tuple[str, dict[str, object]]:
    """What comes of a command with so many bytes left (None: enough), and the results in the end."""
    mounted(disk, "1g")
    try:
        world = disk / "world"
        shutil.copytree(template, world, symlinks=True)
        arguments, case = [str(part) for part in command], inputs.Case("", "", [])
        if left is None:
            status = breaks.life(world, arguments, case).status
            return f"ends with {status}", results(world)
        there = results(world)
        space = os.statvfs(disk)
        mounted(disk, str((space.f_blocks - space.f_bfree) * space.f_frsize + max(left, 1)))
        ended = breaks.life(world, arguments, case)
        if ended.status is None or "Traceback" in ended.out + ended.err:
            return f"bad: {ended.err[-300:] or 'a hang'}", {}
        if ended.status and not ended.err.strip():
            return f"bad: nothing said, status {ended.status}", {}
        if any(results(world).get(name) != final for name, final in there.items() if final):
            return "bad: a result that was there has changed", {}
        mounted(disk, "1g")
        again = breaks.life(world, arguments, case)
        if again.status != 0:
            return f"bad: with room again {again.status}: {again.err[-300:]}", {}
        return ("stopped" if ended.status else "handled"), results(world)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--limit", type=float, default=breaks.LIMIT, help="seconds that a command may take")
    given = parser.parse_args()
    breaks.LIMITS["seconds"] = given.limit
    found: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as name:
        template, disk = Path(name, "template"), Path(name, "disk")
        for folder in (template, disk):
            folder.mkdir()
        inputs.build(template, lambda arguments: breaks.life(template, arguments, inputs.Case("", "", [])))
        for what, command in COMMANDS.items():
            _, wanted = played(template, disk, command, None)
            found[what] = {}
            for left in LEFT:
                outcome, ended = played(template, disk, command, left)
                if not outcome.startswith("bad") and ended != wanted:
                    outcome = "bad: other results"
                found[what][f"{left:,} bytes left"] = outcome
                print(f"{what}, {left:,} bytes left: {outcome}", flush=True)
    counts = Counter(outcome.partition(":")[0] for outcomes in found.values() for outcome in outcomes.values())
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    if given.json:
        machine = f"{platform.machine()}, {os.cpu_count()} processors, a tmpfs"
        given.json.write_text(json.dumps({"machine": machine, "outcomes": counts, "table": found}, indent=1) + "\n")
    sys.exit("bad" in counts)


if __name__ == "__main__":
    main()
