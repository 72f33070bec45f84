"""The GPUs of this machine, as this torch sees them."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path


def look() -> tuple[str, str]:
    """What keeps this torch from the GPUs that are here, empty if nothing does; and what there is."""
    import torch

    toolkit = f"CUDA {torch.version.cuda}" if torch.version.cuda else "ROCm" if torch.version.hip else "CPUs only"
    built = f"torch {torch.__version__.split('+')[0]} for {toolkit}"
    if not torch.cuda.is_available():
        if shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists():
            return f"there is one, and {built} cannot use it: install another build, or ask for a newer driver", ""
        return "", f"none here, as on a login node; {built}"
    oldest = min((int(arch[3:]) for arch in torch.cuda.get_arch_list() if arch[3:].isdigit()), default=0)
    names: Counter[str] = Counter()
    for number in range(torch.cuda.device_count()):
        name, (major, minor) = torch.cuda.get_device_name(number), torch.cuda.get_device_capability(number)
        if 10 * major + minor < oldest:
            return f"{name} (sm_{major}{minor}) is too old for {built}, which has sm_{oldest} and later", ""
        names[name] += 1
    return "", f"{', '.join(f'{count} x {name}' for name, count in names.items())}; {built}"
