"""Ranks and κ of error gradients, weight gradients and updates (Oyedotun, Remarks 4 to 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from repro.figures.panels import Panel, Trace
from repro.measurements import take
from repro.measurements.reading import Reading
from repro.spectra import conditioning
from repro.theory.real_networks import DEPTH, FAMILIES, digits, seeded, trained
from repro.theory.result import Case, Result
from repro.theory.statement import STATEMENTS

_NEEDS = STATEMENTS["oyedotun-remarks-4-6"].conditions
_SIZE, _BLOCKS, _SAMPLES, _CLASSES, _MANY = 32, 6, 128, 10, 64


@dataclass(frozen=True)
class Backward:
    """A fully connected network's pass back, layer by layer from the input: one list entry a layer."""

    representations: Sequence[Float[Tensor, "_ samples"]]
    """What each layer reads."""
    errors: Sequence[Float[Tensor, "_ samples"]]
    """Δ: the gradient with respect to what each layer returns, before its activation."""
    gradients: Sequence[Float[Tensor, "_ _"]]
    """∂E/∂W."""


def backward(
    weights: Sequence[Float[Tensor, "_ _"]],
    inputs: Float[Tensor, "_ samples"],
    labels: Int[Tensor, " samples"],
    *,
    skip: bool,
    relu: bool,
) -> Backward:
    """Gradients of the mean softmax cross-entropy by automatic differentiation.

    The last weight maps to class scores; of the others, with `skip`, each pair is a block with an identity around it.
    """
    leaves = [weight.clone().requires_grad_() for weight in weights]
    h, read, written = inputs, [], []
    carried = h
    for number, weight in enumerate(leaves):
        read.append(h)
        z = weight @ h
        z.retain_grad()
        written.append(z)
        if number == len(leaves) - 1:
            break
        block_ends = number % 2 == 1
        h = z + carried if skip and block_ends else z
        h = h.relu() if relu else h
        carried = h if block_ends else carried
    F.cross_entropy(written[-1].T, labels).backward()
    return Backward(
        [tensor.detach() for tensor in read],
        [z.grad for z in written if z.grad is not None],
        [leaf.grad for leaf in leaves if leaf.grad is not None],
    )


def ranks(tensors: Sequence[Tensor]) -> list[int]:
    """Numerical ranks of float64 matrices."""
    return [int(rank) for rank in conditioning(list(tensors)).rank]


def _network(relu: bool, generator: torch.Generator, classes: int = _CLASSES) -> list[Tensor]:
    scale = (2.0 if relu else 1.0) ** 0.5
    shapes = [(_SIZE, _SIZE)] * (2 * _BLOCKS) + [(classes, _SIZE)]
    return [scale * torch.randn(*s, generator=generator, dtype=torch.float64) / s[1] ** 0.5 for s in shapes]


def _inputs(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Real digits, projected at random to the networks' width."""
    images, labels = digits(_SAMPLES)
    projection = torch.randn(_SIZE, 784, generator=generator, dtype=torch.float64) / 28
    return projection @ images.flatten(1).double().T, labels


def _ranks_of_networks(generator: torch.Generator) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Ranks of the gradients, and of what is read, of all layers but the last, by kind of network."""
    inputs, labels = _inputs(generator)
    by_network, read = {}, {}
    for relu in (False, True):
        weights = _network(relu, generator)
        for skip in (False, True):
            passed = backward(weights, inputs, labels, skip=skip, relu=relu)
            name = f"{'skip' if skip else 'plain'}, {'ReLU' if relu else 'linear'}"
            by_network[name], read[name] = ranks(passed.gradients[:-1]), ranks(passed.representations[:-1])
    return by_network, read


def collapsed(generator: torch.Generator) -> tuple[list[int], list[int], list[int]]:
    """Ranks of H, Δ and ∂E/∂W in a linear PlainNet whose inputs have rank 3, all layers but the last.

    It has more classes than units, so that the softmax error alone lowers no rank.
    """
    labels = torch.randint(0, _MANY, (_SAMPLES,), generator=generator)
    thin = torch.randn(_SIZE, 3, generator=generator, dtype=torch.float64) @ torch.randn(
        3, _SAMPLES, generator=generator, dtype=torch.float64
    )
    passed = backward(_network(False, generator, _MANY), thin, labels, skip=False, relu=False)
    return ranks(passed.representations[:-1]), ranks(passed.errors[:-1]), ranks(passed.gradients[:-1])


def _worst(readings: Sequence[Reading], measurement: str, modes: Sequence[str]) -> dict[int, float]:
    """By layer, the largest κ over some modes."""
    worst: dict[int, float] = {}
    for reading in readings:
        if reading.measurement == measurement and reading.mode in modes:
            worst[reading.layer] = max(worst.get(reading.layer, 0.0), reading.values["condition_number"])
    return worst


def of_trained(seed: int) -> dict[str, dict[str, dict[int, float]]]:
    """κ by family, measurement and layer; the updates are those of gradient descent (Eq. 24 and 25)."""
    images, labels = digits(_SAMPLES)
    kappas = {}
    for key, name in FAMILIES.items():
        network = trained(key, seed).network
        descent = torch.optim.SGD(network.parameters(), lr=0.03)
        with seeded(seed):
            readings = list(
                take(network, images, labels, optimizer=descent, measurements=["gradients", "updates", "errors"])
            )
        kappas[name] = {
            "gradients": _worst(readings, "gradients", ("output", "input")),
            "updates": _worst(readings, "updates", ("output", "input")),
            "errors": _worst(readings, "errors", ("matrix",)),
        }
    return kappas


def _of_small(
    by_network: dict[str, list[int]], read: dict[str, list[int]], thin: tuple[list[int], list[int], list[int]]
) -> list[Case]:
    h, errors, gradients = thin
    linear = max(by_network["skip, linear"])
    lowest = {
        name: f"smallest rank {min(by_network[name])} of {_SIZE}, of H {min(read[name])}: units that are always 0"
        for name in ("skip, ReLU", "plain, ReLU")
    }
    return [
        Case(
            setting=f"a linear PlainNet of {_MANY} classes whose H has rank 3: ΔHᵀ singular",
            holds=max(gradients) <= max(h) == 3,
            found=f"rank of ∂E/∂W at most {max(gradients)} of {_SIZE}",
        ),
        Case(
            setting="the same: Δ singular",
            drops=[_NEEDS["weights"]],
            holds=max(errors) < _SIZE,
            found=f"rank of Δ {min(errors)} to {max(errors)} of {_SIZE}: the pass back meets W and no H",
        ),
        Case(
            setting=f"linear network of {2 * _BLOCKS} layers with skip connections, {_CLASSES} classes: non-singular",
            drops=[_NEEDS["compared"]],
            holds=linear == _SIZE,
            found=f"rank {linear} of {_SIZE} in every layer: the columns of the softmax error sum to 0, so that no "
            f"gradient has a rank over {_CLASSES - 1}",
        ),
        Case(
            setting="the same with ReLU and skip connections: non-singular",
            drops=[_NEEDS["regular"], _NEEDS["compared"]],
            holds=min(by_network["skip, ReLU"]) == _SIZE,
            found=lowest["skip, ReLU"],
        ),
        Case(
            setting="the same with ReLU and no skip connections: singular",
            holds=min(by_network["plain, ReLU"]) < _SIZE,
            found=lowest["plain, ReLU"],
        ),
    ]


def _of_large(kappas: dict[str, dict[str, dict[int, float]]]) -> list[Case]:
    medians = {name: float(np.median(list(by_kind["gradients"].values()))) for name, by_kind in kappas.items()}
    counts = {
        name: {kind: sum(map(np.isinf, values.values())) for kind, values in by_kind.items()}
        for name, by_kind in kappas.items()
    }
    skips = ("ResNet", "ResNeXt")
    listed = {
        kind: ", ".join(f"{counts[name][kind]} ({name})" for name in counts)
        for kind in ("gradients", "updates", "errors")
    }
    return [
        Case(
            setting=f"trained {DEPTH}-layer networks: skip connections' gradients better conditioned than PlainNet's",
            holds=all(medians[name] < medians["PlainNet"] for name in skips),
            found="median κ of the gradients " + ", ".join(f"{value:.3g} ({name})" for name, value in medians.items()),
        ),
        Case(
            setting="trained networks: more of PlainNet's errors Δ singular as matrices",
            drops=[_NEEDS["compared"]],
            holds=all(counts[name]["errors"] < counts["PlainNet"]["errors"] for name in skips),
            found=f"singular to float32 in {listed['errors']} of {DEPTH - 1} layers",
        ),
        Case(
            setting="trained networks: none of ResNet's and ResNeXt's gradients and updates singular",
            drops=[_NEEDS["compared"]],
            holds=all(counts[name]["gradients"] == counts[name]["updates"] == 0 for name in skips),
            found=f"layers singular to float32: gradients {listed['gradients']}; updates {listed['updates']}",
        ),
    ]


def remarks_4_to_6(seed: int) -> Result:
    """Ranks and κ of gradients: linear networks, with ReLU, and trained networks of the three families."""
    generator = torch.Generator().manual_seed(seed)
    (by_network, read), kappas = _ranks_of_networks(generator), of_trained(seed)
    places = np.arange(1, 2 * _BLOCKS + 1, dtype=float)
    small = [Trace(label=name, x=places, y=np.array(values, dtype=float)) for name, values in by_network.items()]
    large = [
        Trace(label=name, x=np.array(sorted(worst), dtype=float), y=np.array([worst[layer] for layer in sorted(worst)]))
        for name, worst in ((name, by_kind["gradients"]) for name, by_kind in kappas.items())
    ]
    return Result(
        computed=f"Ranks of the weights' gradients in networks of {_SIZE} units on {_SAMPLES} real digits, and κ of "
        f"gradients, updates and errors in convolutional networks of {DEPTH} layers trained for seconds.",
        cases=[*_of_small(by_network, read, collapsed(generator)), *_of_large(kappas)],
        remark="At any critical point ΔHᵀ = 0, also where Δ and H have full rank. With momentum or a penalty no update "
        "is singular: the study oyedotun-remarks has those.",
        numbers={
            "ranks": by_network,
            "median_kappa_of_gradients": {
                name: float(np.median(list(by_kind["gradients"].values()))) for name, by_kind in kappas.items()
            },
        },
        figures=[
            [
                Panel(
                    title=f"Rank of ∂E/∂W, {_SIZE} units",
                    x="layer",
                    y="rank",
                    traces=small,
                    y_scale="linear",
                    y_limits=(0.0, _SIZE + 2.0),
                    reference=float(_CLASSES - 1),
                )
            ],
            [Panel(title="Trained networks", x="layer, from the input", y="κ of ∂E/∂W", traces=large)],
        ],
        caption=f"Above: the dotted line is {_CLASSES} classes − 1. Below: the larger κ of the gradient's output and "
        "input modes.",
    )
