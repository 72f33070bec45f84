"""Lives of a run in processes of their own, forked from one that has imported everything: they start at once."""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from typing import Any

import pytest

_LIFE = """
import os, sys
os.environ.update(environment)
exec(before)
from repro.cli import run
sys.exit(run(arguments))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def context() -> Any:
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["repro.cli", "repro.runs.session", "repro.runs.start", "repro.data.sources.mnist5k"])
    return made


@pytest.fixture
def live(context: Any) -> Iterator[Callable[..., list[BaseProcess]]]:
    """Start `repro` in one process or more, after some code; what still runs at the end is killed."""
    started: list[BaseProcess] = []

    def begin(*arguments: str, ranks: int = 1, before: str = "", **environment: str) -> list[BaseProcess]:
        port = str(free_port())
        mine = []
        for rank in range(ranks):
            place = {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port} if ranks > 1 else {}
            known = {"arguments": list(arguments), "before": before, "environment": {**place, **environment}}
            process = context.Process(target=exec, args=(_LIFE, known))
            process.start()
            mine.append(process)
        started.extend(mine)
        return mine

    yield begin
    for process in started:
        process.kill()
        process.join()


@pytest.fixture
def on_ranks(context: Any) -> Callable[..., list[int | None]]:
    """Run some code in so many processes, each with `rank`, `ranks` and what is given; returns their exit codes."""

    def run(code: str, ranks: int, *, seconds: float = 240, **given: Any) -> list[int | None]:
        known = [{**given, "rank": rank, "ranks": ranks} for rank in range(ranks)]
        processes = [context.Process(target=exec, args=(code, each)) for each in known]
        for process in processes:
            process.start()
        for process in processes:
            process.join(seconds)
            process.kill()  # if it has not ended
        return [process.exitcode for process in processes]

    return run
