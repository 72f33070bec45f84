"""`repro measure`: a run's checkpoint, or any network on a folder of images."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from repro.commands.options import Action, command_parser, option
from repro.commands.subject import Target
from repro.config import MeasureConfig, docs
from repro.measurements import DEFAULT, MEASUREMENTS, check
from repro.measurements.kappa import BEYOND, FINITE, NON_FINITE, OVER, PERFECTLY, SINGULAR
from repro.measurements.registry import listing
from repro.records import require_free
from repro.records.spectrum import FILE as SPECTRA
from repro.records.spectrum import lines as spectrum_lines

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = (
    "runs/single/RUN --measurements weights gradients updates",
    "runs/single/RUN/checkpoints/best.ckpt --out measured/best",
    "timm/resnet50 --pretrained --images photographs",
)
_READINGS = "readings.jsonl"
_ODD = {SINGULAR: PERFECTLY, BEYOND: OVER, NON_FINITE: "with non-finite entries"}


def _like(key: str) -> Any:
    """An option that is the same as one of `repro fit`'s measurements."""
    kind = MeasureConfig.__dataclass_fields__[key]
    return option(docs(MeasureConfig)[key], default=kind.default)


class Measure(Target):
    """A request to measure a network; options that `repro fit` has too are named as there."""

    out: Path | None = option("folder for the results (default: measured/TARGET)", default=None)
    measurements: tuple[str, ...] = option(
        f"what to measure, of {', '.join(MEASUREMENTS)}", default=DEFAULT, metavar="NAME"
    )
    layers: tuple[int, ...] = _like("layers")
    spectra: bool = option("keep all singular values, in spectra.jsonl, for `repro spectra`", default=False)
    probe_mode: Literal["eval", "train"] = _like("probe_mode")

    def __post_init__(self) -> None:
        check(self.measurements)
        super().__post_init__()


def main(request: Measure) -> int:
    """Measure, write tables and figures, and print a line on every condition number."""
    subject = request.subject(request.measurements)
    out = request.out or Path("measured") / subject.label
    require_free(out, (_READINGS, SPECTRA))
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
    frame = table(readings)
    frame.insert(0, "step", subject.step)
    frame.insert(1, "epoch", subject.epoch)
    kept = [reading.spectrum_dict() for reading in readings if reading.spectrum is not None]
    lines = {
        _READINGS: [{"step": subject.step, "epochs": subject.epoch, **reading.as_dict()} for reading in readings],
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


def _write(
    out: Path, label: str, frame: pd.DataFrame, lines: dict[str, list[dict[str, Any]]], facts: dict[str, Any]
) -> None:
    from repro.figures import RunRecords, draw_measurements, to_png, to_svg
    from repro.records import dump_json, put, to_csv
    from repro.records.environment import environment

    drawn = draw_measurements([RunRecords.of_readings(label, frame)])
    files = {f"figures/{name}.png": to_png(figure) for name, figure in drawn.items()}
    files |= {f"figures/{name}.svg": to_svg(figure).encode() for name, figure in drawn.items()}
    for name, records in lines.items():
        if records:
            files[name] = "".join(dump_json(line) + "\n" for line in records).encode()
    files["readings.csv"] = to_csv(frame).encode()
    files["measured.json"] = (json.dumps({**environment(), **facts}, indent=1, default=str) + "\n").encode()
    put(files, out)
    for name in lines.keys() - files.keys():  # of an earlier measurement
        (out / name).unlink(missing_ok=True)


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
