"""Measurements on a network."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.optim import Optimizer

from repro.distributed.ranks import Ranks
from repro.errors import UserError
from repro.measurements.mode import measurement_mode
from repro.measurements.probe import Clip, Probe
from repro.measurements.reading import Reading, table
from repro.measurements.registry import CHOSEN, DEFAULT, MEASUREMENTS, named
from repro.measurements.scoring import Loss, Pick
from repro.networks import WeightLayer
from repro.networks.layers import Survey, survey
from repro.networks.nested import mapped
from repro.networks.passing import Inputs, fitted, unwrapped
from repro.networks.preserve_state import preserve_state
from repro.text import say

if TYPE_CHECKING:
    import pandas as pd

_OF_CHOSEN = {"distributions", "curvature"}

_NAMED = 8
"""Layers that a warning names."""


def take(
    network: nn.Module,
    inputs: Inputs,
    labels: Any = None,
    *,
    output: Pick = None,
    loss: Loss | None = None,
    held_out: Inputs = None,
    optimizer: Optimizer | None = None,
    clip: Clip | None = None,
    measurements: Sequence[str] = DEFAULT,
    layers: Sequence[int] = CHOSEN,
    mode: str = "eval",
    spectra: bool = False,
    ranks: Ranks | None = None,
    known: Survey | None = None,
) -> list[Reading]:
    """Take measurements on a network. They do not change it.

    Args:
        network: Any network. Wrappers of torch.compile, DataParallel and DDP are removed.
        inputs: The probe, on the network's device, as the network takes it: a tensor, a tuple (by position) or a dict
            (by name). They are converted to the precision of the network's parameters.
        labels: The classes of the probe, or other targets of the loss. Needed for gradients, updates and errors.
        output: The part of the network's output that the loss takes: a key, a position, or a function of the output.
        loss: The loss that is trained, a function of that output and the labels. Default: the mean cross-entropy.
        held_out: The same number of inputs that the network is not trained on. Needed for amplification.
        optimizer: The network's optimiser. Needed for updates; it is not changed.
        clip: What the training does to gradients before a step, a function of the parameters (copies) whose ``grad`` it
            changes: ``lambda parameters: torch.nn.utils.clip_grad_norm_(parameters, 1.0)``.
        measurements: Names in `MEASUREMENTS`, or import paths of your own.
        layers: Numbers of the weight layers for distributions and curvature, from 1, or from the end if negative.
        mode: Normalise with running statistics (``eval``) or with the probe's own (``train``).
        spectra: Whether readings keep all singular values (`Reading.spectrum`): of weights, gradients, updates,
            representations, outputs and errors in every mode, and of operators.
        ranks: This process's part of the work, if several have the same network; all get all readings.
        known: The result of `repro.networks.survey` for this network, if you have it and it still holds: saves a
            forward pass, and the warning of weights that were frozen then.

    Returns:
        A `Reading` for each measurement, layer and mode, with the numbers in `Reading.values`.

    Raises:
        UserError: A measurement or mode is unknown, a measurement lacks an argument that it needs, the optimiser is
            another network's, or a layer does not exist.

    Example:
        >>> import torch
        >>> readings = take(nn.Linear(4, 3), torch.randn(8, 4), measurements=["weights"])
        >>> readings[0].mode, sorted(readings[0].values)
        ('output', ['condition_number', 'rank', 'sigma_max', 'sigma_min'])
    """
    measurements = named(measurements)
    if optimizer is not None and not isinstance(getattr(optimizer, "param_groups", None), list):
        raise UserError(f"optimizer is {optimizer!r}; allowed: an optimiser of torch's that was made")
    ranks = ranks or Ranks()
    readings: list[Reading] = []
    network = unwrapped(network)
    inputs, held_out = fitted(network, inputs), fitted(network, held_out)
    with measurement_mode(network, mode) as own, _same_buffers(ranks, network, own) as put_back:
        labels = mapped(lambda tensor: tensor.clone() if tensor.is_inference() else tensor, labels)
        told = known is not None and known.holds(network)
        layer_survey = known if known is not None and told else survey(network, inputs)
        probe = Probe(
            network=network,
            layers=layer_survey.layers,
            inputs=inputs,
            labels=labels,
            output=output,
            objective=loss,
            held_out=held_out,
            optimizer=optimizer,
            clip=clip,
            chosen=_choose(layer_survey.layers, layers) if _OF_CHOSEN & set(measurements) else [],
            spectra=spectra,
            ranks=ranks,
            aside=layer_survey.aside,
            told=told,
            put_back=put_back,
        )
        for name in measurements:
            readings += ranks.gather_sorted(list(MEASUREMENTS[name].readings(probe)), lambda reading: reading.layer)
            network.train(mode == "train")
    for reason, names in probe.left_out.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        warnings.warn(f"not measured: {reason} {', '.join(names[:_NAMED])}{more}", stacklevel=2)
    return readings


def measure(network: nn.Module, inputs: Inputs, labels: Any = None, **options: Any) -> pd.DataFrame:
    """Measure any network: by default the conditioning of its weights and representations.

    Nothing of the network changes: parameters, buffers, gradients, modes and random generators. A line on stderr, and
    ``frame.attrs["seen"]``, say which share of its matrix parameters was measured.

    Args:
        network: Any network.
        inputs: What it takes, on its device: a tensor, a tuple (by position) or a dict (by name).
        labels: The classes of the inputs, or other targets of the loss. Needed for gradients, updates and errors.
        **options: Options of `repro.measurements.take`: ``measurements``, ``output``, ``loss``, ``held_out``,
            ``optimizer``, ``clip``, ``layers``, ``mode``.

    Returns:
        Columns measurement, layer, name, mode, quantity, value, kind; one row for each number. The kind of a κ is
        finite, singular (σmin ≤ 1e-12 σmax), beyond float32 (σmin ≤ 1.2e-7 σmax, infinite as well), or non-finite.

    Raises:
        UserError: The network cannot be measured or refuses the inputs, a measurement is unknown, or it lacks an
            argument that it needs, such as labels.

    Example:
        >>> import torch
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
        >>> frame = measure(network, torch.randn(32, 3, 8, 8))
        >>> sorted(set(frame["measurement"])), sorted(set(frame["name"]))
        (['representations', 'weights'], ['0', '3'])
    """
    options["measurements"] = named(options.get("measurements", DEFAULT))
    layer_survey = survey(network, inputs)
    frame = table(take(network, inputs, labels, **{"known": layer_survey, **options}))
    frame.attrs["seen"] = layer_survey.seen.as_dict()
    say(layer_survey.seen.line)
    return frame


@contextmanager
def _same_buffers(ranks: Ranks, network: nn.Module, put_back: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Give every rank the buffers of rank 0; yields a function that restores them after a pass."""
    if ranks.size == 1:
        yield put_back
        return
    ranks.broadcast_buffers(network)
    with preserve_state(network) as put_these_back:
        yield put_these_back


def _choose(layers: Sequence[WeightLayer], numbers: Sequence[int]) -> list[WeightLayer]:
    """Layers by number, each once, in forward order; a network too short for the default gives those that it has."""
    count = len(layers)
    try:
        numbers = [operator.index(number) for number in numbers]
    except TypeError:
        raise UserError(f"layers is {numbers!r}; allowed: whole numbers, such as [1, -3]") from None
    default = tuple(numbers) == CHOSEN
    chosen = set()
    for number in numbers:
        if 1 <= abs(number) <= count:
            chosen.add(number if number > 0 else count + 1 + number)
        elif not default:
            raise UserError(f"no layer {number}: the network has {count} weight layers, 1 to {count} or -{count} to -1")
    return [layers[number - 1] for number in sorted(chosen)]
