"""Points (U, V) of networks whose chosen hidden neurons are connected to the output, on real digits (Nguyen)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from repro.networks import create_network
from repro.networks.skip import SkipToOutput
from repro.theory.nguyen import losses
from repro.theory.real_networks import digits, seeded
from repro.theory.statement import STATEMENTS

Activation = Callable[[Tensor], Tensor]

ACTIVATIONS: dict[str, Activation] = {
    "sigmoid": torch.sigmoid,
    "softplus": lambda t: F.softplus(t, beta=20),
    "tanh": torch.tanh,
    "ReLU": torch.relu,
}
"""Softplus with the paper's γ = 20."""

NETWORK = STATEMENTS["nguyen-theorem-3.4-2"].conditions
"""Of Assumption 3.1 and section 2, what a convolutional network on digits does not meet."""

SAMPLES, CLASSES = 100, 10
_WIDTHS = (80, 80, 80)


def inputs(count: int = SAMPLES) -> tuple[Float[Tensor, "count pixels"], Int[Tensor, " count"]]:
    """Digits as rows in float64."""
    images, labels = digits(count)
    return images.flatten(1).double(), labels


@dataclass(frozen=True, eq=False)
class Hidden:
    """U: weights and biases of fully connected layers, a bias for each unit."""

    weights: Sequence[Float[Tensor, "_ _"]]
    biases: Sequence[Float[Tensor, " _"]]
    activation: str = "sigmoid"

    def neurons(self, x: Float[Tensor, "samples inputs"]) -> Float[Tensor, "samples neurons"]:
        """The outputs of all hidden neurons, layer by layer."""
        outputs = []
        for weight, bias in zip(self.weights, self.biases, strict=True):
            x = ACTIVATIONS[self.activation](x @ weight.T + bias)
            outputs.append(x)
        return torch.cat(outputs, 1)

    def moved(self, size: float, generator: torch.Generator) -> Hidden:
        """Every weight and bias shifted by Gaussian noise of this deviation."""

        def shift(tensors: Sequence[Tensor]) -> list[Tensor]:
            return [old + size * torch.randn(old.shape, generator=generator, dtype=old.dtype) for old in tensors]

        return replace(self, weights=shift(self.weights), biases=shift(self.biases))


def random_hidden(
    widths: Sequence[int], inputs: int, generator: torch.Generator, *, activation: str = "sigmoid"
) -> Hidden:
    """Gaussian weights of variance 2 / fan-in and Gaussian biases of variance 1."""
    sizes = [inputs, *widths]
    weights = [
        torch.randn(m, n, generator=generator, dtype=torch.float64) * (2 / n) ** 0.5
        for n, m in itertools.pairwise(sizes)
    ]
    return Hidden(weights, [torch.randn(m, generator=generator, dtype=torch.float64) for m in widths], activation)


@dataclass(frozen=True, eq=False)
class Point:
    """What the loss depends on at (U, V): the features, and the scores, G = own + ΨV."""

    features: Float[Tensor, "samples neurons"]
    """Ψ(U)."""
    own: Float[Tensor, "samples classes"]
    """Scores that do not pass through V: 0, or those of the network's own output layer."""
    v: Float[Tensor, "neurons classes"]
    labels: Int[Tensor, " samples"]

    @property
    def scores(self) -> Float[Tensor, "samples classes"]:
        """The scores G = own + ΨV."""
        return self.own + self.features @ self.v


def direction(point: Point, targets: Float[Tensor, "samples classes"]) -> Float[Tensor, "neurons classes"]:
    """D with ΨD = targets, of least norm; a least-squares solution where Ψ lacks rank."""
    solution: Tensor = torch.linalg.lstsq(point.features, targets, driver="gelsd").solution
    return solution


def drawn(seed: int, steps: int = 0) -> Point:
    """A fully connected sigmoid network of three layers and its V, of N + 20 of the neurons: as drawn, or trained.

    The steps are those of Adam, full-batch, on U and V.
    """
    x, labels = inputs()
    generator = torch.Generator().manual_seed(seed)
    hidden = random_hidden(_WIDTHS, x.shape[1], generator)
    kept = torch.randperm(sum(_WIDTHS), generator=generator)[: len(x) + 20]
    v = torch.randn(len(kept), CLASSES, generator=generator, dtype=torch.float64) * (2 / len(kept)) ** 0.5
    leaves = [leaf.clone().requires_grad_() for leaf in (*hidden.weights, *hidden.biases, v)]
    layers = len(_WIDTHS)
    moving = replace(hidden, weights=leaves[:layers], biases=leaves[layers:-1])
    optimizer = torch.optim.Adam(leaves, lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        losses.cross_entropy(moving.neurons(x)[:, kept] @ leaves[-1], labels).backward()
        optimizer.step()
    with torch.no_grad():
        psi = moving.neurons(x)[:, kept]
    return Point(psi, torch.zeros(len(x), CLASSES, dtype=torch.float64), leaves[-1].detach(), labels)


def stuck(seed: int) -> Point:
    """CNN13 with sigmoid after SGD without skips, a constant classifier (section F); then connected, with V = 0."""
    images, labels = digits(SAMPLES)
    with seeded(seed):
        network = create_network(
            "cnn13", width=8, in_channels=1, image_size=28, activation="sigmoid", initialization="truncated"
        )
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True)
        for _ in range(40):
            optimizer.zero_grad()
            F.cross_entropy(network(images), labels).backward()
            optimizer.step()
    model = SkipToOutput(network, 4 * SAMPLES, seed, image=images[:1], num_classes=CLASSES).double()
    with torch.no_grad():
        psi, own = model.eval().features(images.double())
    return Point(psi, own, torch.zeros(psi.shape[1], CLASSES, dtype=torch.float64), labels)


def equal_features(seed: int, size: float) -> Point:
    """U of zeros, where all samples have the same features (rank 1), moved by noise of a given deviation."""
    x, labels = inputs(50)
    zero = Hidden([torch.zeros(80, x.shape[1], dtype=torch.float64)], [torch.zeros(80, dtype=torch.float64)])
    generator = torch.Generator().manual_seed(seed)
    psi = zero.moved(size, generator).neurons(x)
    v = torch.randn(80, CLASSES, generator=generator, dtype=torch.float64) / 80**0.5
    return Point(psi, torch.zeros(len(x), CLASSES, dtype=torch.float64), v, labels)
