"""Data sets and batches. Importing this package does not import torch."""

from __future__ import annotations

from repro.data.create import create_data, fingerprint
from repro.data.protocol import ImageData
from repro.data.registry import DATASETS, Dataset, counted, dataset, provenance

__all__ = ["DATASETS", "Dataset", "ImageData", "counted", "create_data", "dataset", "fingerprint", "provenance"]
