"""Measuring from a training loop of one's own: plain PyTorch, Fabric, Hugging Face's Trainer by a callback."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from repro.config import Config, from_mapping, load, to_yaml
from repro.errors import UserError, refusing, unknown
from repro.measurements import CHOSEN, DEFAULT, check, table, take
from repro.measurements.probe import Clip
from repro.measurements.scoring import Loss, Pick
from repro.networks.layers import survey
from repro.networks.nested import tensors
from repro.networks.passing import Inputs, unwrapped
from repro.records import ENDED, RunDirectory, environment
from repro.text import say, unseen
from repro.tracking.record_logger import RecordLogger

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


_ENDS = (*ENDED, "interrupted", "failed")


class Watch:
    """Measures a network whenever the training loop calls it, and records a run.

    ``repro report DIRECTORY --out page`` draws its page. A second `Watch` with the same directory continues the record;
    records after the step that is measured next are then ignored.

    Args:
        directory: The run's directory; made if missing.
        network: Any network; measuring does not change it.
        inputs: The probe, as the network takes it, on the network's device.
        labels: The classes of the probe, or other targets of the loss. Needed for gradients, updates and errors.
        measurements: Names in `repro.measurements.MEASUREMENTS`.
        held_out: The same number of inputs that are not trained on. Needed for amplification.
        optimizer: The network's optimiser. Needed for updates.
        clip: What your loop does to gradients before a step; see `repro.measurements.take`.
        output: The part of the network's output that the loss takes: a key, a position, or a function of the output.
        loss: A function of that output and the labels. Default: the mean cross-entropy.
        layers: Layers for distributions and curvature, from 1, or from the end if negative.
        mode: Normalise with running statistics (``eval``) or with the probe's own (``train``).

    Raises:
        UserError: A measurement is unknown, or the directory has other contents or is in use by another process.

    Example:
        >>> import torch
        >>> network, images = nn.Linear(4, 3), torch.randn(8, 4)
        >>> with Watch("runs/mine/plain", network, images, measurements=["weights"]) as watch:
        ...     for step in range(3):
        ...         frame = watch(step, metrics={"train/loss": 1 / (step + 1)})
        >>> sorted(set(frame["measurement"]))
        ['weights']
    """

    def __init__(
        self,
        directory: str | Path,
        network: nn.Module,
        inputs: Inputs,
        labels: Any = None,
        *,
        measurements: Sequence[str] = DEFAULT,
        held_out: Inputs = None,
        optimizer: Optimizer | None = None,
        clip: Clip | None = None,
        output: Pick = None,
        loss: Loss | None = None,
        layers: Sequence[int] = CHOSEN,
        mode: str = "eval",
    ) -> None:
        check(measurements)
        unwrapped(network)  # refuses what is none
        self.network, self.inputs, self.labels = network, inputs, labels
        self._options: dict[str, Any] = {"measurements": tuple(measurements), "held_out": held_out, "loss": loss}
        self._options |= {"optimizer": optimizer, "clip": clip, "output": output, "layers": tuple(layers), "mode": mode}
        path = Path(directory)
        self.run = RunDirectory.prepare(path, to_yaml(_described(network, path)))
        if load(self.run.config_path).model.network != type(network).__name__:
            raise UserError(f"'{path}' is another network's run; name another directory")
        state = self.run.state
        if state.get("network", _form(network)) != _form(network):
            raise UserError(f"'{path}' is the run of a network with other parameters; name another directory")
        if state.get("probe", _sums(inputs)) != _sums(inputs):
            say(f"'{path}' was measured on other inputs: do not compare what depends on them")
        self._closed = False
        self._held = ExitStack()
        self._held.enter_context(self.run.lock())
        self._record = RecordLogger(self.run)
        self._told = ""
        parameters = sum(parameter.numel() for parameter in network.parameters())
        self.run.add_life({**environment(), "parameters": parameters})
        self.run.update_state(status="running")

    def __call__(self, step: Any, *, epoch: Any = 0, metrics: Any = None) -> pd.DataFrame:
        """Measure now, and record it.

        Args:
            step: Number of optimiser steps so far, a whole number (also one of NumPy or torch).
            epoch: 0 before training, then 1, 2, ...
            metrics: Numbers of your own by name; those with the names ``train/accuracy``, ``train/cross_entropy``,
                ``test/accuracy`` and ``test/cross_entropy`` are drawn as training curves.

        Returns:
            The same columns as `repro.measure`.

        Raises:
            UserError: A step, an epoch or a metric is not a number, or the run is closed. Nothing is recorded.
        """
        if self._closed:
            raise UserError(f"'{self.run.path}' is closed; make another Watch of it, and it goes on")
        step, epoch, metrics = _whole("step", step), _whole("epoch", epoch), _numbers(metrics)
        known = survey(self.network, self.inputs)  # anew: what it does with its weights may have changed
        if known.seen.line != self._told:
            say(known.seen.line)
            self._told = known.seen.line
        readings = take(self.network, self.inputs, self.labels, known=known, **self._options)
        with refusing(f"cannot record in '{self.run.path}'", "it may have been moved or deleted"):
            self._record.log_readings(readings, step=step, epoch=epoch)
            if metrics:
                self._record.log_metrics({**metrics, "epoch": max(epoch - 1, 0)}, step)
            self.run.update_state(step=step, epoch=epoch, network=_form(self.network), probe=_sums(self.inputs))
        return table(readings)

    def close(self, status: str = "finished") -> None:
        """Mark the run as finished, or as stopped, diverged, interrupted or failed."""
        if status not in _ENDS:
            raise unknown("status", status, _ENDS)
        if not self._closed:
            self.run.update_state(status=status)
            self._held.close()
        self._closed = True

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close("finished" if kind is None else "failed")


def _form(network: nn.Module) -> str:
    """A network's parameters, by which another one is told."""
    named = [f"{name} {tuple(parameter.shape)}" for name, parameter in network.named_parameters()]
    return sha256("\n".join(named).encode()).hexdigest()


def _sums(inputs: Inputs) -> str:
    """What inputs are told from others by."""
    real = [each.abs() if each.is_complex() else each.double().abs() for each in tensors(inputs)]
    return " ".join(f"{tuple(each.shape)} {float(each.sum(dtype=torch.float64)):.9g}" for each in real)


def _whole(name: str, value: Any) -> int:
    """A count as a plain number: NumPy's and torch's cannot be recorded."""
    try:
        count = operator.index(value)
    except (TypeError, ValueError):  # a tensor of several
        count = -1
    if isinstance(value, bool) or not 0 <= count < 2**63:
        raise UserError(f"{name} is {value!r}; allowed: a whole number from 0")
    return count


def _numbers(metrics: Any) -> dict[str, float]:
    """Metrics as plain numbers, which a loss, for one, is not."""
    if not isinstance(metrics, Mapping | None):
        raise UserError(f"metrics is a {type(metrics).__name__}; allowed: numbers by name")
    found: dict[str, float] = {}
    for name, value in (metrics or {}).items():
        number = None
        plain = value.detach() if isinstance(value, Tensor) else value
        with suppress(TypeError, ValueError, OverflowError, RuntimeError):
            number = None if isinstance(value, str) or unseen(str(name)) else float(plain)
        if number is None:
            raise UserError(f"the metric {name!r} is {repr(value)[:40]}; allowed: a number, by a plain name")
        found[str(name)] = number
    return found


def _described(network: nn.Module, path: Path) -> Config:
    """A configuration with the little that it can say of a network and data that are not ours."""
    name = type(network).__name__
    return from_mapping({"model": {"network": name}, "name": path.name, "study": path.resolve().parent.name})


def plot(frame: pd.DataFrame, measurement: str | None = None) -> Figure:
    """Draw κ, or another measured quantity, against the layer; a notebook shows the returned figure.

    Args:
        frame: A table from `repro.measure`, `Watch` or `MeasureCallback.table`.
        measurement: Its name. Default: the first in the table.

    Raises:
        UserError: The table does not have this measurement, or it has no figure.

    Example:
        >>> import torch, repro
        >>> figure = plot(repro.measure(nn.Linear(4, 3), torch.randn(8, 4)))
        >>> figure.savefig("kappa.png")
    """
    from repro.figures import RunRecords, draw_measurements, to_png

    if missing := [name for name in ("measurement", "layer", "value") if name not in getattr(frame, "columns", ())]:
        raise UserError(f"the table has no column '{missing[0]}'; pass one of repro.measure, Watch or MeasureCallback")
    measured = list(dict.fromkeys(frame["measurement"]))
    wanted = measurement or (measured[0] if measured else None)
    rows = frame[frame["measurement"] == wanted]
    dated = rows if "step" in rows else rows.assign(step=0, epoch=0)
    drawn = draw_measurements([RunRecords.of_readings("network", dated)]) if len(rows) else {}
    if not drawn:
        raise UserError(
            f"there is nothing to draw of {measurement or 'this table'}; it has {', '.join(measured) or 'no rows'}"
        )
    figure = next(iter(drawn.values()))
    figure._repr_png_ = partial(to_png, figure, dpi=72)  # type: ignore[attr-defined]  # notebooks show it as it is
    return figure
