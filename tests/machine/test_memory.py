from __future__ import annotations

from pathlib import Path

import pytest

from repro.machine import available_memory
from tests.machine.hosts import group, host, mount

GIB = 2**30


def test_a_host_without_limits(tmp_path: Path) -> None:
    host(tmp_path, "0::/\n", mount(2))
    assert available_memory(tmp_path) == 8 * GIB


@pytest.mark.parametrize("version", [1, 2])
def test_a_jobs_limit_counts_and_page_cache_can_be_dropped(tmp_path: Path, version: int) -> None:
    groups = "1:memory:/slurm/job_7/step_0\n0::/\n" if version == 1 else "0::/slurm/job_7/step_0\n"
    place = "/sys/fs/cgroup/memory" if version == 1 else "/sys/fs/cgroup"
    host(tmp_path, groups, mount(version, "memory", place=place))
    folder = tmp_path / place.lstrip("/")
    limit, usage, cache = (
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        if version == 1
        else ("memory.max", "memory.current", "inactive_file")
    )
    unlimited = 2**63 - 4096 if version == 1 else "max"
    group(folder / "slurm/job_7/step_0", {limit: unlimited, usage: GIB, "memory.stat": f"{cache} 0"})
    group(folder / "slurm/job_7", {limit: 4 * GIB, usage: 3 * GIB, "memory.stat": f"anon 5\n{cache} {GIB}"})
    assert available_memory(tmp_path) == 2 * GIB


def test_elsewhere_what_the_system_says(tmp_path: Path) -> None:
    assert available_memory(tmp_path) > 2**20
    assert available_memory() > 2**20
