"""Error gradients, weight gradients and updates: equations and ranks (Oyedotun, Eq. 23 to 26, Remarks 4 to 6)."""

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
from repro.spectra import conditioning
from repro.theory.real_networks import DEPTH, FAMILIES, digits, seeded, trained
from repro.theory.result import Case, Result

_SIZE, _BLOCKS, _SAMPLES, _CLASSES = 32, 6, 128, 10


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
        [each.detach() for each in read],
        [z.grad for z in written if z.grad is not None],
        [leaf.grad for leaf in leaves if leaf.grad is not None],
    )


def ranks(tensors: Sequence[Tensor]) -> list[int]:
    """Numerical ranks of float64 matrices."""
    return [int(rank) for rank in conditioning(list(tensors)).rank]


def _network(relu: bool, generator: torch.Generator) -> list[Tensor]:
    scale = (2.0 if relu else 1.0) ** 0.5
    shapes = [(_SIZE, _SIZE)] * (2 * _BLOCKS) + [(_CLASSES, _SIZE)]
    return [scale * torch.randn(*s, generator=generator, dtype=torch.float64) / s[1] ** 0.5 for s in shapes]


def _inputs(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Real digits, projected at random to the networks' width."""
    images, labels = digits(_SAMPLES)
    projection = torch.randn(_SIZE, 784, generator=generator, dtype=torch.float64) / 28
    return projection @ images.flatten(1).double().T, labels


def equations_23_to_26(seed: int) -> Result:
    """The equations beside automatic differentiation, and what singular factors and updates do."""
    generator = torch.Generator().manual_seed(seed)
    # All sides equal, so that the printed equations can be evaluated at all.
    side = _CLASSES
    weights = [torch.randn(side, side, generator=generator, dtype=torch.float64) / side**0.5 for _ in range(3)]
    inputs, labels = torch.randn(side, side, generator=generator, dtype=torch.float64), torch.arange(side)
    found = backward(weights, inputs, labels, skip=False, relu=False)
    error, after, h = found.errors[1], found.errors[2], found.representations[2]

    def off(value: Tensor, right: Tensor) -> float:
        return float((value - right).norm() / right.norm())

    chain = off(weights[2].T @ after, error)
    printed = off(h @ (weights[2] @ after), error)
    transposed = off(after @ h.T, found.gradients[2])
    untransposed = off(after @ h, found.gradients[2])
    thin = torch.randn(side, 3, generator=generator, dtype=torch.float64) @ torch.randn(3, side, dtype=torch.float64)
    singular_rank = ranks([backward(weights, thin, labels, skip=False, relu=False).gradients[0]])[0]
    u, v = torch.randn(2, side, generator=generator, dtype=torch.float64)
    updated = torch.eye(side, dtype=torch.float64) - 0.1 * torch.outer(u, v)
    update_rank, weight_rank = ranks([torch.outer(u, v), updated])
    x = torch.randn(side, 50, generator=generator, dtype=torch.float64)
    y = torch.randn(side, 50, generator=generator, dtype=torch.float64)
    residual = y @ torch.linalg.pinv(x) @ x - y
    at_optimum = float((residual @ x.T).norm() / (residual.norm() * x.norm()))
    full = ranks([residual, x])
    cases = [
        Case(
            setting="linear units: Δˡ = (Wˡ⁺¹)ᵀ Δˡ⁺¹ and ∂E/∂W = ΔHᵀ",
            conditions="complete",
            holds=max(chain, transposed) < 1e-12,
            found=f"agree with automatic differentiation to {max(chain, transposed):.0e}",
        ),
        Case(
            setting="a singular H (rank 3) makes ΔHᵀ singular",
            conditions="complete",
            holds=singular_rank <= 3,
            found=f"rank of the gradient {singular_rank}",
        ),
        Case(
            setting="as printed, Δˡ = H(WΔ), all sides equal so that the shapes fit",
            conditions="as stated",
            holds=printed < 1e-6,
            found=f"differs by {100 * printed:.0f} % of the gradient; for n ≠ N the product is not defined",
        ),
        Case(
            setting="as printed, ΔW = ηΔH without transpose",
            conditions="as stated",
            holds=untransposed < 1e-6,
            found=f"differs by {100 * untransposed:.0f} %",
        ),
        Case(
            setting="Eq. 26, W ≈ ΔW: a singular update of the identity makes W singular",
            conditions="as stated",
            holds=weight_rank < side,
            found=f"an update of rank {update_rank} leaves W of rank {weight_rank} of {side}",
        ),
        Case(
            setting="factors of full rank make ΔHᵀ non-singular: at a least-squares solution, N = 50 samples",
            conditions="as stated",
            holds=at_optimum > 1e-12,
            found=f"Δ and H have full rank {full[0]} and ΔHᵀ = 0 (to {at_optimum:.0e}): every critical point is such",
        ),
    ]
    return Result(
        computed="Gradients of a small linear network by automatic differentiation, beside the printed equations.",
        cases=cases,
        under="the usual form Δˡ = (Wˡ⁺¹)ᵀ Δˡ⁺¹, ∂E/∂W = ΔHᵀ",
        remark="The direction that the paper needs most survives: rank ΔHᵀ ≤ rank H, so that a collapsed H makes a "
        "singular gradient. That gradients of a non-singular H are non-singular does not follow.",
        numbers={
            "chain_rule": chain,
            "equation_23_as_printed": printed,
            "equation_24_with_transpose": transposed,
            "equation_24_as_printed": untransposed,
            "error_at_optimum": at_optimum,
        },
    )


def remarks_4_to_6(seed: int) -> Result:
    """Ranks and κ of gradients: linear networks, with ReLU, and trained networks of the three families."""
    generator = torch.Generator().manual_seed(seed)
    inputs, labels = _inputs(generator)
    found: dict[str, list[int]] = {}
    for relu in (False, True):
        weights = _network(relu, generator)
        for skip in (False, True):
            passed = backward(weights, inputs, labels, skip=skip, relu=relu)
            name = f"{'skip' if skip else 'plain'}, {'ReLU' if relu else 'linear'}"
            found[name] = ranks(passed.gradients[:-1])
    images, of_images = digits(_SAMPLES)
    counts: dict[str, dict[str, int]] = {}
    medians: dict[str, float] = {}
    traces = []
    for key, name in FAMILIES.items():
        entry = trained(key, seed)
        with seeded(seed):
            readings = take(
                entry.network,
                images,
                of_images,
                optimizer=entry.optimizer,
                measurements=["gradients", "updates", "errors"],
            )
        counts[name] = {}
        for measurement, modes in (
            ("gradients", ("output", "input")),
            ("updates", ("output", "input")),
            ("errors", ("matrix",)),
        ):
            worst: dict[int, float] = {}
            for reading in readings:
                if reading.measurement == measurement and reading.mode in modes:
                    kappa = reading.values["condition_number"]
                    worst[reading.layer] = max(worst.get(reading.layer, 0.0), kappa)
            values = np.array([worst[layer] for layer in sorted(worst)])
            counts[name][measurement] = int(np.isinf(values).sum())
            if measurement == "gradients":
                medians[name] = float(np.median(values))
                traces.append(Trace(label=name, x=np.array(sorted(worst), dtype=float), y=values))
    linear = max(found["skip, linear"])
    relu_skip, relu_plain = min(found["skip, ReLU"]), min(found["plain, ReLU"])
    skips = ("ResNet", "ResNeXt")
    listed = {
        measurement: ", ".join(f"{counts[name][measurement]} ({name})" for name in counts)
        for measurement in ("gradients", "updates", "errors")
    }
    cases = [
        Case(
            setting=f"linear network of {2 * _BLOCKS} layers with skip connections, {_CLASSES} classes: non-singular",
            conditions="as stated",
            holds=linear == _SIZE,
            found=f"rank {linear} of {_SIZE} in every layer: the columns of the softmax error sum to 0, so that no "
            f"gradient has a rank over {_CLASSES - 1} (plain: {max(found['plain, linear'])})",
        ),
        Case(
            setting="the same with ReLU and skip connections: non-singular",
            conditions="as stated",
            holds=relu_skip == _SIZE,
            found=f"smallest rank {relu_skip} of {_SIZE}",
        ),
        Case(
            setting="the same with ReLU and no skip connections: singular",
            conditions="as stated",
            holds=relu_plain < _SIZE,
            found=f"smallest rank {relu_plain} of {_SIZE}",
        ),
        Case(
            setting=f"trained {DEPTH}-layer networks: skip connections' gradients better conditioned than PlainNet's",
            conditions="complete",
            holds=all(medians[name] < medians["PlainNet"] for name in skips),
            found="median κ of the gradients " + ", ".join(f"{value:.3g} ({name})" for name, value in medians.items()),
        ),
        Case(
            setting="trained networks: more of PlainNet's errors Δ singular as matrices",
            conditions="as stated",
            holds=all(counts[name]["errors"] < counts["PlainNet"]["errors"] for name in skips),
            found=f"singular to float32 in {listed['errors']} of {DEPTH - 1} layers",
        ),
        Case(
            setting="trained networks: PlainNet's gradients and updates singular, the others' not",
            conditions="as stated",
            holds=counts["PlainNet"]["gradients"] > DEPTH // 2
            and all(counts[name]["gradients"] == counts[name]["updates"] == 0 for name in skips),
            found=f"layers singular to float32: gradients {listed['gradients']}; updates {listed['updates']}",
        ),
    ]
    places = np.arange(1, 2 * _BLOCKS + 1, dtype=float)
    return Result(
        computed=f"Ranks of the weights' gradients in networks of {_SIZE} units on {_SAMPLES} real digits, and κ of "
        f"gradients, updates and errors in convolutional networks of {DEPTH} layers trained for seconds.",
        cases=cases,
        under="ReLU, as a comparison of κ: neither are the gradients without skips singular throughout, nor those with "
        "skips never",
        numbers={"ranks": found, "singular_layers": counts, "median_kappa_of_gradients": medians},
        figures=[
            [
                Panel(
                    title=f"Rank of ∂E/∂W, {_SIZE} units",
                    x="layer",
                    y="rank",
                    traces=[
                        Trace(label=name, x=places, y=np.array(values, dtype=float)) for name, values in found.items()
                    ],
                    y_scale="linear",
                    y_limits=(0.0, _SIZE + 2.0),
                    reference=float(_CLASSES - 1),
                )
            ],
            [Panel(title="Trained networks", x="layer, from the input", y="κ of ∂E/∂W", traces=traces)],
        ],
        caption=f"Above: the dotted line is {_CLASSES} classes − 1. Below: the larger κ of the gradient's output and "
        "input modes.",
    )
