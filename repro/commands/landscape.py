"""`repro landscape`: the loss around a trained network, over two directions in the space of its weights."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.config import Config
from repro.errors import UserError
from repro.machine import number
from repro.records import RunDirectory
from repro.records.surface import MOST_POINTS, SURFACE, SurfaceRecord
from repro.text import shell

if TYPE_CHECKING:
    from repro.landscape.plane import Plane

_LARGEST_RADIUS = 1e6
KINDS = ("random", "filter", "pca")


def main(arguments: Sequence[str], parser: argparse.ArgumentParser) -> int:
    """Run ``repro landscape TARGET ...``."""
    parser.add_argument("target", type=Path, help="a run directory, one of its checkpoints, or a configuration (.yaml)")
    parser.add_argument("--directions", choices=KINDS, default="random", help="the plane (default: random)")
    parser.add_argument("--points", type=int, default=51, help="on each axis (default: 51)")
    parser.add_argument("--radius", type=float, default=1.0, help="of the grid, in lengths of a direction (default: 1)")
    parser.add_argument("--samples", type=int, default=1024, help="training images (default: 1024, or all)")
    parser.add_argument("--seed", type=int, default=0, help="of the directions (default: 0)")
    parser.add_argument("--batch-size", type=int, default=1024, help="images at a time (default: 1024)")
    parser.add_argument("--together", type=int, help="grid points at a time (default: 8 on a GPU, otherwise 1)")
    parser.add_argument("--part", help="i/n: only the i-th of n parts (default: the SLURM array's or torchrun's)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda (default: auto)")
    parser.add_argument("--out", type=Path, help=f"folder (default: {SURFACE}/ in the run's directory)")
    parser.add_argument("--again", action="store_true", help="replace a surface that is there")
    given = parser.parse_args(arguments)
    _check(given)
    part = _part(given.part)
    if given.again and part[1] > 1:
        raise UserError("--again goes with one part; for several delete the folder of the surface first")
    run, config, checkpoint = _target(given.target)
    record = SurfaceRecord(given.out or run.path / SURFACE)
    return _compute(given, part, run, config, checkpoint, record)


def _check(given: argparse.Namespace) -> None:
    for name in ("points", "samples", "batch_size", "together"):
        value = getattr(given, name)
        least = 2 if name in ("points", "samples") else 1
        if value is not None and value < least:
            raise UserError(f"--{name.replace('_', '-')} is {value}; allowed: {least} or more")
        if value is not None and value > (most := MOST_POINTS if name == "points" else 2**31 - 1):
            raise UserError(f"--{name.replace('_', '-')} is {value}; allowed: {most:,} at most")
    if not 0 < given.radius <= _LARGEST_RADIUS:
        raise UserError(f"--radius is {given.radius}; allowed: above 0, up to {_LARGEST_RADIUS:g}")
    if not 0 <= given.seed < 2**63:
        raise UserError(f"--seed is {given.seed}; allowed: 0 to 2**63 - 1")


def _part(text: str | None) -> tuple[int, int]:
    """Which of how many parts this process computes, from 1."""
    if text is None:
        if "SLURM_ARRAY_TASK_ID" in os.environ:
            first, count = number("SLURM_ARRAY_TASK_MIN", 0), number("SLURM_ARRAY_TASK_COUNT", 1)
            return number("SLURM_ARRAY_TASK_ID", 0) - first + 1, count
        if (ranks := number("WORLD_SIZE", 1)) > 1:
            return number("RANK", 0) + 1, ranks
        return number("SLURM_PROCID", 0) + 1, number("SLURM_NTASKS", 1)
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UserError(f"--part is '{text}'; allowed: i/n with i from 1 to n, such as 2/8")
    return int(match[1]), int(match[2])


def _target(path: Path) -> tuple[RunDirectory, Config, Path]:
    """The run, its configuration, and the checkpoint that is meant."""
    from repro.config import load
    from repro.runs.start import locate, stored_checkpoint

    if path.suffix in (".yaml", ".yml"):
        config = load(path)
        run = locate(config, config)
        if not run.path.is_dir():
            raise UserError(f"'{path}' has not been run; {shell('repro', 'fit', '--config', path)} trains it")
        path = run.path
    return stored_checkpoint(path)


def _compute(
    given: argparse.Namespace,
    part: tuple[int, int],
    run: RunDirectory,
    config: Config,
    checkpoint: Path,
    record: SurfaceRecord,
) -> int:
    import torch

    from repro.commands.measure import device_named
    from repro.distributed.processes import alone
    from repro.landscape.plane import evaluate
    from repro.runs.build import restore
    from repro.runs.threads import set_threads_to_look
    from repro.training.losses import LOSSES

    device = device_named(given.device)
    experiment, _ = restore(alone(config), checkpoint)
    network = experiment.module.network.to(device)
    data = experiment.data
    data.setup("fit")
    samples = min(given.samples, data.samples("train"))
    images, labels = (each.to(device) for each in data.probe(samples))
    set_threads_to_look(network, images[:1], given.batch_size)
    plane, path, share = _plane(given, run, checkpoint, network)
    plan: dict[str, Any] = {
        "run": run.name,
        "checkpoint": checkpoint.name,
        "directions": given.directions,
        "seed": given.seed,
        "points": given.points,
        "radius": given.radius,
        "samples": samples,
        "loss": config.training.loss,
        "path": path,
    }
    if share is not None:
        print(f"{100 * share:.1f} % of the training path's squared length lies in the plane")
    record.prepare(plan, again=given.again)
    axis = torch.linspace(-given.radius, given.radius, given.points, dtype=torch.float64)
    # By columns: what the first direction adds is then the same for a whole chunk.
    mine = [point for point in record.missing() if point % given.points % part[1] == part[0] - 1]
    columns: dict[int, list[int]] = {}
    for point in mine:
        columns.setdefault(point % given.points, []).append(point)
    batches = list(zip(images.split(given.batch_size), labels.split(given.batch_size), strict=True))
    together = given.together or (8 if device.type == "cuda" else 1)
    started = time.perf_counter()
    for done, (column, points) in enumerate(columns.items(), 1):
        rows = [point // given.points for point in points]
        coordinates = torch.stack([axis[column].expand(len(rows)), axis[rows]], 1)
        found = evaluate(network, plane, coordinates, batches, loss=LOSSES[config.training.loss], together=together)
        record.append(f"{part[0]}of{part[1]}", points, [(loss, errors) for loss, errors in found.tolist()])
        if sys.stderr.isatty():
            left = (time.perf_counter() - started) / done * (len(columns) - done)
            print(f"{done}/{len(columns)} columns, {left:.0f} s left ", end="\r", file=sys.stderr, flush=True)
    print(f"{len(mine):,} of {given.points**2:,} points in {time.perf_counter() - started:.1f} s: {record.path}")
    if missing := len(record.missing()):
        print(f"{missing:,} points are missing; the last part draws the figures")
        return 0
    _draw(record, run.name)
    return 0


def _plane(
    given: argparse.Namespace, run: RunDirectory, checkpoint: Path, network: Any
) -> tuple[Plane, list[list[float]], float | None]:
    """The plane, the training path in its coordinates if it was made from that, and the share of it in the plane."""
    import torch

    from repro.landscape import directions
    from repro.landscape.plane import Plane
    from repro.runs.checkpoint_content import read

    center = directions.trained_parameters(network)
    generator = torch.Generator().manual_seed(given.seed)
    if given.directions == "random":
        return Plane(center, *(directions.random_direction(center, generator) for _ in range(2))), [], None
    if given.directions == "filter":
        return Plane(center, *(directions.filter_normalised(center, generator) for _ in range(2))), [], None
    others = [each for each in run.saved_checkpoints() if each.resolve() != checkpoint.resolve()]
    if len(others) < 2:
        raise UserError(
            f"--directions pca needs three checkpoints; '{run.path}' keeps {len(others) + 1}: train with "
            "--trainer.keep_checkpoints 100"
        )
    visited = []
    for each in others:
        content = read(each)["state_dict"]
        visited.append({name: content[f"network.{name}"].to(center[name]) for name in center})
    try:
        first, second, coordinates, share = directions.principal(center, visited)
    except ValueError as error:
        raise UserError(f"--directions pca: {error}") from error
    return Plane(center, first, second), [*coordinates.tolist(), [0.0, 0.0]], share


def _draw(record: SurfaceRecord, label: str) -> None:
    from repro.figures import landscape, to_png, to_svg

    surface = record.read(label)
    figure = landscape.surfaces([surface])
    try:
        (record.path / "surface.png").write_bytes(to_png(figure))
        (record.path / "surface.svg").write_text(to_svg(figure), encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write to '{record.path}': {error.strerror}; name another folder with --out") from error
    middle = surface.loss[len(surface.at) // 2, len(surface.at) // 2]
    print(f"loss {middle:.4g} in the middle, up to {surface.loss.max():.4g}: {record.path}/surface.png, surface.svg")
