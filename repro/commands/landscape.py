"""`repro landscape`: the loss around a trained network, over two directions in the space of its weights."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tqdm import tqdm

from repro.commands.options import MOST, Action, Request, argument, command_parser, option, trust_option
from repro.commands.subject import device_named, restored
from repro.config import Config
from repro.errors import UserError
from repro.machine import number
from repro.records import RunDirectory, put, require_free
from repro.records.surface import MOST_POINTS, SURFACE, SurfaceRecord
from repro.text import shell

if TYPE_CHECKING:
    from torch import Tensor, nn

    from repro.landscape.plane import Plane

EXAMPLES = ("runs/nguyen-fig3/RUN", "runs/nguyen-fig3/RUN --directions filter", "runs/nguyen-fig3/RUN --part 3/8")
_LARGEST_RADIUS = 1e6
_PICTURES = ("surface.png", "surface.svg")


class Landscape(Request):
    """A request for a loss surface: around which network, on which grid."""

    target: Path = argument("a run directory, one of its checkpoints, or a configuration (.yaml)")
    directions: Literal["random", "filter", "pca"] = option("directions that span the plane", default="random")
    points: int = option("grid points on each axis", default=51, least=2, most=MOST_POINTS)
    radius: float = option("half the side of the grid, in lengths of a direction", default=1.0)
    samples: int = option("number of training images (all, if there are fewer)", default=1024, least=2)
    seed: int = option("seed of the directions", default=0, least=0, most=MOST)
    batch_size: int = option("images at a time", default=1024, least=1, most=MOST)
    together: int | None = option(
        "grid points at a time (default: 8 on a GPU, otherwise 1)", default=None, least=1, most=MOST
    )
    part: str | None = option(
        "i/n: compute only the i-th of n parts (default: the SLURM array task, or the rank of torchrun)", default=None
    )
    device: str = option("auto, cpu, cuda", default="auto")
    out: Path | None = option(f"folder for the surface (default: {SURFACE}/ in the run directory)", default=None)
    again: bool = option("replace an existing surface", default=False)
    trust: tuple[str, ...] = trust_option()

    def __post_init__(self) -> None:
        if not 0 < self.radius <= _LARGEST_RADIUS:
            raise UserError(f"--radius is {self.radius}; allowed: above 0, up to {_LARGEST_RADIUS:g}")


def main(request: Landscape) -> int:
    """Compute what is missing of the surface, and draw it when nothing is."""
    part = _part(request.part)
    if request.again and part[1] > 1:
        raise UserError("--again goes with one part; for several delete the folder of the surface first")
    run, config, checkpoint = _target(request.target)
    record = SurfaceRecord(request.out or run.path / SURFACE)
    require_free(record.path, _PICTURES)
    _compute(request, part, run, config, checkpoint, record)
    if missing := len(record.missing()):
        print(f"{missing:,} points are missing; the last part draws the figures")
    else:
        _draw(record, run.name)
    return 0


parser = partial(command_parser, examples=EXAMPLES, actions=Action(Landscape, main))


def _part(text: str | None) -> tuple[int, int]:
    """Which of how many parts this process computes, from 1."""
    if text is None:
        if "SLURM_ARRAY_TASK_ID" in os.environ:
            first, count = number("SLURM_ARRAY_TASK_MIN", 0), number("SLURM_ARRAY_TASK_COUNT", 1)
            return number("SLURM_ARRAY_TASK_ID", 0) - first + 1, count
        if (ranks := number("WORLD_SIZE", 1)) > 1:
            return number("RANK", 0) + 1, ranks
        return number("SLURM_PROCID", 0) + 1, number("SLURM_NTASKS", 1)
    match = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UserError(f"--part is '{text}'; allowed: i/n with i from 1 to n, such as 2/8")
    return int(match[1]), int(match[2])


def _target(path: Path) -> tuple[RunDirectory, Config, Path]:
    """The run, its configuration, and the checkpoint that is meant."""
    from repro.config import load
    from repro.runs.start import resolve, stored_checkpoint

    if path.suffix in (".yaml", ".yml"):
        config = load(path)
        run = resolve(config, config).directory
        if not run.path.is_dir():
            raise UserError(f"'{path}' has not been run; {shell('repro', 'fit', '--config', path)} trains it")
        path = run.path
    return stored_checkpoint(path)


def _subject(request: Landscape, config: Config, checkpoint: Path) -> tuple[nn.Module, Tensor, Tensor]:
    """The trained network, training images and their labels, on the device."""
    from repro.runs.threads import set_threads_to_look

    device = device_named(request.device)
    module, data, _ = restored(config, checkpoint, device)
    network = module.network
    images, labels = (tensor.to(device) for tensor in data.probe(min(request.samples, data.samples("train"))))
    set_threads_to_look(network, images[:1], request.batch_size)
    return network, images, labels


def _compute(
    request: Landscape,
    part: tuple[int, int],
    run: RunDirectory,
    config: Config,
    checkpoint: Path,
    record: SurfaceRecord,
) -> None:
    """Prepare the record, and append this part's points that it lacks."""
    from repro.landscape.plane import evaluate
    from repro.training.losses import LOSSES

    network, images, labels = _subject(request, config, checkpoint)
    plane, path, fraction = _plane(request, run, checkpoint, network)
    if fraction is not None:
        print(f"{100 * fraction:.1f} % of the training path's squared length lies in the plane")
    plan: dict[str, Any] = {
        "run": run.name,
        "checkpoint": checkpoint.name,
        "directions": request.directions,
        "seed": request.seed,
        "points": request.points,
        "radius": request.radius,
        "samples": len(images),
        "loss": config.training.loss,
        "path": path,
    }
    record.prepare(plan, again=request.again)
    look = partial(
        evaluate,
        network,
        plane,
        batches=list(zip(images.split(request.batch_size), labels.split(request.batch_size), strict=True)),
        loss=LOSSES[config.training.loss],
        together=request.together or (8 if images.is_cuda else 1),
    )
    started = time.perf_counter()
    mine = [point for point in record.missing() if point % request.points % part[1] == part[0] - 1]
    for points, values in _values(request, mine, look):
        record.append(f"{part[0]}of{part[1]}", points, values)
    took = time.perf_counter() - started
    print(f"{len(mine):,} of {request.points**2:,} points in {took:.1f} s: {record.path}")


def _values(
    request: Landscape, mine: list[int], look: Callable[[Tensor], Tensor]
) -> Iterator[tuple[list[int], list[tuple[float, float]]]]:
    """Loss and errors at some points, by columns: what the first direction adds is the same for a whole chunk."""
    import torch

    axis = torch.linspace(-request.radius, request.radius, request.points, dtype=torch.float64)
    columns: dict[int, list[int]] = {}
    for point in mine:
        columns.setdefault(point % request.points, []).append(point)
    for column, points in tqdm(columns.items(), unit="column", leave=False, disable=not sys.stderr.isatty()):
        rows = [point // request.points for point in points]
        values = look(torch.stack([axis[column].expand(len(rows)), axis[rows]], 1))
        yield points, [(loss, errors) for loss, errors in values.tolist()]


def _plane(
    request: Landscape, run: RunDirectory, checkpoint: Path, network: Any
) -> tuple[Plane, list[list[float]], float | None]:
    """The plane, the training path in its coordinates if it was made from that, and the share of it in the plane."""
    import torch

    from repro.landscape import directions
    from repro.landscape.plane import Plane
    from repro.runs.checkpoint_content import read

    center = directions.trained_parameters(network)
    generator = torch.Generator().manual_seed(request.seed)
    if request.directions != "pca":
        draw = directions.random_direction if request.directions == "random" else directions.filter_normalised
        return Plane(center, *(draw(center, generator) for _ in range(2))), [], None
    others = [path for path in run.saved_checkpoints() if path.resolve() != checkpoint.resolve()]
    if len(others) < 2:
        raise UserError(
            f"--directions pca needs three checkpoints; '{run.path}' keeps {len(others) + 1}: train with "
            "--trainer.keep_checkpoints 100"
        )
    states = (read(path)["state_dict"] for path in others)
    visited = [{name: state[f"network.{name}"].to(center[name]) for name in center} for state in states]
    try:
        first, second, coordinates, fraction = directions.principal(center, visited)
    except ValueError as error:
        raise UserError(f"--directions pca: {error}") from error
    return Plane(center, first, second), [*coordinates.tolist(), [0.0, 0.0]], fraction


def _draw(record: SurfaceRecord, label: str) -> None:
    from repro.figures import landscape, to_png, to_svg

    surface = record.read(label)
    figure = landscape.surfaces([surface])
    put(dict(zip(_PICTURES, (to_png(figure), to_svg(figure).encode()), strict=True)), record.path)
    middle = surface.loss[len(surface.at) // 2, len(surface.at) // 2]
    print(f"loss {middle:.4g} in the middle, up to {surface.loss.max():.4g}: {record.path}/surface.png, surface.svg")
