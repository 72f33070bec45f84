"""Where the features of all images are kept: on the device, or in a memory-mapped file that a machine's ranks share."""

from __future__ import annotations

import math
import mmap
import os
import sys
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from repro.data.loading.batches import Batches
from repro.distributed.ranks import Ranks
from repro.errors import UserError, no_pipe
from repro.machine import available_memory
from repro.training.random_features.output_layer import OutputLayer

RESIDENT_SHARE = 0.6
"""Features are held on the device if they take less than this share of its free memory, else in a file."""


@torch.no_grad()
def keep(
    output: OutputLayer, batches: Batches, *, folder: Path, ranks: Ranks | None = None
) -> Float[Tensor, "samples features"]:
    """The features of all images (batches in order, on one rank), in float32: on the device, or a memory-mapped file.

    The file, where they do not fit on the device, is written under another name and renamed when it is complete, so one
    that a killed run leaves behind is never taken for whole. Its ranks compute a part each; every machine has a file of
    its own. A complete one is taken as it is if its shape is right: it lies in the run's directory, whose
    configuration, seed and data are checked.
    """
    ranks = ranks or Ranks()
    shape = (len(batches.labels), output.width)
    if ranks.all_agree(_fits(shape, batches.device, ranks.local_size)):
        features = torch.empty(shape, device=batches.device)
        _fill(features, output, batches)
        return features
    path = folder / f"features-{ranks.machine}.npy"
    if not ranks.all_agree(_is_complete(path, shape)):
        _write(path, shape, output, batches.shared(ranks.local_rank, ranks.local_size), ranks)
    mapped = np.load(path, mmap_mode="c")  # c: torch wants writable memory; the file stays as it is
    if sys.platform == "linux":  # the kernel would read up to 25 times as much as a batch's rows
        mapped._mmap.madvise(mmap.MADV_RANDOM)
    return torch.from_numpy(mapped)


def expect(features: Float[Tensor, "samples features"], folder: Path, rows: Int[Tensor, " some"], ranks: Ranks) -> None:
    """Have the kernel read these rows of the file ahead, if the features lie there and not in memory."""
    path = folder / f"features-{ranks.machine}.npy"
    if sys.platform != "linux" or not path.exists():
        return
    size = features.shape[1] * features.element_size()
    with path.open("rb") as file:
        start = path.stat().st_size - len(features) * size  # after the header
        for row in rows.tolist():
            os.posix_fadvise(file.fileno(), start + row * size, size, os.POSIX_FADV_WILLNEED)


def _fits(shape: tuple[int, int], device: torch.device, ranks: int) -> bool:
    size = 4 * math.prod(shape)
    if device.type == "cuda":
        return size <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]
    return size * ranks <= RESIDENT_SHARE * available_memory()


def _is_complete(path: Path, shape: tuple[int, int]) -> bool:
    try:
        features = np.load(no_pipe(path), mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return bool(features.shape == shape and features.dtype == np.float32)


def _write(path: Path, shape: tuple[int, int], output: OutputLayer, batches: Batches, ranks: Ranks) -> None:
    part = path.with_name(f"{path.name}.part")
    refused = ""
    if ranks.local_rank == 0:
        try:
            _reserve(part, shape)
        except OSError as error:
            part.unlink(missing_ok=True)
            refused = f": {error.strerror}"
    if not ranks.all_agree(not refused):
        size = 4 * math.prod(shape) / 1e9
        raise UserError(f"cannot write features of {size:.1f} GB to '{path.parent}'{refused}; name another with --runs")
    mapped = np.load(part, mmap_mode="r+")
    _fill(torch.from_numpy(mapped), output, batches)
    mapped.flush()
    ranks.all_agree(True)  # all parts are there
    if ranks.local_rank == 0:
        part.replace(path)
    ranks.all_agree(True)


def _reserve(path: Path, shape: tuple[int, int]) -> None:
    """A file of the right size with its disk space reserved: writing to mapped memory on a full disk kills the run."""
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    if sys.platform == "linux":
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _fill(features: Float[Tensor, "samples features"], output: OutputLayer, batches: Batches) -> None:
    _, _, parts = batches.remaining()
    for part, (images, _) in zip(parts, batches, strict=True):
        if len(images):
            features[part] = output.features(images)
