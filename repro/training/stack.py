"""Several runs that differ in seeds and rates alone, trained as one; each keeps its record and its checkpoints."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor

from repro.config import Config
from repro.data.batches import Batches
from repro.records import RunDirectory
from repro.training.checkpoint_file import CheckpointFile, load_weights, refuse_foreign, signature
from repro.training.checkpoints import RunCheckpoints
from repro.training.classifier import Classifier
from repro.training.divergence import Diverged, require_finite_result, require_finite_weights
from repro.training.fit import Life, status_of
from repro.training.interrupt import StopRequest
from repro.training.measuring import MeasureCallback
from repro.training.stack_memory import require_memory
from repro.training.stacked import StackedClassifier


class _MemberTrainer:
    """The trainer as one member sees it: its own loggers, optimiser, data and checkpoints; all else is the stack's.

    Args:
        trainer: The stack's.
        stack: What trains.
        number: The member's.
        life: Its life.
    """

    def __init__(self, trainer: Trainer, stack: StackedClassifier, number: int, life: Life) -> None:
        self._trainer, self._stack, self._number = trainer, stack, number
        self._signature = signature(life.config)
        self._measuring = [each for each in life.experiment.trainer.callbacks if isinstance(each, MeasureCallback)]  # type: ignore[attr-defined]
        self._stateful: list[Callback] = [life.identifier_callback, life.checkpoints]
        self.checkpoints = life.checkpoints
        self.loggers = life.experiment.trainer.loggers
        self.optimizers = [stack.optimizers_of[number]]
        self.datamodule = life.experiment.data

    @property  # type: ignore[misc]
    def __class__(self) -> type[Trainer]:  # type: ignore[override]  # callbacks and modules are told that they get one
        return Trainer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trainer, name)

    @property
    def module(self) -> Classifier:
        """What the member trains."""
        return self._stack.classifier(self._number)

    def measure(self, hook: str, *arguments: Any) -> None:
        """Call a hook of the member's measuring callback."""
        for callback in self._measuring:
            getattr(callback, hook)(self, self.module, *arguments)

    def save_checkpoint(self, path: Path) -> None:
        """Save the checkpoint that the member would save alone."""
        file = self._trainer.strategy.checkpoint_io
        assert isinstance(file, CheckpointFile)
        self._stack.saved, file.signature = self._number, self._signature
        self._trainer.save_checkpoint(path)

    def fill(self, checkpoint: dict[str, Any]) -> None:
        """Put the member's own callbacks' states into a checkpoint."""
        checkpoint["callbacks"] = {each.state_key: each.state_dict() for each in self._stateful}
        for callback in self._stateful:
            callback.on_save_checkpoint(self, self.module, checkpoint)  # type: ignore[arg-type]

    def load(self, path: Path) -> None:
        """Take up the member's checkpoint."""
        content = load_weights(path)
        refuse_foreign(content, self._signature, path)
        self._stack.load(self._number, content)
        for callback in self._stateful:
            callback.load_state_dict(content["callbacks"][callback.state_key])


class _Members(Callback):
    """Calls the members' measuring callbacks, and completes their checkpoints.

    Args:
        stack: What trains.
        trainers: The trainer as each member sees it.
    """

    def __init__(self, stack: StackedClassifier, trainers: Sequence[_MemberTrainer]) -> None:
        self._stack, self._trainers = stack, trainers

    def _measure(self, hook: str, *arguments: Any) -> None:
        self._stack.each(lambda number: self._trainers[number].measure(hook, *arguments))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Measure before the first step."""
        self._measure("on_train_start")

    def on_train_batch_end(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Measure at named steps."""
        self._measure("on_train_batch_end", outputs, batch, batch_idx)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Measure at epoch ends."""
        self._measure("on_train_epoch_end")

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Put the states of the callbacks of the member in whose checkpoint it is."""
        self._trainers[self._stack.saved].fill(checkpoint)


class _Checkpoints(RunCheckpoints):
    """Saves all members at the same steps, so that they can go on together; each keeps its own best.

    Args:
        stack: What trains.
        trainers: The trainer as each member sees it.
        life: Any member's.
        stop: The request to stop.
    """

    def __init__(
        self, stack: StackedClassifier, trainers: Sequence[_MemberTrainer], life: Life, stop: StopRequest
    ) -> None:
        super().__init__(life.run, life.config.trainer, stop=stop)
        self._stack, self._trainers = stack, trainers
        self._best: set[int] = set()

    def _is_best(self, trainer: Trainer, pl_module: LightningModule) -> bool:  # noqa: ARG002
        self._best = {
            number
            for number in self._stack.alive
            if self._trainers[number].checkpoints._is_best(trainer, self._trainers[number].module)
        }
        return bool(self._best)

    def save(self, trainer: Trainer, *, best: bool = False) -> None:  # noqa: ARG002
        """Save every member's checkpoint."""
        began = time.monotonic()
        for number in self._stack.alive:
            member = self._trainers[number]
            member.checkpoints.save(member, best=number in self._best)  # type: ignore[arg-type]
        self._best = set()
        self._saved_at = self._looked_at = time.monotonic()
        self._longest["save"] = max(self._longest["save"], self._saved_at - began)


class _Batches:
    """The members' batches side by side.

    Args:
        members: As many batches each.
    """

    def __init__(self, members: Sequence[Batches]) -> None:
        self._members = members

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return len(self._members[0])

    def __iter__(self) -> Iterator[tuple[Float[Tensor, "members batch ..."], Int[Tensor, "members batch"]]]:
        """Images and labels of every member: the rest of the current epoch."""
        for parts in zip(*self._members, strict=True):
            yield torch.stack([images for images, _ in parts]), torch.stack([labels for _, labels in parts])

    def state_dict(self) -> dict[str, object]:
        """Empty, as `Batches`'."""
        return {}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Nothing to do."""


class _Data(LightningDataModule):
    """The members' data side by side.

    Args:
        members: Their data.
    """

    def __init__(self, members: Sequence[Any]) -> None:
        super().__init__()
        self._members = members

    def train_dataloader(self) -> _Batches:
        """Training batches of every member."""
        return _Batches([each.train_dataloader() for each in self._members])

    def val_dataloader(self) -> list[_Batches]:
        """Batches of each held-out part."""
        return [_Batches(parts) for parts in zip(*(each.val_dataloader() for each in self._members), strict=True)]

    def test_dataloader(self) -> list[_Batches]:
        """Batches of the training set and of each held-out part."""
        return [_Batches(parts) for parts in zip(*(each.test_dataloader() for each in self._members), strict=True)]


class Member(NamedTuple):
    """A run that is trained in a stack."""

    config: Config
    """Checked."""

    run: RunDirectory
    """Prepared and locked."""

    checkpoint: Path | None
    """Where it goes on from: the same step in all of a stack, or none at all."""


def fit_stack(members: Sequence[Member], stop: StopRequest, *, label: str) -> None:
    """Train runs that `repro.studies.stacking` allows to be trained as one, to the end, and evaluate them.

    Args:
        members: The runs.
        stop: The request to stop.
        label: What progress is shown under.

    Raises:
        Interrupted: The stack was asked to stop; every run's checkpoint is saved.
        CannotSave: A checkpoint could not be written.
        UserError: The data are missing, the network cannot be stacked, or the stack would not fit into memory.
    """
    lives = [Life(each.config, each.run, stop, checkpoint=each.checkpoint, label=label) for each in members]
    first, share = lives[0], 1 / len(lives)
    trainer = first.experiment.trainer
    device = trainer.strategy.root_device
    modules = [life.experiment.module.to(device) for life in lives]
    first.experiment.data.trainer = trainer
    first.experiment.data.setup("fit")
    image, _ = first.experiment.data.probe(1)
    require_memory(modules[0].network, image, batch_size=int(first.config.data.batch_size), members=len(lives))

    def left(number: int, reason: Diverged) -> None:
        status, said = status_of(reason)
        where = {"step": trainer.global_step, "epoch": trainer.current_epoch}
        lives[number].close(status, share=share, **{**where, **said})

    stack = StackedClassifier(modules, image=image, left=left)
    try:
        for life in lives:
            if life.config.data == first.config.data and life is not first:
                life.experiment.data.share(first.experiment.data)
            life.open(stack=len(lives))
        trainers = [_MemberTrainer(trainer, stack, number, life) for number, life in enumerate(lives)]
        for life, member in zip(lives, trainers, strict=True):
            life.experiment.data.trainer = life.experiment.module.trainer = member  # type: ignore[assignment]
            if life.checkpoint is not None:
                member.load(life.checkpoint)
        trainer.loggers = []
        trainer.callbacks = [_Members(stack, trainers), first.progress, _Checkpoints(stack, trainers, first, stop)]  # type: ignore[attr-defined]
        data = _Data([life.experiment.data for life in lives])
        trainer.fit(stack, datamodule=data, ckpt_path=first.checkpoint, weights_only=True)
        step = trainer.global_step
        stack.each(lambda number: require_finite_weights(modules[number].network, step))
        trainer.test(stack, datamodule=data, verbose=False, weights_only=True)
        stack.each(lambda number: require_finite_result(modules[number].final))
    except BaseException as reason:
        status, said = status_of(reason)
        for number in stack.alive:
            lives[number].close(status, share=share, **said)
        if status != "diverged":  # every one of them has, and has been closed
            raise
    else:
        for number in stack.alive:
            lives[number].close("finished", share=share, **lives[number].finished(trainer))
