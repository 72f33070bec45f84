"""Every CUDA path against the CPU's result (`make gpu-check`); where there is no GPU nothing here is collected."""

from __future__ import annotations

import torch

collect_ignore_glob = [] if torch.cuda.is_available() else ["test_*.py"]
