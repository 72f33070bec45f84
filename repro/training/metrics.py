"""What is counted over an epoch: on the device, in place, without a look at a value on the host."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy


class MeanLoss(Metric):
    """The mean over samples of batch means: a sum and a count.

    torchmetrics' own `MeanMetric` looks for NaN on the host at every update, and with that look disabled it drops the
    weights (1.9.0). A NaN loss is to be seen here, not left out.
    """

    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, mean: Tensor, samples: int) -> None:
        """Add a batch's mean loss."""
        self.total.add_(mean, alpha=samples)  # in float64: the product is exact
        self.count += samples

    def compute(self) -> Tensor:
        """The mean over all samples."""
        return self.total / self.count


class Accuracy(MulticlassAccuracy):
    """torchmetrics' accuracy over all samples: its states and their names, in half as many operations and in place."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, average="micro", validate_args=False)

    def update(self, preds: Float[Tensor, "batch classes"], target: Int[Tensor, " batch"]) -> None:
        """Add a batch's scores and labels."""
        right = (preds.argmax(1) == target).sum()
        wrong = len(target) - right
        assert isinstance(self.num_classes, int)
        for state, count in (
            (self.tp, right),
            (self.fp, wrong),
            (self.fn, wrong),
            (self.tn, (self.num_classes - 1) * len(target) - wrong),
        ):
            assert isinstance(state, Tensor)
            state += count


class Largest:
    """The largest values over an epoch's batches, of which an earlier life may have seen some, kept on the device.

    Nobody waits for them.
    """

    def __init__(self, values: Mapping[str, float] | None = None) -> None:
        self._values = {name: torch.tensor(value, dtype=torch.float64) for name, value in (values or {}).items()}

    def note(self, name: str, value: Float[Tensor, ""], *, unless: Bool[Tensor, ""] | bool = False) -> None:
        """Take a batch's value into account, except where `unless` is true; NaN counts as the largest."""
        value = value.detach()
        before = self._values.get(name)
        if before is not None:
            before = before.to(value)
            value = torch.where(torch.as_tensor(unless, device=value.device), before, torch.maximum(before, value))
        self._values[name] = value

    def values(self) -> dict[str, float]:
        """The largest values by name. Waits for the device."""
        return {name: value.item() for name, value in self._values.items()}


def epoch_means(num_classes: int) -> MetricCollection:
    """Cross-entropy and accuracy over an epoch; a checkpoint in its middle keeps them."""
    metrics = MetricCollection({"cross_entropy": MeanLoss(), "accuracy": Accuracy(num_classes)}, compute_groups=False)
    metrics.persistent(True)
    return metrics
