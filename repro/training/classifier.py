"""The LightningModule of every experiment: a network, its objective, its optimiser."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from repro.config import TrainingConfig
from repro.distributed.ranks import Ranks
from repro.text import say
from repro.training import epoch_sums
from repro.training.compiled import Compiled
from repro.training.divergence import CHECK_EVERY, Diverged, Divergence
from repro.training.evaluated import Batch, EvaluatedModule
from repro.training.losses import LOSSES
from repro.training.metrics import Largest, MeanLoss, epoch_means
from repro.training.muon import hidden_matrices
from repro.training.optimizer import create_optimizer, learning_rate, set_learning_rate
from repro.training.spectral_penalty import total_spread, weight_matrices
from repro.training.sync_batchnorm import is_synchronised, over_all_ranks


class Classifier(EvaluatedModule):
    """Trains any network that maps images to class scores, by an optimiser of torch's.

    Records, through the trainer's loggers: ``step/...`` every `every_n_steps` steps (the batch's loss and accuracy,
    before the step), ``train/...`` at epoch ends (means over the epoch, while the network changed;
    ``train/largest_...`` are those of its batches), ``validation/...`` and ``test/...`` after evaluations.
    ``.../objective`` is what the optimiser descends: the loss (recorded as ``.../loss`` if it is not the cross-entropy)
    plus, of SGD, weight_decay / 2 times the sum of all squared parameters, plus spectral_penalty times the sum over
    layers of how unequal their singular values are. `UserError` for Muon where the network has no hidden matrices.
    """

    def __init__(
        self, network: nn.Module, *, num_classes: int, training: TrainingConfig, every_n_steps: int = 10
    ) -> None:
        super().__init__(network, num_classes)
        if training.optimizer == "muon":
            hidden_matrices(network)
        self.training_config = training
        self.every_n_steps = every_n_steps
        self.loss = LOSSES[training.loss]
        self._by_cross_entropy = training.loss == "cross_entropy"
        self.train_metrics = epoch_means(num_classes)
        if not self._by_cross_entropy:
            self.train_metrics.add_metrics({"loss": MeanLoss()})
            self.train_metrics.persistent(True)
        self.compiled: Compiled | None = None
        """The compiled network that training steps run; None to run it as it is written."""
        self.divergence = Divergence()
        self.largest = Largest()
        self.steps = 0
        """Steps of the whole run, known when training starts."""
        self.state_entries: dict[str, Any] = {}
        """For the run's state, beside the final metrics."""

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Class scores (logits) of images."""
        scores: Tensor = self.network(images)
        return scores

    def objective(self, scores: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
        """The objective that a step differentiates: loss and spectral penalty; the optimiser adds the weight decay."""
        return self.loss(scores, labels) + self._spectral_penalty()

    def training_scores(self, inputs: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch classes"]:
        """Class scores of a training batch's inputs: images, unless a subclass trains on something else."""
        scores: Tensor = self(inputs) if self.compiled is None else self.compiled(inputs)
        return scores

    def backward(self, loss: Tensor, *arguments: Any, **options: Any) -> None:
        """The backward pass, which a compiled network may compile at its first."""
        with nullcontext() if self.compiled is None else self.compiled.refusing():
            super().backward(loss, *arguments, **options)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser of all parameters that train."""
        return create_optimizer(self.network, self.training_config)

    def on_train_start(self) -> None:
        """Count the steps of the run once: Lightning recomputes them at each call."""
        training = self.training_config
        self.steps = int(min(self.trainer.estimated_stepping_batches, training.max_steps or math.inf))
        self._end_in_time()
        if training.warmup_steps >= self.steps > 0 and self.trainer.is_global_zero:
            say(
                f"note: the warm-up is {training.warmup_steps} steps and the whole run {self.steps}: the "
                f"learning rate stays at {training.warmup_learning_rate:g} (--training.warmup_steps)"
            )

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the learning rate: a function of the step, so that there is no state to resume.

        Drop the gradients of the step before, which Lightning would keep until the forward pass is done.
        """
        (optimizer,) = self.trainer.optimizers
        set_learning_rate(optimizer, self.rate())
        optimizer.zero_grad()

    def on_train_batch_end(self, *_arguments: Any) -> None:
        """End within an epoch, if its time has come."""
        self._end_in_time()

    def _end_in_time(self) -> None:
        # Not by Trainer(max_steps=...), with which Lightning ends an epoch twice that a resumed run has behind it.
        if self.training_config.max_steps is not None and self.trainer.global_step >= self.steps:
            self.trainer.should_stop = True

    def optimizer_zero_grad(self, *_arguments: Any) -> None:
        """Nothing to do: `on_train_batch_start` has done it."""

    def rate(self) -> float:
        """The learning rate of the step that follows."""
        return learning_rate(self.trainer.global_step, self.steps, self.training_config)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The mean loss of a batch; with several ranks, weighted so that their mean is the mean of the whole batch."""
        with over_all_ranks():
            loss = self._loss(batch)
        self.require_convergence()
        return loss

    def _loss(self, batch: Batch) -> Tensor:
        inputs, labels = batch
        ranks, size = self.trainer.world_size, len(labels)
        penalty = self._spectral_penalty()
        if not size:  # fewer images than ranks are left: this rank adds nothing to the others' gradients
            nothing = [parameter.sum() * 0 for parameter in self.network.parameters() if parameter.requires_grad]
            if is_synchronised(self.network):  # but the others' normalisation waits for it, forward and backward
                nothing.append(self.training_scores(inputs).sum() * 0)
            loss = torch.stack(nothing).sum()
            self._note(loss, loss, penalty, size)
            return loss + penalty
        scores = self.training_scores(inputs)
        loss = self.loss(scores, labels)
        detached = scores.detach()
        cross_entropy = loss.detach() if self._by_cross_entropy else F.cross_entropy(detached, labels)
        total, added = self._note(loss, cross_entropy, penalty, size)
        self._count(loss, cross_entropy, detached, labels)
        if self.trainer.global_step % self.every_n_steps == 0:
            self._record_step(loss, cross_entropy, detached, labels, added)
        if ranks > 1:  # gradients are averaged over ranks, not over images
            loss = loss * (size * ranks / total).to(loss.dtype)
        return loss + penalty if self.training_config.spectral_penalty else loss

    def _note(self, loss: Tensor, cross_entropy: Tensor, penalty: Tensor | float, size: int) -> tuple[Tensor, Tensor]:
        """Take the whole batch's loss, cross-entropy and objective before the step, the same on every rank.

        Of batches after the first that is not finite nothing is taken: how many there are hangs on when that one is
        seen. Returns the batch's number of images, and what the objective adds to the loss.
        """
        sums = torch.stack([loss.detach().double() * size, cross_entropy.detach().double() * size])
        sums = torch.cat([sums, torch.full((1,), float(size), dtype=sums.dtype, device=sums.device)])
        if self.trainer.world_size > 1:
            dist.all_reduce(sums)
        loss, cross_entropy = (sums[:2] / sums[2]).unbind()
        step = self.trainer.global_step
        self.divergence.note(loss, step)
        added = self._decay() + (penalty.detach() if isinstance(penalty, Tensor) else penalty)
        late = self.divergence.before(step)
        self.largest.note("cross_entropy", cross_entropy, unless=late)
        self.largest.note("objective", loss + added, unless=late)
        return sums[2], added

    def require_convergence(self, *, now: bool = False) -> None:
        """Look, at steps that are recorded and every so many others, or `now`, whether a step's loss was not finite.

        Every rank raises `Diverged` alike.
        """
        step = self.trainer.global_step
        if now or step % self.every_n_steps == 0 or step % CHECK_EVERY == 0:
            try:
                self.divergence.check()
            except Diverged:
                self.record(self._of_largest_batches())  # there will be no end of the epoch
                raise

    def _of_largest_batches(self) -> dict[str, float]:
        return {f"train/largest_{name}": value for name, value in self.largest.values().items()}

    def _count(self, loss: Tensor, cross_entropy: Tensor, scores: Tensor, labels: Tensor) -> None:
        """Add a batch to the epoch's means."""
        self.train_metrics["cross_entropy"].update(cross_entropy, len(labels))
        self.train_metrics["accuracy"].update(scores, labels)
        if not self._by_cross_entropy:
            self.train_metrics["loss"].update(loss.detach(), len(labels))

    def _record_step(self, loss: Tensor, cross_entropy: Tensor, scores: Tensor, labels: Tensor, added: Tensor) -> None:
        """Record a batch before its step; the one place of a step that waits for the device."""
        accuracy = (scores.argmax(1) == labels).float().mean()
        stacked = torch.stack([tensor.detach().double() for tensor in (loss, cross_entropy, accuracy, added)])
        value, of_cross_entropy, of_accuracy, penalty = stacked.tolist()
        self.record(
            {
                "step/cross_entropy": of_cross_entropy,
                **({} if self._by_cross_entropy else {"step/loss": value}),
                "step/objective": value + penalty,
                "step/accuracy": of_accuracy,
                "learning_rate": self.rate(),
            }
        )

    def _spectral_penalty(self) -> Tensor | float:
        """The weighted penalty; it is the same on every rank, and not weighted by the rank's number of images."""
        weight = self.training_config.spectral_penalty
        return weight * total_spread(weight_matrices(self.network)) if weight else 0.0

    def on_train_epoch_end(self) -> None:
        """Record the epoch's means."""
        self.require_convergence(now=True)
        metrics = {f"train/{name}": value.item() for name, value in self.train_metrics.compute().items()}
        self.train_metrics.reset()
        metrics |= self._of_largest_batches()
        self.largest = Largest()
        metrics["train/objective"] = metrics.get("train/loss", metrics["train/cross_entropy"]) + self.penalty()
        self.record(metrics)
        self._show(metrics)

    def on_validation_start(self) -> None:
        """All ranks evaluate the network that is saved: rank 0's running statistics."""
        if self.trainer.training and not self.trainer.sanity_checking:  # not a network that has diverged
            self.require_convergence(now=True)
        Ranks.of_process_group().broadcast_buffers(self.network)

    @torch.no_grad()
    def penalty(self) -> float:
        """What the objective adds to the loss: SGD's weight decay and the penalty on unequal singular values."""
        return self._decay().item() + float(self._spectral_penalty())

    @torch.no_grad()
    def _decay(self) -> Float[Tensor, ""]:
        if self.training_config.optimizer != "sgd":  # whose decay is no gradient of anything
            return torch.zeros((), dtype=torch.float64, device=self.device)
        norms = torch._foreach_norm([parameter for parameter in self.network.parameters() if parameter.requires_grad])
        return self.training_config.weight_decay / 2 * torch.stack(norms).double().square().sum()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep plain values only, so that the checkpoint loads with ``weights_only=True``; the sums of each rank."""
        checkpoint["metrics"] = dict(self.latest)
        checkpoint["first_non_finite"] = self.divergence.first()
        checkpoint["largest"] = self.largest.values()
        epoch_sums.save(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the metrics recorded last, and the epoch's sums."""
        self.latest = dict(checkpoint.get("metrics", {}))
        self.divergence = Divergence(checkpoint.get("first_non_finite"))
        self.largest = Largest(checkpoint.get("largest"))
        epoch_sums.load(checkpoint)
