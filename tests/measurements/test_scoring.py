"""The cross-entropy that is taken where no loss is given: of what it fits, and of nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from repro.errors import UserError
from repro.measurements.scoring import cross_entropy

SOURCE = torch.Generator().manual_seed(0)
PROBABLE = torch.rand(4, 6, 5, generator=SOURCE).softmax(-1)


def scores(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=SOURCE)


FITS = {
    "classes": (scores(4, 5), torch.arange(4), 1),
    "classes in few bits": (scores(4, 5), torch.arange(4, dtype=torch.uint8), 1),
    "tokens": (scores(4, 6, 5), torch.arange(24).view(4, 6) % 5, 2),
    "pixels": (scores(4, 5, 6), torch.arange(24).view(4, 6) % 5, 1),
    "probabilities": (scores(4, 5), PROBABLE[:, 0], 1),
    "probabilities in half precision": (scores(4, 5), PROBABLE[:, 0].bfloat16(), 1),
    "probabilities of tokens": (scores(4, 6, 5), PROBABLE, 2),
    "probabilities of pixels": (scores(4, 5, 6), PROBABLE.mT, 1),
    "as long as wide, probabilities": (scores(4, 5, 5), PROBABLE[:, :5], 2),
}


@pytest.mark.parametrize("name", list(FITS))
def test_of_classes_or_probabilities_on_the_axis_that_fits(name: str) -> None:
    output, labels, axis = FITS[name]
    terms = -output.double().log_softmax(axis)
    if labels.is_floating_point():
        expected = (terms * labels.double()).sum(axis).mean()
    else:
        expected = terms.gather(axis, labels.long().unsqueeze(axis)).mean()
    assert float(cross_entropy(output, labels)) == pytest.approx(float(expected), rel=1e-6)


REFUSED = {
    "as many tokens as words": (scores(4, 6, 6), torch.zeros(4, 6).long(), "the cross-entropy of two axes fits"),
    "as wide as high": (scores(4, 6, 6, 6), torch.zeros(4, 6, 6).long(), "of two axes fits"),
    "targets of a regression": (scores(4, 5), scores(4, 5), "no cross-entropy fits"),
    "positive targets": (scores(4, 5), scores(4, 5).abs(), "no cross-entropy fits"),
    "several classes at once": (scores(4, 5), torch.ones(4, 5), "no cross-entropy fits"),
    "one score, 0 or 1": (scores(4, 1), torch.ones(4, 1), "no cross-entropy fits"),
    "one score": (scores(4, 1), torch.zeros(4).long(), "no cross-entropy fits"),
    "not a number": (scores(4, 5), torch.full((4, 5), torch.nan), "no cross-entropy fits"),
    "truth": (scores(4, 5), torch.ones(4).bool(), "no cross-entropy fits"),
    "a class too many": (scores(4, 5), torch.arange(4) + 2, "go from 2 to 5; allowed: 0 to 4"),
    "a class too few": (scores(4, 5), torch.arange(4) - 101, "go from -101 to -98"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_of_nothing_else(name: str) -> None:
    output, labels, message = REFUSED[name]
    with pytest.raises(UserError, match=message):
        cross_entropy(output, labels)


def test_labels_of_the_sign_that_torch_passes_over_are_passed_over() -> None:
    output, labels = scores(4, 5), torch.tensor([1, -100, 2, -100])
    expected = cross_entropy(output[::2], labels[::2])
    assert float(cross_entropy(output, labels)) == pytest.approx(float(expected))
