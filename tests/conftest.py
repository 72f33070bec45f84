"""Shapes in signatures are checked while the tests run; in use they cost nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small work: threads cost more than they bring
os.environ.setdefault("WANDB_MODE", "disabled")  # tests of W&B set the mode themselves
os.environ.pop("SLURM_JOB_ID", None)
settings.register_profile("repro", deadline=None)  # a busy machine is no failure
settings.load_profile("repro")
install_import_hook("repro", "beartype.beartype")

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def mnist_files() -> Path:
    """Folder of MNIST's four gzipped files; tests that need them skip where there are none."""
    folder = SHARED / "MNIST" / "raw"
    if not folder.is_dir():
        pytest.skip("needs a local copy of MNIST's idx files")
    return folder
