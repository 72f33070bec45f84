"""Hosts as `/proc` and `/sys` show them, in a folder."""

from __future__ import annotations

from pathlib import Path

MOUNTS = {
    1: "32 31 0:29 {top} {place} rw,nosuid shared:9 - cgroup cgroup rw,{controllers}\n",
    2: "25 23 0:22 {top} {place} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
}


def host(root: Path, groups: str, mounts: str, available: int = 8) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: 1 kB\nMemFree: 2 kB\nMemAvailable: {available * 2**20} kB\n")
    (root / "proc/self/cgroup").write_text(groups)
    (root / "proc/self/mountinfo").write_text(f"22 1 252:1 / / rw,relatime - ext4 /dev/vda rw\n{mounts}")


def mount(version: int, controllers: str = "", *, top: str = "/", place: str = "/sys/fs/cgroup") -> str:
    return MOUNTS[version].format(top=top, place=place, controllers=controllers)


def group(folder: Path, files: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(f"{content}\n")
