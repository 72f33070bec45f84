"""What the page of everything costs: ``repro report --all``, cold and with nothing changed, and what it weighs.

    python benchmarks/page.py [--json FILE] [--rounds 3]

Each is a process of its own, begun in the folder where this is called, which holds results/; given are its seconds of
processor (its own processes' too, user and system; medians over the rounds). Bytes are those of the last round: of the
overview, of the largest page that it leads to, of all pages and of the whole folder.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def report(out: Path) -> tuple[float, float]:
    """Make the page; processor seconds and seconds on the clock."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "repro", "report", "--all", "--out", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    times: dict[str, list[tuple[float, float]]] = {"cold": [], "unchanged": []}
    sizes: dict[str, int] = {}
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "page"
            for kind in times:
                times[kind].append(report(out))
            files = {path: path.stat().st_size for path in out.rglob("*") if path.is_file()}
            parts = [size for path, size in files.items() if path.parent.name == "parts"]
            sizes = {"overview": files[out / "index.html"], "largest": max(parts), "pages": sum(parts)}
            sizes |= {"folder": sum(files.values()), "files": len(files)}
    content = {
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}",
        "processor_seconds": {kind: statistics.median(used for used, _ in found) for kind, found in times.items()},
        "range": {kind: [min(found)[0], max(found)[0]] for kind, found in times.items()},
        "seconds": {kind: statistics.median(clock for _, clock in found) for kind, found in times.items()},
        "bytes": sizes,
        "load": os.getloadavg()[0],
    }
    for kind in times:
        low, high = content["range"][kind]
        print(f"{kind}: {content['processor_seconds'][kind]:.1f} s of processor ({low:.1f} to {high:.1f})")
    overview, largest, pages, folder = (sizes[name] / 1e6 for name in ("overview", "largest", "pages", "folder"))
    print(
        f"overview {overview:.2f} MB, largest page {largest:.2f} MB, all pages {pages:.2f} MB, folder {folder:.2f} MB"
    )
    if given.json:
        given.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
