"""Each verdict of a rehearsal beside the truth, on real SLURM clusters that are set in many ways.

    python benchmarks/rehearsal.py [--json FILE] [--only WORDS]

The truth is by construction: what the cluster is set to, or what stands in the environment.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.cluster.rehearsals import CASES, play


def table(rows: list[dict[str, Any]]) -> str:
    """As `docs/cluster.md` has it, in Markdown: what was said up to the advice, without the seconds of this machine."""
    lines = ["| cluster | what happens | obstacle | found | message |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        said = re.sub(r"after \d+ s", "after N s", row["said"].partition(";")[0])
        cells = (row["cluster"], row["event"], row["truth"] or "none", row["verdict"] or "none", said)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", default="", help="cases whose title has these words")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for case in CASES:
        if given.only not in case.title:
            continue
        began = time.monotonic()
        verdicts = play(case)
        for verdict in verdicts:
            row = {
                "cluster": case.title,
                "event": verdict.event,
                "truth": case.truth[verdict.event],
                "verdict": verdict.against if verdict.known else "open",
                "said": verdict.text,
            }
            rows.append({**row, "agrees": verdict.known and verdict.against == row["truth"]})
            print(rows[-1], flush=True)
        print(f"{case.title}: {time.monotonic() - began:.0f} s", flush=True)
    print(table(rows))
    agreeing = sum(row["agrees"] for row in rows)
    print(f"{agreeing} of {len(rows)} verdicts agree with the truth")
    if given.json:
        machine = f"{platform.machine()}, {os.cpu_count()} processors, busy with other work"
        given.json.write_text(json.dumps({"machine": machine, "verdicts": rows}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
