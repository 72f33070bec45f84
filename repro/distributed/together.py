"""Lightning's DDP, whose processes meet, are compared and are watched before torch connects them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch.distributed as dist
from lightning.pytorch.plugins.environments import ClusterEnvironment  # type: ignore[attr-defined]
from lightning.pytorch.strategies import DDPStrategy, Strategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from repro.distributed.door import meet
from repro.distributed.environment import StepEnvironment
from repro.distributed.meeting import Facts, Place
from repro.distributed.peers import Peers
from repro.distributed.sockets import connections_of_process, cut, interface_of
from repro.errors import PeerLost

_CONNECT_SECONDS = 60.0  # to torch's store, when all are there
_END_SECONDS = 10.0  # for the processes that this one has started, once it fails


class Together(DDPStrategy):
    """DDP among processes that were told the same facts."""

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        self.facts = facts
        self.peers: Peers | None = None
        self._begun: list[subprocess.Popen[bytes]] = []
        """The processes that this one has started."""

    def _configure_launcher(self) -> None:
        """None: `begin` starts the others. Lightning's launcher kills this process, if one of them fails, unheard."""

    def begin(self, checkpoint: str | None) -> str | None:
        """Start the others, where nobody else does, and meet them; torch connects only those that agree.

        Takes the checkpoint that this process would go on from, and returns what rank 0 goes on from.
        """
        self.set_world_ranks()
        environment = self.cluster_environment
        assert environment is not None
        if not environment.creates_processes_externally:
            launcher = _SubprocessScriptLauncher(environment, self.num_processes, self.num_nodes)
            launcher._call_children_scripts()
            self._begun = launcher.procs
        return self._meet(environment, checkpoint) if self.world_size > 1 else checkpoint

    def _meet(self, environment: ClusterEnvironment, checkpoint: str | None) -> str | None:
        token = environment.step.name if isinstance(environment, StepEnvironment) else None
        elastic = os.environ.get("TORCHELASTIC_RUN_ID")
        place = Place(
            rank=self.global_rank,
            size=self.world_size,
            address=environment.main_address,
            port=environment.main_port + bool(elastic),  # at the first one torchrun itself is listening
            token=token or elastic or "",
        )
        before = connections_of_process()
        met = meet(place, self.facts, checkpoint=checkpoint, look=self._require_started)
        held = before | connections_of_process()  # the connections of the watch stay when others are cut
        self.peers = Peers(self.global_rank, met.connections, met.names, lambda: _break_off(held))
        if (name := interface_of(met.local)) is not None:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
        self.peers.start()
        patience = timedelta(seconds=_CONNECT_SECONDS)
        if met.store is None:
            store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False, timeout=patience)
            met.tell(store.port)
        else:
            store = TCPStore(*met.store, is_master=False, timeout=patience)
        backend = self._get_process_group_backend()
        device = None if self.root_device.type == "cpu" else self.root_device
        dist.init_process_group(
            backend,
            store=store,
            rank=self.global_rank,
            world_size=self.world_size,
            timeout=self._timeout,
            device_id=device,
        )
        return met.checkpoint

    def _require_started(self) -> None:
        for rank, process in enumerate(self._begun, 1):
            if process.poll() is not None:
                raise PeerLost(f"rank {rank}, begun here, has ended with status {process.returncode}")

    def leave(self, why: str | None) -> None:
        """Part from the others, who are told why unless they end likewise; the next run meets anew."""
        if self.peers is not None:
            self.peers.leave(why)
            self.peers = None
        if dist.is_initialized():
            dist.destroy_process_group()
        if why is not None:
            for process in self._begun:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_END_SECONDS)
                process.kill()


def _break_off(held: dict[int, tuple[int, int]]) -> None:
    cut(held)
    with suppress(RuntimeError):
        if (group := dist.group.WORLD) is not None and dist.get_backend() == dist.Backend.NCCL:
            group.abort()


@contextmanager
def attended(
    strategy: Strategy, checkpoint: str | None = None, *, alike: tuple[type[BaseException], ...] = ()
) -> Iterator[str | None]:
    """Meet the run's other processes, if there are any, and part from them at the end, whatever that is.

    Takes the name of the checkpoint that this process would go on from, and yields that of rank 0. Exceptions that are
    `alike` end all processes at the same place. `UserError` if the others were told different things or did not come;
    `PeerLost` in place of torch's error, where another process has gone.
    """
    if not isinstance(strategy, Together):
        yield checkpoint
        return
    try:
        yield strategy.begin(checkpoint)
    except BaseException as error:
        told = error if strategy.peers is None else strategy.peers.explain(error)
        strategy.leave(None if isinstance(told, alike) else str(told) or type(told).__name__)
        if told is error:
            raise
        raise told from error
    strategy.leave(None)
