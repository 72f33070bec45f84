"""How a cluster is set: what decides whether a job that is stopped comes back."""

from __future__ import annotations

import re
from dataclasses import dataclass

from repro.cluster import slurm
from repro.runs.requeue import fields

_KEEPS_CREDENTIALS = 120
"""Seconds for which SLURM holds a requeued job, where the cluster says nothing else: its old credentials expire."""


@dataclass(frozen=True)
class Settings:
    """The keys of ``scontrol show config`` and ``scontrol show partition``."""

    cluster: dict[str, str]
    partition: dict[str, str]

    @classmethod
    def of(cls, partition: str) -> Settings:
        """As they are now; `UserError` if SLURM does not answer."""
        config = slurm.call("scontrol", "show", "config")
        first = partition.split(",")[0]  # while it waits for room in one of several
        shown = slurm.call("scontrol", "show", "partition", "-o", first)
        return cls(dict(re.findall(r"^(\w+)\s*= (.*?)\s*$", config, re.M)), fields(shown))

    def _number(self, key: str, usual: int) -> int:
        match = re.match(r"\d+", self.cluster.get(key, ""))
        return int(match[0]) if match else usual

    @property
    def kill_wait(self) -> int:
        """Seconds from SIGTERM to SIGKILL."""
        return self._number("KillWait", 30)

    @property
    def grace(self) -> int:
        """Seconds from the announcement of a preemption to its end."""
        return int(self.partition.get("GraceTime", "0") or 0)

    @property
    def hold(self) -> int:
        """Seconds for which a requeued job waits at least."""
        match = re.search(r"cred_expire=(\d+)", self.cluster.get("AuthInfo", ""))
        return int(match[1]) if match else _KEEPS_CREDENTIALS

    @property
    def preemption(self) -> str:
        """What becomes of a job that makes room for another, by the settings; empty if none does."""
        if self.cluster.get("PreemptType", "preempt/none") in ("preempt/none", "(null)"):
            return ""
        mode = self.partition.get("PreemptMode", self.cluster.get("PreemptMode", "OFF"))
        return "" if mode == "OFF" else f"PreemptMode={mode}, GraceTime={self.grace}"

    @property
    def keeps_accounts(self) -> bool:
        """Whether accounts and QOS mean anything."""
        return self.cluster.get("AccountingStorageType") != "accounting_storage/none"

    def holds_on_exit(self, status: int) -> bool:
        """Whether a job that ends with this status is put into the queue and held there."""
        return str(status) in re.findall(r"\d+", self.cluster.get("RequeueExitHold", ""))
