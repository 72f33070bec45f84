from __future__ import annotations

from pathlib import Path

import pytest

from repro.records import available_memory

GIB = 2**30


def host(root: Path, groups: str, available: int = 8) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: 1 kB\nMemFree: 2 kB\nMemAvailable: {available * 2**20} kB\n")
    (root / "proc/self/cgroup").write_text(groups)


def group(folder: Path, files: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(f"{content}\n")


def test_a_host_without_limits(tmp_path: Path) -> None:
    host(tmp_path, "0::/\n")
    assert available_memory(tmp_path) == 8 * GIB


@pytest.mark.parametrize("version", [1, 2])
def test_a_jobs_limit_counts_and_page_cache_can_be_dropped(tmp_path: Path, version: int) -> None:
    host(tmp_path, "1:memory:/slurm/job_7/step_0\n0::/\n" if version == 1 else "0::/slurm/job_7/step_0\n")
    place = tmp_path / ("sys/fs/cgroup/memory" if version == 1 else "sys/fs/cgroup")
    limit, usage, cache = (
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        if version == 1
        else ("memory.max", "memory.current", "inactive_file")
    )
    unlimited = 2**63 - 4096 if version == 1 else "max"
    group(place / "slurm/job_7/step_0", {limit: unlimited, usage: GIB, "memory.stat": f"{cache} 0"})
    group(place / "slurm/job_7", {limit: 4 * GIB, usage: 3 * GIB, "memory.stat": f"anon 5\n{cache} {GIB}"})
    assert available_memory(tmp_path) == 2 * GIB


def test_elsewhere_what_the_system_says(tmp_path: Path) -> None:
    assert available_memory(tmp_path) > 2**20
    assert available_memory() > 2**20
