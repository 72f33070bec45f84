"""A whole training step as one CUDA graph: launched at once, where the eager step launches thousands of kernels.

After the section "Whole-network capture" of torch's notes on CUDA graphs: the first steps run as usual on a side
stream, then one step is captured (which runs nothing) and replayed from static buffers. Warm-up steps are steps of the
run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from lightning.pytorch import Trainer
from torch import Tensor

from repro.errors import UserError
from repro.training.classifier import Batch, Classifier
from repro.training.metrics import Counted
from repro.training.optimizer import create_optimizer

WARM_UP = 3
"""Steps before the capture: libraries choose their kernels, the momentum comes into being."""
_PLAIN = "set --trainer.graph false"


def require_gpu(trainer: Trainer) -> None:
    """Refuse where there is no CUDA GPU, or more than one process.

    Raises:
        UserError: It says which.
    """
    device = trainer.strategy.root_device
    if device.type != "cuda":
        raise UserError(f"trainer.graph is for CUDA GPUs, and this run trains on a {device.type.upper()}; {_PLAIN}")
    if trainer.world_size > 1:
        raise UserError(
            f"trainer.graph is for one process, and there are {trainer.world_size}; set --trainer.devices 1, or "
            "--trainer.graph false"
        )


@dataclass(frozen=True)
class _Captured:
    graph: Any  # torch.cuda.CUDAGraph
    inputs: Float[Tensor, "batch ..."]
    labels: Int[Tensor, " batch"]
    loss: Tensor
    cross_entropy: Tensor
    scores: Tensor
    places: tuple[int, ...]
    """Addresses of all that the graph reads and writes."""


class GraphClassifier(Classifier):
    """A classifier whose training steps are replayed; the last, smaller batch of an epoch runs as usual.

    Args:
        options: As of `Classifier`.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.replayed, self.as_usual = 0, 0
        """Steps of this life, by how they ran."""
        self._captured: _Captured | None = None
        self._largest, self._warm = 0, 0
        self._replays = False
        self._side: torch.cuda.Stream | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """How many steps were replayed, and how many ran as usual."""
        return {"graph_steps": {"replayed": self.replayed, "as_usual": self.as_usual}}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """SGD with the learning rate on the device, where the graph reads it."""
        return create_optimizer(self.network.parameters(), self.training_config, rate_on_device=True)

    def on_train_epoch_start(self) -> None:
        """Capture anew if anything that the graph reads or writes has moved."""
        if self._captured is not None and self._captured.places != self._places():
            self._captured = None

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Decide how the step runs."""
        super().on_train_batch_start(batch, batch_idx)
        size = len(batch[1])
        if size > self._largest:
            self._largest, self._warm, self._captured = size, 0, None
        self._replays = size == self._largest and self._warm >= WARM_UP

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """The whole step: replayed by `training_step`, update included, or as usual, at first on a side stream."""
        assert optimizer_closure is not None
        if self._replays:
            optimizer_closure()
        elif self._warm >= WARM_UP:
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        else:
            self._warm += 1
            self._side = self._side or torch.cuda.Stream(self.device)
            drawn = torch.cuda.get_rng_state(self.device)
            self._side.wait_stream(torch.cuda.current_stream(self.device))
            with torch.cuda.stream(self._side):
                super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
            torch.cuda.current_stream(self.device).wait_stream(self._side)
            if not torch.equal(drawn, torch.cuda.get_rng_state(self.device)):  # the host's state: nothing waits
                raise UserError(f"trainer.graph takes no network that draws random numbers (dropout); {_PLAIN}")

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The mean loss of a batch; of a replayed step the update is done when this returns."""
        if not self._replays:
            self.as_usual += 1
            return super().training_step(batch, batch_idx)
        captured = self._captured = self._captured or self._capture(batch)
        due = self.trainer.global_step % self.every_n_steps == 0
        penalty = self.penalty() if due else 0.0  # of the weights before the step
        added = self._decay() + self._spectral_penalty()
        captured.inputs.copy_(batch[0])
        captured.labels.copy_(batch[1])
        captured.graph.replay()
        self.replayed += 1
        for metric in self.train_metrics.values():
            assert isinstance(metric, Counted)
            metric.counted()
        self.divergence.note(captured.loss, self.trainer.global_step)
        self.note_largest("cross_entropy", captured.cross_entropy.clone())
        self.note_largest("objective", captured.loss + added)
        if due:
            values = captured.loss, captured.cross_entropy, captured.scores, captured.labels
            self._record_step(*values, penalty=penalty)
        self.require_convergence()
        return captured.loss

    def backward(self, loss: Tensor, *arguments: Any, **options: Any) -> None:
        """Nothing where the graph has done it."""
        if not self._replays:
            super().backward(loss, *arguments, **options)

    def on_train_end(self) -> None:
        """Say if no step was replayed: there were too few."""
        if not self.replayed:
            print(f"repro: note: trainer.graph: no step was replayed in {self.as_usual} steps", file=sys.stderr)

    def _capture(self, batch: Batch) -> _Captured:
        """Capture a step on static buffers; nothing of it runs yet.

        Raises:
            UserError: The step asks the device for something, or does what cannot be captured.
        """
        inputs, labels = torch.empty_like(batch[0]), torch.empty_like(batch[1])
        graph = torch.cuda.CUDAGraph()
        try:
            # thread_local: a thread that pins the next batch may allocate meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                torch.clear_autocast_cache()  # weights are cast within the graph, at each replay
                results = self._whole(inputs, labels)
        except RuntimeError as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise UserError(
                f"trainer.graph cannot capture the step of {type(self.network).__name__}: {reason}; {_PLAIN}"
            ) from error
        return _Captured(graph, inputs, labels, *results, self._places())

    def _whole(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is captured: both passes, the epoch's means, the update; returns loss, cross-entropy and scores."""
        loss, cross_entropy, scores = self._losses(self.training_scores(inputs), labels)
        self._count(loss, cross_entropy, scores, labels)
        objective = loss + self._spectral_penalty()
        (optimizer,) = self.trainer.optimizers
        with torch.autocast(self.device.type, enabled=False):  # which is for the forward pass alone
            objective.backward()
            optimizer.step()
        return loss.detach(), cross_entropy, scores

    def _places(self) -> tuple[int, ...]:
        (optimizer,) = self.trainer.optimizers
        momenta = [value for state in optimizer.state.values() for value in state.values()]
        rates = [group["lr"] for group in optimizer.param_groups]
        sums = [getattr(metric, name) for metric in self.train_metrics.values() for name in metric._defaults]
        read = [*self.network.parameters(), *self.network.buffers(), *momenta, *rates, *sums]
        return tuple(each.data_ptr() for each in read if isinstance(each, Tensor))
