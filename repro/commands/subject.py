"""What is looked at: a run's checkpoint, or any network on a folder of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repro.commands.options import MOST, Request, argument, option, trust_option
from repro.config import Config, MeasureConfig
from repro.errors import UserError, first_line
from repro.text import say

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from repro.data import ImageData
    from repro.measurements.probe import Clip
    from repro.training.classifier import Classifier


@dataclass(kw_only=True)
class Subject:
    """A network, with the images that it is measured on."""

    label: str
    network: nn.Module
    images: Tensor
    labels: Tensor | None
    held_out: Tensor | None
    optimizer: Optimizer | None = None
    loss: Callable[[Any, Any], Tensor] | None = None
    """What the gradients are of; the mean cross-entropy if None."""
    clip: Clip | None = None
    step: int = 0
    epoch: int = 0


class Target(Request):
    """A request to look at a network."""

    target: str = argument("a run directory, one of its checkpoints, or a network's name (timm/resnet50)")
    images: Path | None = option("folder of images; needed if TARGET is a network's name", default=None)
    held_out: Path | None = option("folder with as many other images, for the measurement amplification", default=None)
    probe_size: int = option("number of images that are measured on", default=MeasureConfig.probe_size, least=2)
    device: str = option("auto, cpu, cuda", default="auto")
    pretrained: bool = option("use the pretrained weights of a timm network", default=False)
    num_classes: int | None = option(
        "number of classes, if TARGET is a network's name (default: its own, or 1000)", default=None
    )
    seed: int = option("seed of random initial weights, if TARGET is a network's name", default=0, least=0, most=MOST)
    trust: tuple[str, ...] = trust_option()

    @property
    def is_run(self) -> bool:
        """Whether a run or its checkpoint is meant, and not a network."""
        return Path(self.target).exists()

    @property
    def options(self) -> dict[str, Any]:
        """Options of the network, where one is named."""
        options: dict[str, Any] = {
            "num_classes": 1000 if self.num_classes is None else self.num_classes,
            "image_size": 224,
        }
        return {**options, "pretrained": True} if self.pretrained else options

    def __post_init__(self) -> None:
        given = {"images": self.images, "held-out": self.held_out, "num-classes": self.num_classes}
        for name, value in {**given, "pretrained": self.pretrained or None, "seed": self.seed or None}.items():
            if self.is_run and value is not None:
                raise UserError(f"--{name} goes with a network's name; a run is measured as it is, on its own data")

    def subject(self, measurements: Sequence[str]) -> Subject:
        """What is named, with what these measurements need."""
        if self.is_run:
            return self._of_run(measurements)
        self._check_name()
        return self._of_name()

    def _check_name(self) -> None:
        from repro import networks

        if "/" in self.target and not self.target.startswith("timm/") and ":" not in self.target:
            raise UserError(f"'{self.target}' does not exist; name a run directory, a checkpoint or a network")
        networks.check(self.target, **self.options)
        if self.images is None:
            raise UserError(f"{self.target} needs images to look at: --images DIR")
        for folder in (self.images, self.held_out):
            if folder is not None and not folder.is_dir():
                raise UserError(f"'{folder}' is not a folder of images")

    def _of_run(self, measurements: Sequence[str]) -> Subject:
        """A run at its newest checkpoint, or at the one that is named."""
        from repro.runs.start import stored_checkpoint
        from repro.training.subject import clipping

        run, config, checkpoint = stored_checkpoint(self.target)
        device = device_named(self.device)
        module, data, content = restored(config, checkpoint, device)
        images, labels = data.probe(self.probe_size)
        held_out = data.held_out_probe(self.probe_size) if "amplification" in measurements else None
        optimizer = None
        if "optimizer_states" in content:
            optimizer = module.configure_optimizers()
            optimizer.load_state_dict(content["optimizer_states"][0])
        elif "updates" in measurements:
            raise UserError(
                f"'{checkpoint}' has weights alone, and updates depend on the momentum; name a run's checkpoint"
            )
        step = int(content["global_step"])
        return Subject(
            label=f"{run.name}-step{step}",
            network=module.network,
            images=images.to(device),
            labels=labels.to(device),
            held_out=None if held_out is None else held_out.to(device),
            optimizer=optimizer,
            clip=clipping(config.training.clip_gradients),
            loss=module.objective,
            step=step,
            epoch=int(content["epoch"]) + (step > 0),
        )

    def _of_name(self) -> Subject:
        """A network by name, on images of a folder."""
        import torch

        from repro.networks import create_network
        from repro.networks.passing import refuse

        torch.manual_seed(self.seed)
        network = create_network(self.target, **self.options)
        if any(tensor.is_meta for tensor in network.state_dict().values()):
            refuse(network)
        device = device_named(self.device)
        transform = _transform(network)
        assert self.images is not None
        images, labels = read_images(self.images, self.probe_size, transform)
        others = self.held_out
        held_out = None if others is None else read_images(others, len(images), transform)[0].to(device)
        return Subject(
            label=self.target.replace("/", "-").replace(":", "-"),
            network=network.to(device).eval(),
            images=images.to(device),
            labels=None if labels is None else labels.to(device),
            held_out=held_out,
        )


def device_named(name: str) -> Any:
    """The device that is meant by auto, cpu or cuda."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        if not name.startswith(("cpu", "cuda")):
            raise UserError(f"--device {name} is not available; allowed: auto, cpu, cuda")
        return torch.zeros(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name} is not available ({first_line(error)}); allowed: auto, cpu, cuda") from error


def restored(config: Config, checkpoint: Path, device: Any) -> tuple[Classifier, ImageData, dict[str, Any]]:
    """A run's module at a checkpoint, on a device, and its data, for one process; and what the checkpoint holds."""
    from repro.distributed.processes import alone
    from repro.runs.build import restore

    experiment, content = restore(alone(config), checkpoint)
    experiment.data.setup("fit")
    return experiment.module.to(device), experiment.data, content


def _transform(network: nn.Module) -> Any:
    """How a network wants its images: as timm's data configuration says, which falls back on ImageNet's."""
    from timm.data.config import resolve_model_data_config
    from timm.data.transforms_factory import create_transform

    return create_transform(**resolve_model_data_config(network), is_training=False)


def read_images(folder: Path, count: int, transform: Any) -> tuple[Tensor, Tensor | None]:
    """Images evenly spaced over the sorted files of a folder; labels if all lie in subfolders, one a class."""
    import torch

    from repro.data.loading.image_file import open_rgb
    from repro.data.preparation.layout import SUFFIXES, is_image

    files = sorted(path for path in folder.rglob("*") if is_image(path.name) and not path.is_dir())
    if len(files) < 2:
        raise UserError(f"'{folder}' holds {len(files)} images ({', '.join(SUFFIXES)}); a measurement needs 2 or more")
    if count > len(files):
        say(f"'{folder}' holds {len(files)} images; all are taken, not {count}")
    count = min(count, len(files))
    chosen = [files[index * len(files) // count] for index in range(count)]
    tensors = [transform(open_rgb(path)) for path in chosen]
    if any(path.parent == folder for path in files):
        return torch.stack(tensors), None
    classes = {
        name: number for number, name in enumerate(sorted({path.relative_to(folder).parts[0] for path in files}))
    }
    labels = torch.tensor([classes[path.relative_to(folder).parts[0]] for path in chosen])
    return torch.stack(tensors), labels
