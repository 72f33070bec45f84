"""A run of days must not fill the machine: memory stays what it is from step to step, epoch to epoch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import gc, os, sys
from pathlib import Path
import torch
from lightning.pytorch import Callback
from repro.runs import session as module
from repro.runs.start import start
from tests.runs.test_session import small

kept = []

class Watch(Callback):
    def on_train_batch_end(self, trainer, network, outputs, batch, number):
        if trainer.current_epoch >= 40:
            kept.append(torch.ones(250_000))  # 1 MB a step

    def on_train_epoch_start(self, trainer, network):
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        alive = sum(isinstance(each, torch.Tensor) for each in gc.get_objects())
        print(pages * os.sysconf("SC_PAGE_SIZE"), alive, flush=True)

build = module.build
module.build = lambda *given, callbacks, **rest: build(*given, callbacks=[Watch(), *callbacks], **rest)
small_run = {"trainer__max_epochs": 54, "log__every_n_steps": 3, "trainer__progress": "none", "data__train_size": 256}
start(small(Path(sys.argv[1]), **small_run))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_memory_does_not_grow_over_steps_and_a_leak_is_seen(tmp_path: Path) -> None:
    """40 epochs with their evaluation, measurements, log points and checkpoints; the first ten are to settle.

    Then 14 that leak.
    The C library keeps what is freed, and takes some 25 MB more now and then: a quarter of a megabyte a step is seen.
    A tensor that Python holds is seen whatever its size.
    """
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
    )
    rows = [[int(value) for value in line.split()] for line in told.stdout.splitlines() if line[0].isdigit()]
    assert len(rows) == 54
    for part, leak in ((rows[10:40], False), (rows[40:], True)):
        resident, alive = zip(*part, strict=True)
        grown = resident[-1] - resident[0]
        assert (max(alive) > min(alive)) == leak
        assert (grown > 64_000_000) == leak, f"{grown / 1e6:.1f} MB over {len(alive) - 1} epochs"
