"""Random features at the paper's size: 50,000 images, N = 50,000 neurons, features in a memory-mapped file of 10 GB.

    python benchmarks/features_file.py --root DATA [--json FILE] [--width 22] [--epochs 3] [--full] [--cgroup FOLDER]

Runs `repro fit --config configs/nguyen-cifar10.yaml --model.skip_neurons train --model.train output` in a process whose
memory is looked at every two seconds. RSS counts the pages of the mapped file too, which the kernel takes back when
it needs them; the anonymous part is what the process holds. ``--width 22`` gives VGG11 just over 50,000 neurons: the
features cost less to compute, V and the file are as large as at full width. ``--cgroup`` puts the process under the
memory limit of a control group. Floor of an epoch: reading the file once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

IN_A_FILE = (
    "from repro.training.random_features import store; store.RESIDENT_SHARE = 0.0; from repro.cli import main; main()"
)


def memory(process: int) -> dict[str, int]:
    """RSS and its anonymous part, in bytes."""
    found = {}
    for line in Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, size, *_ = line.split()
        if name in ("Rss:", "Anonymous:"):
            found[name.rstrip(":").lower()] = 1024 * int(size)
    return found


def processor_seconds(process: int) -> float:
    """What a process has used of all processors: on a busy machine less than passes."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--width", type=int, default=22)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--full", action="store_true", help="full-batch training")
    parser.add_argument("--cgroup", type=Path)
    parser.add_argument("--folder", type=Path, help="where the run is written, then deleted")
    given = parser.parse_args()
    flags = [
        *("--config", "configs/nguyen-cifar10.yaml", "--data.root", given.root, "--data.train_size", str(given.images)),
        *("--model.skip_neurons", "train", "--model.train", "output", "--model.width", str(given.width)),
        *("--trainer.max_epochs", str(given.epochs), "--trainer.evaluate_every_n_epochs", str(given.epochs)),
        *("--measure.measurements", "[]", "--log.wandb", "disabled", "--trainer.progress", "none"),
        *(("--data.batch_size", "full") if given.full else ()),
    ]
    peaks = {"rss": 0, "anonymous": 0}
    marks: dict[str, float] = {}
    busy: dict[str, float] = {}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        script = [sys.executable, "-c", IN_A_FILE, "fit", *flags, "--runs", folder]
        with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as process:
            if given.cgroup:
                (given.cgroup / "cgroup.procs").write_text(str(process.pid), encoding="ascii")
            while process.poll() is None:
                try:
                    used = processor_seconds(process.pid)
                    peaks = {name: max(peaks[name], size) for name, size in memory(process.pid).items()}
                except (OSError, KeyError):
                    continue
                for file in Path(folder).rglob("features-0.npy"):
                    marks.setdefault("computed", time.perf_counter() - start)
                    busy.setdefault("computed", used)
                    marks["size"] = file.stat().st_size
                for file in Path(folder).rglob("metrics.jsonl"):
                    ends = file.read_text(encoding="utf-8").count('"train/cross_entropy"')
                    marks.setdefault(f"epoch {ends}", time.perf_counter() - start)
                    busy.setdefault(f"epoch {ends}", used)
                time.sleep(2)
            assert process.stdout is not None
            print(process.stdout.read())
            if process.returncode:
                raise SystemExit(process.returncode)
    names = ["computed", *(f"epoch {number}" for number in range(1, given.epochs + 1))]
    limit = ""
    for name in ("memory.limit_in_bytes", "memory.max"):
        if given.cgroup and (given.cgroup / name).exists():
            limit = (given.cgroup / name).read_text(encoding="ascii").strip()
    content = {
        "command": [flag if flag != given.root else "DATA" for flag in flags],
        "memory_limit": limit,
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "peak": peaks,
        "file": marks["size"],
        "computing": {"seconds": marks["computed"], "processor_seconds": busy["computed"]},
        "epochs": [marks[after] - marks[before] for before, after in pairwise(names)],
        "epochs_processor": [busy[after] - busy[before] for before, after in pairwise(names)],
        "seconds": time.perf_counter() - start,
    }
    print(json.dumps(content, indent=1))
    if given.json:
        given.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
