"""`repro measure`: a run's checkpoint, or any network on a folder of images."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.errors import UserError
from repro.measurements import CHOSEN, DEFAULT, MEASUREMENTS, check

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn
    from torch.optim import Optimizer

SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp")


@dataclass(kw_only=True)
class Subject:
    """What is measured."""

    label: str
    network: nn.Module
    images: Tensor
    labels: Tensor | None
    held_out: Tensor | None
    optimizer: Optimizer | None
    step: int
    epoch: int


def main(arguments: Sequence[str], parser: argparse.ArgumentParser) -> int:
    """Run ``repro measure TARGET ...``."""
    parser.add_argument("target", help="a run directory, one of its checkpoints, or a network's name (timm/resnet50)")
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of images, for a network's name")
    parser.add_argument("--held-out", type=Path, metavar="DIR", help="folder of as many others, for amplification")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the results (default: measured/TARGET)")
    parser.add_argument(
        "--measurements",
        nargs="+",
        default=list(DEFAULT),
        metavar="NAME",
        help=f"what to measure, of {', '.join(MEASUREMENTS)} (default: {' '.join(DEFAULT)})",
    )
    parser.add_argument("--layers", type=int, nargs="+", default=list(CHOSEN), help="layers for distributions")
    parser.add_argument("--probe-size", type=int, default=128, help="images (default: 128)")
    parser.add_argument("--mode", choices=("eval", "train"), default="eval", help="normalisation (default: eval)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda (default: auto)")
    parser.add_argument("--pretrained", action="store_true", help="a timm network's pretrained weights")
    parser.add_argument("--num-classes", type=int, help="classes of a network's name (default: its own, or 1000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights that are not pretrained (default: 0)")
    given = parser.parse_args(arguments)
    check(given.measurements)
    if given.probe_size < 2:
        raise UserError(f"--probe-size is {given.probe_size}; allowed: 2 or more")
    target = Path(given.target)
    is_run = target.exists()
    if is_run and given.images:
        raise UserError("--images goes with a network's name; a run is measured on its own data")
    if not is_run:
        _check_name(given)
    subject = _of_run(target, given) if is_run else _of_name(given)
    from repro.measurements import table, take
    from repro.runs.threads import set_threads_to_look

    set_threads_to_look(subject.network, subject.images[:1], len(subject.images))
    readings = take(
        subject.network,
        subject.images,
        subject.labels,
        held_out=subject.held_out,
        optimizer=subject.optimizer,
        measurements=given.measurements,
        layers=given.layers,
        mode=given.mode,
    )
    out = given.out or Path("measured") / subject.label
    frame = table(readings)
    frame.insert(0, "step", subject.step)
    frame.insert(1, "epoch", subject.epoch)
    lines = [{"step": subject.step, "epoch": subject.epoch, **reading.as_dict()} for reading in readings]
    facts = {"target": given.target, "images": len(subject.images), "measurements": given.measurements}
    _write(out, subject.label, frame, lines, {**facts, "mode": given.mode, "command": ["repro", *sys.argv[1:]]})
    print(_summary(frame))
    print(f"{len(frame):,} values: {out}/readings.csv, readings.jsonl, figures/")
    return 0


def _check_name(given: argparse.Namespace) -> None:
    from repro import networks

    if "/" in given.target and not given.target.startswith("timm/") and ":" not in given.target:
        raise UserError(f"'{given.target}' does not exist; name a run directory, a checkpoint or a network")
    networks.check(given.target, **_options(given))
    if given.images is None:
        raise UserError(f"{given.target} needs images to look at: --images DIR")
    for folder in (given.images, given.held_out):
        if folder is not None and not folder.is_dir():
            raise UserError(f"'{folder}' is not a folder of images")


def _options(given: argparse.Namespace) -> dict[str, Any]:
    options: dict[str, Any] = {"num_classes": given.num_classes or 1000, "image_size": 224}
    return {**options, "pretrained": True} if given.pretrained else options


def device_named(name: str) -> Any:
    """The device that is meant by auto, cpu or cuda."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        if not name.startswith(("cpu", "cuda")):
            raise UserError(f"--device {name} is not to be had; allowed: auto, cpu, cuda")
        return torch.zeros(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"--device {name} is not to be had ({reason}); allowed: auto, cpu, cuda") from error


def _of_run(target: Path, given: argparse.Namespace) -> Subject:
    """A run at its newest checkpoint, or at the one that is named."""
    from repro.runs.start import stored_checkpoint

    run, config, checkpoint = stored_checkpoint(target)
    from repro.distributed.processes import alone
    from repro.runs.build import restore

    device = device_named(given.device)
    experiment, content = restore(alone(config), checkpoint)
    module, data = experiment.module.to(device), experiment.data
    data.setup("fit")
    images, labels = data.probe(given.probe_size)
    held_out = data.held_out_probe(given.probe_size) if "amplification" in given.measurements else None
    optimizer = module.configure_optimizers()
    optimizer.load_state_dict(content["optimizer_states"][0])
    step = int(content["global_step"])
    return Subject(
        label=f"{run.name}-step{step}",
        network=module.network,
        images=images.to(device),
        labels=labels.to(device),
        held_out=None if held_out is None else held_out.to(device),
        optimizer=optimizer,
        step=step,
        epoch=int(content["epoch"]),
    )


def _of_name(given: argparse.Namespace) -> Subject:
    """A network by name, on images of a folder."""
    import torch

    from repro.networks import create_network

    torch.manual_seed(given.seed)
    network = create_network(given.target, **_options(given))
    device = device_named(given.device)
    for parameter in network.parameters():
        if parameter.is_meta or parameter.dtype != torch.float32:
            kind = "without numbers (meta)" if parameter.is_meta else str(parameter.dtype).removeprefix("torch.")
            raise UserError(f"{given.target} has weights {kind}; allowed: float32 (network.float() converts)")
    transform = _transform(network)
    images, labels = _read(given.images, given.probe_size, transform)
    held_out = None
    if given.held_out is not None:
        held_out, _ = _read(given.held_out, len(images), transform)
        held_out = held_out.to(device)
    return Subject(
        label=given.target.replace("/", "-").replace(":", "-"),
        network=network.to(device).eval(),
        images=images.to(device),
        labels=None if labels is None else labels.to(device),
        held_out=held_out,
        optimizer=None,
        step=0,
        epoch=0,
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

    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if len(files) < 2:
        raise UserError(f"'{folder}' holds {len(files)} images ({', '.join(SUFFIXES)}); a measurement needs 2 or more")
    if count > len(files):
        print(f"repro: '{folder}' holds {len(files)} images; all are taken, not {count}", file=sys.stderr)
    count = min(count, len(files))
    chosen = [files[place * len(files) // count] for place in range(count)]
    tensors = [transform(open_rgb(path)) for path in chosen]
    if any(path.parent == folder for path in files):
        return torch.stack(tensors), None
    classes = {
        name: number for number, name in enumerate(sorted({path.relative_to(folder).parts[0] for path in files}))
    }
    labels = torch.tensor([classes[path.relative_to(folder).parts[0]] for path in chosen])
    return torch.stack(tensors), labels


def _write(out: Path, label: str, frame: pd.DataFrame, lines: list[dict[str, Any]], facts: dict[str, Any]) -> None:
    from repro.figures import RunRecords, draw_measurements, to_png, to_svg
    from repro.records import dump_json
    from repro.records.environment import environment

    drawn = draw_measurements([RunRecords.of_readings(label, frame)])
    try:
        (out / "figures").mkdir(parents=True, exist_ok=True)
        for name, figure in drawn.items():
            (out / "figures" / f"{name}.png").write_bytes(to_png(figure))
            (out / "figures" / f"{name}.svg").write_text(to_svg(figure), encoding="utf-8")
        (out / "readings.jsonl").write_text("".join(dump_json(line) + "\n" for line in lines), encoding="utf-8")
        frame.to_csv(out / "readings.csv", index=False)
        about = json.dumps({**environment(), **facts}, indent=1, default=str)
        (out / "measured.json").write_text(about + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write to '{out}': {error.strerror}; name another folder with --out") from error


def _summary(frame: pd.DataFrame) -> str:
    """A line for each measurement that yields condition numbers."""
    import numpy as np

    from repro.figures import kappa

    lines = []
    for measurement in kappa.MODES:
        for form in ("headline", "matrix"):
            values = kappa.headline_kappa(frame, measurement, form=form)["kappa"].to_numpy(float)
            if not len(values) or (form == "matrix" and "output" in kappa.MODES[measurement]):
                continue
            finite = values[np.isfinite(values)]
            middle = f"median κ {np.median(finite):.4g}, largest {finite.max():.4g}" if len(finite) else "no finite κ"
            odd = f"{int(np.isinf(values).sum())} infinite, {int(np.isnan(values).sum())} with non-finite entries"
            name = f"{measurement} (matrix)" if form == "matrix" else measurement
            lines.append(f"{name:24} {len(values):4} layers: {middle}; {odd}")
    return "\n".join(lines)
