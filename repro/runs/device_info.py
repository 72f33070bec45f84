"""What a life of a run says of its device and its processes."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Trainer

from repro.config import Config
from repro.training.classifier import Classifier


def device_name(device: torch.device) -> str:
    """CPU, or the GPU's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def device_info(config: Config, module: Classifier, trainer: Trainer) -> dict[str, Any]:
    """Device, threads, precision, what is compiled, processes, whose statistics normalise, parameters."""
    return {
        "device": device_name(trainer.strategy.root_device),
        "threads": torch.get_num_threads(),
        "precision": config.trainer.precision,
        "compiled": "none" if module.compiled is None else module.compiled.described,
        "world_size": trainer.world_size,
        "nodes": trainer.num_nodes,
        "batch_statistics": _statistics(config, trainer.world_size),
        "parameters": sum(parameter.numel() for parameter in module.network.parameters()),
    }


def _statistics(config: Config, ranks: int) -> str:
    if ranks == 1 or config.model.train == "output":
        return "whole batch"
    images = int(config.data.batch_size) // ranks
    return f"local, {images} images" if config.training.batch_statistics == "local" else "whole batch, synchronised"
