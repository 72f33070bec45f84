"""What can go wrong on a cluster, looked at before anything is submitted: one line a check."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from repro.cluster.gpus import look
from repro.cluster.sbatch import SIGNAL_SECONDS
from repro.config import Config
from repro.distributed.processes import alone, check_layout
from repro.errors import UserError, first_line
from repro.runs.validation import check
from repro.studies.plan import duration

LOWEST = {"torch": (2, 11), "torchvision": (0, 26), "lightning": (2, 6, 4)}
"""Oldest versions that do; lightning 2.6.2 and 2.6.3 on the package index were malicious."""
_FLOAT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.ok else 'FAIL'}  {self.name:14} {self.found}"


def preflight(
    configs: Sequence[Config], *, limit: float | None = None, longest: float | None = None
) -> Iterator[Check]:
    """Look at everything that runs with these configurations need; each check as it is done.

    `limit` is the time limit of one life in seconds, None outside of a submission; `longest` the seconds that the
    longest run takes by measured steps, None if not known.
    """
    yield versions()
    sound, of_configurations = _configurations(configs)
    yield from of_configurations
    parameters = 0
    if sound:
        of_networks, parameters = _networks(sound)
        yield from of_networks
    yield processes(configs)
    yield gpus(configs)
    if limit is not None:
        yield time_limit(limit, longest)
    yield tracking(configs)
    yield from _folders(configs, parameters)
    yield communication(configs)


def passes(checks: Iterable[Check]) -> bool:
    """Print each check as it is done; whether all are fine."""
    fine = True
    for item in checks:
        print(item, flush=True)
        fine = fine and item.ok
    return fine


def versions() -> Check:
    """Whether the packages are there and new enough."""
    said, ok = [], True
    for name, lowest in LOWEST.items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            said.append(f"{name} is not installed")
            ok = False
            continue
        numbers = tuple(int(part) for part in version.split("+")[0].split(".")[:3] if part.isdigit())
        enough = numbers >= lowest
        ok = ok and enough
        said.append(f"{name} {version}" + ("" if enough else f" (older than {'.'.join(map(str, lowest))})"))
    return Check(name="versions", ok=ok, found=", ".join(said))


def _configurations(configs: Sequence[Config]) -> tuple[list[Config], list[Check]]:
    """Names, combinations and data files of every run; returns the configurations that are sound."""
    sound, wrong = [], []
    fingerprints: dict[tuple[str, str], str] = {}
    for config in configs:
        try:
            fingerprints[config.data.name, config.data.root] = check(config)
        except UserError as mistake:
            wrong.append(str(mistake))
        else:
            sound.append(config)
    checks = [
        Check(name="data", ok=True, found=f"{name} in '{root}', fingerprint {fingerprint[:12]}")
        for (name, root), fingerprint in fingerprints.items()
    ]
    checks += _grouped("configuration", wrong)
    if not wrong:
        checks.append(Check(name="configuration", ok=True, found=f"{len(configs)} of {len(configs)} runs are sound"))
    return sound, checks


def _grouped(name: str, reasons: Sequence[str]) -> list[Check]:
    """Failures, each once, with the number of runs that have it."""
    return [
        Check(name=name, ok=False, found=reason if runs == 1 else f"{reason} ({runs} runs)")
        for reason, runs in Counter(reasons).items()
    ]


def _networks(configs: Sequence[Config]) -> tuple[list[Check], int]:
    """Builds every network that differs from the others; returns the largest number of parameters."""
    from repro.runs.build import build

    wrong: dict[str, str] = {}
    largest = 0
    keys = [repr((config.model, config.data.name, config.data.image_size)) for config in configs]
    different = dict(zip(keys, configs, strict=True))
    for key, config in different.items():
        try:
            network = build(alone(config, accelerator="cpu")).module.network
        except UserError as mistake:
            wrong[key] = str(mistake)
        else:
            largest = max(largest, sum(parameter.numel() for parameter in network.parameters()))
    if wrong:
        return _grouped("networks", [wrong[key] for key in keys if key in wrong]), largest
    kinds = "1 network" if len(different) == 1 else f"{len(different)} networks"
    return [Check(name="networks", ok=True, found=f"{kinds} built, up to {largest:,} parameters")], largest


def processes(configs: Sequence[Config]) -> Check:
    """Whether nodes times tasks of this SLURM job are the devices that are asked for."""
    try:
        layouts = {check_layout(config) for config in configs}
    except UserError as mistake:
        return Check(name="processes", ok=False, found=str(mistake))
    return Check(name="processes", ok=True, found="; ".join(sorted(layouts)))


def gpus(configs: Sequence[Config]) -> Check:
    """Whether this torch can use the GPUs of this machine; a login node has none."""
    if all(config.trainer.accelerator == "cpu" for config in configs):
        return Check(name="GPU", ok=True, found="none is asked for")
    fault, found = look()
    return Check(name="GPU", ok=not fault, found=fault or found)


def time_limit(limit: float, longest: float | None) -> Check:
    """Whether a life is long enough to come to a checkpoint, and how many the longest run takes."""
    useful = limit - SIGNAL_SECONDS
    if useful < 60:
        text = f"{duration(limit)} leave nothing: jobs are told {SIGNAL_SECONDS} s before; ask for ten minutes or more"
        return Check(name="time", ok=False, found=text)
    if longest is None:
        text = f"{duration(limit)} a life; no run here says how long a step takes"
    else:
        lives = 1 if longest <= useful else int(-(-longest // useful))
        text = f"{duration(limit)} a life; the longest run takes {duration(longest)}: {lives} of them"
    return Check(name="time", ok=True, found=text)


def tracking(configs: Sequence[Config]) -> Check:
    """W&B's mode, and the login where it needs one."""
    from repro.tracking.wandb_logger import mode
    from repro.tracking.wandb_service import Service, available

    modes = sorted({mode(config.log) for config in configs})
    if not available():
        return Check(name="W&B", ok=True, found="is not installed; the record has everything")
    if "online" not in modes:
        return Check(name="W&B", ok=True, found=" and ".join(modes))
    try:
        Service()
    except UserError as refusal:
        return Check(name="W&B", ok=False, found=f"online, without a login ({refusal}), or use --log.wandb offline")
    return Check(name="W&B", ok=True, found="online, with a login")


def _folders(configs: Sequence[Config], parameters: int) -> list[Check]:
    """Whether runs can be written, locked and kept where they are to be."""
    checks = []
    for folder in sorted({config.runs for config in configs}):
        path = Path(folder)
        existing = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
        probe = existing / f".repro-{uuid.uuid4().hex}"
        try:
            probe.write_text("")
            os.link(probe, probe.with_suffix(".link"))
            probe.with_suffix(".link").unlink()
        except OSError as error:
            text = f"'{folder}' cannot be written or has no hard links ({error.strerror}); choose another --runs"
            checks.append(Check(name="run directory", ok=False, found=text))
            continue
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()
        checks.append(Check(name="run directory", ok=True, found=f"'{folder}' can be written"))
        here = [config for config in configs if config.runs == folder]
        # Weights and momenta; beside those that are kept, one that is being written and the best.
        files = sum(config.trainer.keep_checkpoints + 2 for config in here)
        needed, free = 2 * _FLOAT_BYTES * parameters * files, shutil.disk_usage(existing).free
        text = f"{free / 1e9:,.1f} GB free, checkpoints take up to {needed / 1e9:,.1f} GB"
        checks.append(Check(name="disk", ok=free > needed, found=text))
    return checks


def communication(configs: Sequence[Config]) -> Check:
    """Whether processes can find and talk to each other: gloo always, NCCL where several GPUs are asked for."""
    import torch
    import torch.distributed as dist

    host = socket.gethostname()
    try:
        address = socket.gethostbyname(host)
        with tempfile.TemporaryDirectory() as folder:
            dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=0, world_size=1)
            dist.all_reduce(torch.ones(1))
            dist.destroy_process_group()
    except (OSError, RuntimeError, ValueError) as error:
        return Check(name="communication", ok=False, found=f"gloo on {host}: {first_line(error)}")
    text = f"gloo works, {host} is {address}"
    several = any(
        config.trainer.accelerator != "cpu"
        and (config.trainer.devices not in ("auto", 1) or config.trainer.num_nodes > 1)
        for config in configs
    )
    if not several:
        return Check(name="communication", ok=True, found=text)
    nccl = dist.is_nccl_available()
    gpus = torch.cuda.device_count()
    text += f"; NCCL {'is' if nccl else 'is not'} in this torch, {gpus} GPUs here"
    return Check(name="communication", ok=nccl, found=text)
