from __future__ import annotations

from pathlib import Path

import pytest

from repro.machine import processors
from tests.machine.hosts import group, host, mount


@pytest.fixture(autouse=True)
def sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(16)), raising=False)


def test_what_the_affinity_leaves(tmp_path: Path) -> None:
    assert processors(tmp_path, {}) == 16


def test_a_machine_without_affinity_counts_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: 10)
    assert processors(tmp_path, {}) == 10
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert processors(tmp_path, {}) == 1


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"SLURM_CPUS_PER_TASK": "4", "SLURM_CPUS_ON_NODE": "12"}, 4),
        ({"SLURM_CPUS_ON_NODE": "12"}, 12),
        ({"SLURM_CPUS_ON_NODE": "12", "SLURM_STEP_TASKS_PER_NODE": "3(x2)"}, 4),
        ({"SLURM_CPUS_ON_NODE": "2", "SLURM_STEP_TASKS_PER_NODE": "3"}, 1),
        ({"SLURM_CPUS_PER_TASK": "64"}, 16),
        ({"SLURM_CPUS_PER_TASK": "", "SLURM_CPUS_ON_NODE": "many"}, 16),
    ],
)
def test_what_slurm_gives_a_task(environment: dict[str, str], expected: int, tmp_path: Path) -> None:
    assert processors(tmp_path, environment) == expected


@pytest.mark.parametrize(
    ("quota", "expected"), [("50000 100000", 1), ("250000 100000", 2), ("max 100000", 16), ("9900000 100000", 16)]
)
def test_a_quota_of_version_2(quota: str, expected: int, tmp_path: Path) -> None:
    host(tmp_path, "0::/box\n", mount(2))
    group(tmp_path / "sys/fs/cgroup/box", {"cpu.max": quota})
    assert processors(tmp_path, {}) == expected


@pytest.mark.parametrize(("quota", "expected"), [(50_000, 1), (300_000, 3), (-1, 16)])
def test_a_quota_of_version_1(quota: int, expected: int, tmp_path: Path) -> None:
    """Beside a version 2 hierarchy without controllers, as systemd mounts both."""
    groups = "4:memory:/elsewhere\n3:cpu,cpuacct:/box\n0::/box\n"
    place = "/sys/fs/cgroup/cpu,cpuacct"
    unified = mount(2, place="/sys/fs/cgroup/unified")
    host(tmp_path, groups, mount(1, "cpu,cpuacct", place=place) + unified)
    files = {"cpu.cfs_quota_us": quota, "cpu.cfs_period_us": 100_000}
    group(tmp_path / place.lstrip("/") / "box", files)
    assert processors(tmp_path, {}) == expected


def test_the_smallest_quota_along_the_path_counts(tmp_path: Path) -> None:
    host(tmp_path, "0::/a/b/c\n", mount(2))
    for place, quota in (("a", "800000 100000"), ("a/b", "300000 100000"), ("a/b/c", "max 100000")):
        group(tmp_path / "sys/fs/cgroup" / place, {"cpu.max": quota})
    assert processors(tmp_path, {}) == 3


@pytest.mark.parametrize(
    ("own", "top", "seen"),
    [
        ("/docker/abc/job", "/docker/abc", "job"),  # mounted from the container's own group on
        ("/../../other", "/", ""),  # a group outside of what is seen: the topmost that is
    ],
)
def test_a_container_sees_its_own_groups(own: str, top: str, seen: str, tmp_path: Path) -> None:
    host(tmp_path, f"0::{own}\n", mount(2, top=top, place="/mnt/its\\040groups"))
    group(tmp_path / "mnt/its groups" / seen, {"cpu.max": "200000 100000"})
    assert processors(tmp_path, {}) == 2
