"""`repro measure`: a run's checkpoint, or any network on a folder of images."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from repro.commands.options import Action, Request, argument, command_parser, option, trust_option
from repro.config import MeasureConfig, docs
from repro.errors import UserError, first_line, refusing
from repro.measurements import DEFAULT, MEASUREMENTS, check
from repro.measurements.kappa import BEYOND, FINITE, NON_FINITE, OVER, PERFECTLY, SINGULAR
from repro.measurements.registry import listing
from repro.records.spectrum import FILE as SPECTRA
from repro.records.spectrum import lines as spectrum_lines

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from repro.measurements.probe import Clip

EXAMPLES = (
    "runs/single/RUN --measurements weights gradients updates",
    "runs/single/RUN/checkpoints/best.ckpt --out measured/best",
    "timm/resnet50 --pretrained --images photographs",
)
_ODD = {SINGULAR: PERFECTLY, BEYOND: OVER, NON_FINITE: "with non-finite entries"}
SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp")


@dataclass(kw_only=True)
class Subject:
    """A network, with the images that it is measured on."""

    label: str
    network: nn.Module
    images: Tensor
    labels: Tensor | None
    held_out: Tensor | None
    optimizer: Optimizer | None = None
    loss: Callable[[Any, Any], Tensor] | None = None
    """What the gradients are of; the mean cross-entropy if None."""
    clip: Clip | None = None
    step: int = 0
    epoch: int = 0


def _like(key: str) -> Any:
    """An option that is the same as one of `repro fit`'s measurements."""
    kind = MeasureConfig.__dataclass_fields__[key]
    return option(docs(MeasureConfig)[key], default=kind.default)


class Measure(Request):
    """A request to measure a network; options that `repro fit` has too are named as there."""

    target: str = argument("a run directory, one of its checkpoints, or a network's name (timm/resnet50)")
    images: Path | None = option("folder of images; needed if TARGET is a network's name", default=None)
    held_out: Path | None = option("folder with as many other images, for the measurement amplification", default=None)
    out: Path | None = option("folder for the results (default: measured/TARGET)", default=None)
    measurements: tuple[str, ...] = option(
        f"what to measure, of {', '.join(MEASUREMENTS)}", default=DEFAULT, metavar="NAME"
    )
    layers: tuple[int, ...] = _like("layers")
    spectra: bool = option("keep all singular values, in spectra.jsonl, for `repro spectra`", default=False)
    probe_size: int = option("number of images that are measured on", default=MeasureConfig.probe_size, least=2)
    probe_mode: Literal["eval", "train"] = _like("probe_mode")
    device: str = option("auto, cpu, cuda", default="auto")
    pretrained: bool = option("use the pretrained weights of a timm network", default=False)
    num_classes: int | None = option(
        "number of classes, if TARGET is a network's name (default: its own, or 1000)", default=None
    )
    seed: int = option("seed of random initial weights", default=0)
    trust: tuple[str, ...] = trust_option()

    def __post_init__(self) -> None:
        check(self.measurements)
        if self.is_run and self.images:
            raise UserError("--images goes with a network's name; a run is measured on its own data")

    @property
    def is_run(self) -> bool:
        """Whether a run or its checkpoint is meant, and not a network."""
        return Path(self.target).exists()

    @property
    def options(self) -> dict[str, Any]:
        """Options of the network, where one is named."""
        options: dict[str, Any] = {"num_classes": self.num_classes or 1000, "image_size": 224}
        return {**options, "pretrained": True} if self.pretrained else options


def main(request: Measure) -> int:
    """Measure, write tables and figures, and print a line on every condition number."""
    if not request.is_run:
        _check_name(request)
    subject = _of_run(request) if request.is_run else _of_name(request)
    from repro.measurements import table, take
    from repro.networks import survey
    from repro.runs.threads import set_threads_to_look

    set_threads_to_look(subject.network, subject.images[:1], len(subject.images))
    surveyed = survey(subject.network, subject.images)
    readings = take(
        subject.network,
        subject.images,
        subject.labels,
        held_out=subject.held_out,
        optimizer=subject.optimizer,
        clip=subject.clip,
        measurements=request.measurements,
        layers=request.layers,
        mode=request.probe_mode,
        loss=subject.loss,
        spectra=request.spectra,
        known=surveyed,
    )
    out = request.out or Path("measured") / subject.label
    frame = table(readings)
    frame.insert(0, "step", subject.step)
    frame.insert(1, "epoch", subject.epoch)
    kept = [reading.spectrum_dict() for reading in readings if reading.spectrum is not None]
    lines = {
        "readings.jsonl": [
            {"step": subject.step, "epochs": subject.epoch, **reading.as_dict()} for reading in readings
        ],
        SPECTRA: list(spectrum_lines(subject.step, subject.epoch, kept)),
    }
    facts: dict[str, Any] = {"target": request.target, "images": len(subject.images), "seen": surveyed.seen.as_dict()}
    facts |= {"measurements": list(request.measurements), "mode": request.probe_mode}
    _write(out, subject.label, frame, lines, {**facts, "command": ["repro", *sys.argv[1:]]})
    print(surveyed.seen.line)
    print(_summary(frame))
    also = f", {SPECTRA}" if kept else ""
    print(f"{len(frame):,} values: {out}/readings.csv, readings.jsonl{also}, figures/")
    return 0


parser = partial(command_parser, examples=EXAMPLES, actions=Action(Measure, main), more=listing)


def _check_name(request: Measure) -> None:
    from repro import networks

    if "/" in request.target and not request.target.startswith("timm/") and ":" not in request.target:
        raise UserError(f"'{request.target}' does not exist; name a run directory, a checkpoint or a network")
    networks.check(request.target, **request.options)
    if request.images is None:
        raise UserError(f"{request.target} needs images to look at: --images DIR")
    for folder in (request.images, request.held_out):
        if folder is not None and not folder.is_dir():
            raise UserError(f"'{folder}' is not a folder of images")


def device_named(name: str) -> Any:
    """The device that is meant by auto, cpu or cuda."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        if not name.startswith(("cpu", "cuda")):
            raise UserError(f"--device {name} is not available; allowed: auto, cpu, cuda")
        return torch.zeros(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name} is not available ({first_line(error)}); allowed: auto, cpu, cuda") from error


def _of_run(request: Measure) -> Subject:
    """A run at its newest checkpoint, or at the one that is named."""
    from repro.runs.start import stored_checkpoint

    run, config, checkpoint = stored_checkpoint(request.target)
    from repro.distributed.processes import alone
    from repro.runs.build import restore
    from repro.training.subject import clipping

    device = device_named(request.device)
    experiment, content = restore(alone(config), checkpoint)
    module, data = experiment.module.to(device), experiment.data
    data.setup("fit")
    images, labels = data.probe(request.probe_size)
    held_out = data.held_out_probe(request.probe_size) if "amplification" in request.measurements else None
    optimizer = None
    if "optimizer_states" in content:
        optimizer = module.configure_optimizers()
        optimizer.load_state_dict(content["optimizer_states"][0])
    elif "updates" in request.measurements:
        raise UserError(
            f"'{checkpoint}' has weights alone, and updates depend on the momentum; name a run's checkpoint"
        )
    step = int(content["global_step"])
    return Subject(
        label=f"{run.name}-step{step}",
        network=module.network,
        images=images.to(device),
        labels=labels.to(device),
        held_out=None if held_out is None else held_out.to(device),
        optimizer=optimizer,
        clip=clipping(config.training.clip_gradients),
        loss=module.objective,
        step=step,
        epoch=int(content["epoch"]) + (step > 0),
    )


def _of_name(request: Measure) -> Subject:
    """A network by name, on images of a folder."""
    import torch

    from repro.networks import create_network
    from repro.networks.passing import refuse

    torch.manual_seed(request.seed)
    network = create_network(request.target, **request.options)
    if any(tensor.is_meta for tensor in network.state_dict().values()):
        refuse(network)
    device = device_named(request.device)
    transform = _transform(network)
    assert request.images is not None
    images, labels = _read(request.images, request.probe_size, transform)
    others = request.held_out
    held_out = None if others is None else _read(others, len(images), transform)[0].to(device)
    return Subject(
        label=request.target.replace("/", "-").replace(":", "-"),
        network=network.to(device).eval(),
        images=images.to(device),
        labels=None if labels is None else labels.to(device),
        held_out=held_out,
    )


def _transform(network: nn.Module) -> Any:
    """How a network wants its images: as timm's data configuration says, which falls back on ImageNet's."""
    from timm.data.config import resolve_model_data_config
    from timm.data.transforms_factory import create_transform

    return create_transform(**resolve_model_data_config(network), is_training=False)


def _read(folder: Path, count: int, transform: Any) -> tuple[Tensor, Tensor | None]:
    """Images evenly spaced over the sorted files of a folder; labels if all lie in subfolders, one a class."""
    import torch

    from repro.data.loading.image_file import open_rgb

    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.is_dir())
    if len(files) < 2:
        raise UserError(f"'{folder}' holds {len(files)} images ({', '.join(SUFFIXES)}); a measurement needs 2 or more")
    if count > len(files):
        print(f"repro: '{folder}' holds {len(files)} images; all are taken, not {count}", file=sys.stderr)
    count = min(count, len(files))
    chosen = [files[index * len(files) // count] for index in range(count)]
    tensors = [transform(open_rgb(path)) for path in chosen]
    if any(path.parent == folder for path in files):
        return torch.stack(tensors), None
    classes = {
        name: number for number, name in enumerate(sorted({path.relative_to(folder).parts[0] for path in files}))
    }
    labels = torch.tensor([classes[path.relative_to(folder).parts[0]] for path in chosen])
    return torch.stack(tensors), labels


def _write(
    out: Path, label: str, frame: pd.DataFrame, lines: dict[str, list[dict[str, Any]]], facts: dict[str, Any]
) -> None:
    from repro.figures import RunRecords, draw_measurements, to_png, to_svg
    from repro.records import dump_json, write_csv
    from repro.records.environment import environment

    drawn = draw_measurements([RunRecords.of_readings(label, frame)])
    with refusing(f"cannot write to '{out}'", "name another folder with --out"):
        (out / "figures").mkdir(parents=True, exist_ok=True)
        for name, figure in drawn.items():
            (out / "figures" / f"{name}.png").write_bytes(to_png(figure))
            (out / "figures" / f"{name}.svg").write_text(to_svg(figure), encoding="utf-8")
        for name, records in lines.items():
            (out / name).unlink(missing_ok=True)
            if records:
                (out / name).write_text("".join(dump_json(line) + "\n" for line in records), encoding="utf-8")
        write_csv(frame, out / "readings.csv")
        about = json.dumps({**environment(), **facts}, indent=1, default=str)
        (out / "measured.json").write_text(about + "\n", encoding="utf-8")


def _summary(frame: pd.DataFrame) -> str:
    """A line for each measurement that yields condition numbers."""
    lines = []
    for measurement in MEASUREMENTS.values():
        for kappa in measurement.kappas:
            table = kappa.table(frame)
            if not len(table):
                continue
            counts, finite = table["kind"].value_counts(), table["kappa"][table["kind"] == FINITE]
            largest = f", largest finite {finite.max():.4g}" if len(finite) else ""
            odd = [f"{counts.get(kind, 0)} {words}" for kind, words in _ODD.items()]
            name = measurement.name if kappa is measurement.kappas[0] else f"{measurement.name} ({kappa.modes[0]})"
            middle = f"median κ {table['kappa'].median(skipna=False):.4g}{largest}"
            lines.append(f"{name:24} {len(table):4} layers: {middle}; {', '.join(odd)}")
    return "\n".join(lines)
