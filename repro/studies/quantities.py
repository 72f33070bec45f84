"""What a claim or a paper's value may speak of, in words; `repro.report.quantities` computes them."""

from __future__ import annotations

import re

from repro.errors import unknown

QUANTITIES = {
    "train_accuracy": "training accuracy (%)",
    "test_accuracy": "test accuracy (%)",
    "train_loss": "training cross-entropy",
    "test_loss": "test cross-entropy",
    "largest_loss": "largest cross-entropy of a training batch",
    "largest_objective": "largest objective (with the L2 penalty) of a training batch",
    "first_layer_growth": "growth of the first layer's σmax",
    "first_layer_weights": "σmax of the first layer's weights at the end",
    "weights_infinite": "layers whose weights have infinite κ",
    "weights_median": "median κ of the weights",
    "weights_trend": "rank correlation of the weights' κ with depth",
    "representations_infinite": "representations with infinite channel-mode κ",
    "representations_infinite_to": "last representation with infinite channel-mode κ (but for the pooled one)",
    "representations_median": "median channel-mode κ of the representations",
    "representations_trend": "rank correlation of the representations' channel-mode κ with depth",
    "matrix_infinite": "representations that are singular as a matrix",
    "matrix_median": "median κ of the representations as matrices",
    "matrix_trend": "rank correlation of the representations' κ as matrices with depth",
    **{
        f"{measurement}_{figure}": words.format(of)
        for measurement, of in (
            ("gradients", "the gradients of the layers' weights"),
            ("updates", "the updates of the layers' weights"),
            ("errors", "the error gradients of the representations (channel mode)"),
            ("errors_matrix", "the error gradients of the representations (as matrices)"),
        )
        for figure, words in (
            ("infinite", "how many of {} have infinite κ"),
            ("median", "median κ of {}"),
            ("trend", "rank correlation of the κ of {} with depth"),
        )
    },
    "bound_median": "median over the representations of Proposition 3's bound",
    "distance_median": "median distance of the representations from the first, relative to it",
    "likeness_median": "median likeness (CKA) of the representations to the first",
    "diagonals_median": "median distance of the diagonals from 1, relative to it",
    "diagonals_growth": "median distance of the diagonals from 1 over that at the first measurement of the training",
    "seconds": "seconds",
}
"""Of a whole run: accuracies and losses after the final epoch, κ at the last measurement."""

OF_LAYER = {
    "weights_kappa": "κ of the weights of layer {}",
    "representations_kappa": "channel-mode κ of representation {}",
    "matrix_kappa": "κ of representation {} as a matrix",
    "gradients_kappa": "κ of the gradient of the weights of layer {}",
    "updates_kappa": "κ of the update of the weights of layer {}",
    "errors_kappa": "channel-mode κ of the error gradient of representation {}",
    "errors_matrix_kappa": "κ of the error gradient of representation {} as a matrix",
    **{
        f"{kind}_{name}": words.format(kind)
        for kind in ("activations", "outputs", "weights", "gradients")
        for name, words in (
            ("extreme", "largest of the {} of layer {{}} in magnitude, over training"),
            ("most", "bound on the magnitude of the central 98 % of the {} of layer {{}}, over training"),
            ("final", "largest of the {} of layer {{}} in magnitude, at the end"),
        )
    },
}
"""Of one layer, written ``weights_kappa[108]``."""

_LAYER = re.compile(r"(\w+)\[(\d+)\]")


def in_words(quantity: str) -> str | None:
    """What a quantity's name stands for; None for no quantity's name."""
    if match := _LAYER.fullmatch(quantity):
        name, layer = match.groups()
        return OF_LAYER[name].format(layer) if name in OF_LAYER else None
    return QUANTITIES.get(quantity)


def check(quantity: str, where: str) -> None:
    """Refuse what is no quantity's name, naming those that there are."""
    if in_words(quantity) is None:
        raise unknown("quantity", quantity, [*QUANTITIES, *(f"{name}[LAYER]" for name in OF_LAYER)], extra=where)
