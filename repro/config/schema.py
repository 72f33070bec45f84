"""Everything a run can be told: typed, frozen, torch-free dataclasses with a docstring under each field.

The field names are the flags (`--model.network resnet110`) and the YAML keys. Defaults are the decisions of the project
for Oyedotun's experiments, at the scale of a laptop; `configs/` holds each paper's own settings.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from repro.config.bounds import at_least, require, require_name, require_plain
from repro.errors import unknown
from repro.networks.options import CHOSEN, Dial, NetworkOptions, is_dial, kind

MOST_EPOCHS, MOST_STEPS = 10**6, 10**9
"""More than anybody trains, and few enough that their product fits into what counts them."""


@dataclass(frozen=True, kw_only=True)
class _Named:
    network: str = "resnet110"
    """Family and depth (plainnet110, resnet164, resnext200, diracnet110), timm/NAME, or package.module:Name."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig(NetworkOptions, _Named):  # the fields of the last base come first
    """The network. Each flag changes one thing and keeps the rest."""

    skip_neurons: int | Literal["train"] | None = None
    """Connect this many random hidden neurons to the output (Nguyen); train: one for each training image."""
    skip_seed: int = 0
    """Seed of the random choice of these neurons."""
    skip_head: Literal["add", "replace", "fill"] = "add"
    """Output from the output layer and these neurons (add), from these neurons alone (replace), or from what the output
    layer reads, filled up to skip_neurons (fill)."""
    skip_scale: Dial | None = None
    """Factor of the skip connections to the output: 0 to 1, or learned (starts at 1). Default: 1."""
    train: Literal["all", "output"] = "all"
    """Train all weights, or only the output layer on features that are computed once (Nguyen's "rand")."""
    solver: Literal["sgd", "exact"] = "sgd"
    """How train output works: by SGD, or by the least-norm solution for one-hot targets, in float64 (exact)."""

    def __post_init__(self) -> None:
        at_least(self, "model", **{name: 1 for name in CHOSEN if kind(name) is int})
        for name in CHOSEN:
            require(kind(name) is not float or getattr(self, name) > 0, f"model.{name}", getattr(self, name), "above 0")
        for name in ("skip_scale", *(name for name in CHOSEN if kind(name) == Dial)):
            value = getattr(self, name)
            require(value is None or is_dial(value), f"model.{name}", value, "a number from 0 to 1, or learned")
        some = self.skip_neurons in (None, "train") or int(self.skip_neurons) >= 1
        require(some, "model.skip_neurons", self.skip_neurons, "1 or more, or train")
        require(0 <= self.skip_seed < 2**63, "model.skip_seed", self.skip_seed, "0 to 2**63 - 1")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The images and the batches."""

    name: str = "MNIST5k"
    """Data set: a name, or package.module:Name."""
    root: str = "data"
    """Folder that holds prepared data sets (`repro data prepare`)."""
    batch_size: int | Literal["full"] = 128
    """Images in one training step, over all processes together; full: all training images in one step."""
    evaluation_batch_size: int = 500
    """Images in one evaluation step of one process; changes results by rounding only."""
    train_size: int | None = None
    """Keep this many training images. Default: all."""
    validation_size: int = 0
    """Training images set aside for validation."""
    test_size: int | None = None
    """Evaluate on this many of the test images (ImageNet: of its validation images). Default: all."""
    split: Literal["balanced", "random", "first"] = "balanced"
    """How subsets are chosen: class-balanced or at random (both with data.seed), or the first images of the files."""
    seed: int = 0
    """Seed of the choice of subsets; the run's own seed does not change which images are used."""
    normalization: Literal["mean_deviation", "none", "raw"] = "mean_deviation"
    """Pixels minus the training set's mean, over its deviation, by channel; or in [0, 1] (none); or 0 to 255 (raw)."""
    augmentation: Literal["none", "crop_flip", "resized_crop_flip"] = "none"
    """Random flip and random crop after 4 pixels of padding; or, for photographs, a crop of random area and shape."""
    padding: Literal["zero", "reflect"] = "zero"
    """What surrounds a small image that is cropped: zeros, or its reflection."""
    residence: Literal["auto", "device", "host"] = "auto"
    """Where small images are kept as uint8: on the training device (auto: if they fit), or in the host's memory."""
    image_size: int | None = None
    """Side of the square images of ImageNet and ImageFolder. Default: 224."""
    resize_size: int | None = None
    """Shorter side of these images before the centre is cropped for evaluation. Default: image_size · 256 / 224."""
    orientation: Literal["stored", "exif"] = "stored"
    """Photographs as they are stored, which is how torchvision reads them, or rotated by their EXIF data."""
    workers: int | None = None
    """Processes that decode photographs, for each training process; 0: none. Default: its share of the processors."""
    arguments: dict[str, Any] | None = None
    """Further keyword arguments for package.module:Name."""

    def __post_init__(self) -> None:
        some = self.batch_size == "full" or int(self.batch_size) >= 1
        require(some, "data.batch_size", self.batch_size, "1 or more, or full")
        at_least(self, "data", evaluation_batch_size=1, train_size=1, validation_size=0, test_size=1)
        at_least(self, "data", image_size=8, workers=0, seed=0)
        larger = self.resize_size is None or self.resize_size >= (self.image_size or 224)
        require(larger, "data.resize_size", self.resize_size, f"data.image_size {self.image_size or 224} or more")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The optimiser, the learning rate, and when training ends."""

    optimizer: Literal["sgd", "adamw", "muon"] = "sgd"
    """SGD; AdamW; or Muon for hidden matrices and kernels, with AdamW for the rest (docs/training.md)."""
    loss: Literal["cross_entropy", "square", "hinge"] = "cross_entropy"
    """Softmax cross-entropy, half the squared distance from the one-hot target, or the multi-class hinge loss."""
    learning_rate: float = 0.1
    """Learning rate after the warm-up (Oyedotun 6.1: 0.1 to 0.0001)."""
    momentum: float = 0.9
    """Momentum of SGD (Oyedotun 6.1: 0.1 to 0.9) and Muon; with adamw β1, the decay of the mean gradient."""
    nesterov: bool = False
    """Nesterov's momentum (Nguyen, section 4)."""
    weight_decay: float = 1e-4
    """sgd: the objective has weight_decay / 2 times the sum of squared parameters; adamw, muon: decoupled decay."""
    spectral_penalty: float = 0.0
    """Weight of a penalty on unequal singular values, summed over layers (Oyedotun 6.5 (b)); 0: none."""
    warmup_steps: int = 400
    """Number of steps with warmup_learning_rate at the start."""
    warmup_learning_rate: float = 0.01
    """Learning rate during the warm-up."""
    schedule: Literal["milestones", "cosine", "constant"] = "milestones"
    """After the warm-up: a step down at each milestone, half a cosine down to 0, or a constant rate."""
    milestones: tuple[float, ...] = (0.5, 0.75)
    """When schedule milestones multiplies the learning rate by factor, as shares of all steps."""
    factor: float = 0.1
    """Factor of the learning rate at each milestone."""
    clip_gradients: float | None = None
    """Largest norm of the gradient of all parameters together; a larger one is scaled down. Default: no limit."""
    max_steps: int | None = None
    """End after this many steps, even within an epoch. Default: trainer.max_epochs alone decides."""
    stop_when: str | None = None
    """End the run when this condition on recorded numbers holds, such as "train_accuracy < 12 and step >= 100"."""
    batch_statistics: Literal["synchronised", "local"] = "synchronised"
    """Batch normalisation over the whole batch, or over each process's part of it (faster); for several processes."""

    def __post_init__(self) -> None:
        for key in ("learning_rate", "warmup_learning_rate", "factor"):
            require(getattr(self, key) > 0, f"training.{key}", getattr(self, key), "above 0")
        require(0 <= self.momentum < 1, "training.momentum", self.momentum, "0 to below 1")
        at_least(self, "training", weight_decay=0, spectral_penalty=0, warmup_steps=0)
        clip, steps = self.clip_gradients, self.max_steps
        require(clip is None or clip > 0, "training.clip_gradients", clip, "above 0, or null")
        some = steps is None or 1 <= steps <= MOST_STEPS
        require(some, "training.max_steps", steps, f"1 to {MOST_STEPS:,}, or null")
        ordered = list(self.milestones) == sorted(set(self.milestones))
        within = all(0 < milestone < 1 for milestone in self.milestones)
        require(ordered and within, "training.milestones", self.milestones, "rising shares between 0 and 1")
        require(not (self.nesterov and self.momentum == 0), "training.nesterov", True, "only with momentum above 0")
        nesterov = self.nesterov and self.optimizer == "adamw"
        require(not nesterov, "training.nesterov", True, "only with training.optimizer sgd or muon")


@dataclass(frozen=True, kw_only=True)
class MeasureConfig:
    """What is measured on the network while it trains. Measuring never changes the training."""

    measurements: tuple[str, ...] = ("weights", "representations")
    """Names of measurements (explained at the end of this help); [] measures nothing."""
    every_n_epochs: int = 1
    """Measure at the end of every n-th epoch and of the last one."""
    at_steps: tuple[int, ...] | Literal["log"] = ()
    """Measure after these steps, too (log: after 1, 2, 4, 8, ...); the start and the end are always measured."""
    every_n_steps: dict[str, int] = field(default_factory=dict)
    """Measurements that are taken every n steps, too, such as {distributions: 50}."""
    layers: tuple[int, ...] = (1, -3)
    """Layers for distributions and curvature, counted from 1, or from the end if negative (-3 is layer 108 of 110)."""
    probe_size: int = 128
    """Size of the probe: the first training images, not augmented (N in Oyedotun's Definition 2)."""
    spectra: bool = False
    """Keep all singular values, for repro spectra (megabytes at each measurement of operators)."""
    probe_mode: Literal["eval", "train"] = "eval"
    """Normalise with the running statistics (eval) or with the probe's own (train) while measuring."""

    def __post_init__(self) -> None:
        at_least(self, "measure", every_n_epochs=1, probe_size=2)
        named = self.at_steps == "log" or all(isinstance(step, int) and step >= 0 for step in self.at_steps)
        require(named, "measure.at_steps", self.at_steps, "steps from 0, or log")
        require(
            all(n >= 1 for n in self.every_n_steps.values()), "measure.every_n_steps", self.every_n_steps, "1 or more"
        )
        require(0 not in self.layers, "measure.layers", self.layers, "numbers from 1, or from -1 down")


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """How long and on which devices to train, and when to save (Lightning's Trainer)."""

    max_epochs: int = 10
    """Number of epochs. Another number makes another run."""
    precision: Literal["32", "tf32", "bf16"] = "32"
    """float32; float32 with TF32 products on a GPU; or bfloat16 autocast. Part of the run's identity."""
    compile: Literal["none", "blocks", "network"] = "none"
    """Compile the training pass: each kind of repeated block, or the whole network. Results differ by rounding."""
    compile_mode: Literal["default", "reduce-overhead", "max-autotune"] = "default"
    """Mode of torch.compile: reduce-overhead uses CUDA graphs, max-autotune times several kernels."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Kind of device to train on."""
    devices: int | Literal["auto"] = "auto"
    """Devices on each node; auto: all visible GPUs, or one process on a CPU."""
    num_nodes: int = 1
    """Number of nodes."""
    checkpoint_every_n_epochs: int = 1
    """Save a checkpoint at the end of every n-th epoch and of the last one."""
    checkpoint_every_n_steps: int | None = None
    """Save a checkpoint after every n-th step, too."""
    checkpoint_every_n_minutes: float | None = 10.0
    """Save a checkpoint within an epoch when the last one is this old; null: never."""
    keep_checkpoints: int = 2
    """How many of the newest checkpoints to keep."""
    evaluate_every_n_epochs: int = 1
    """Evaluate on held-out data at the end of every n-th epoch and of the last one."""
    progress: Literal["auto", "bar", "lines", "none"] = "auto"
    """A progress bar, one line for each epoch, or nothing; auto: a bar on a terminal, otherwise lines."""

    def __post_init__(self) -> None:
        epochs = self.max_epochs
        require(1 <= epochs <= MOST_EPOCHS, "trainer.max_epochs", epochs, f"1 to {MOST_EPOCHS:,}")
        at_least(self, "trainer", num_nodes=1, keep_checkpoints=1)
        at_least(self, "trainer", checkpoint_every_n_epochs=1, evaluate_every_n_epochs=1)
        require(self.devices == "auto" or int(self.devices) >= 1, "trainer.devices", self.devices, "auto, 1 or more")
        steps, minutes = self.checkpoint_every_n_steps, self.checkpoint_every_n_minutes
        require(steps is None or steps >= 1, "trainer.checkpoint_every_n_steps", steps, "1 or more, or null")
        require(minutes is None or minutes > 0, "trainer.checkpoint_every_n_minutes", minutes, "above 0, or null")


OTHER_LOGGERS = ("tensorboard", "csv", "mlflow")


@dataclass(frozen=True, kw_only=True)
class LogConfig:
    """Where numbers are sent; the run directory always has all of them."""

    wandb: Literal["offline", "online", "disabled"] | None = None
    """Weights & Biases mode. Default: WANDB_MODE, or else offline, even if you are logged in."""
    project: str | None = None
    """W&B project. Default: WANDB_PROJECT, or else repro."""
    entity: str | None = None
    """W&B user or team. Default: WANDB_ENTITY, or else the account's default."""
    pictures: bool = False
    """Also send our figures to W&B, as pictures."""
    places: bool = False
    """Also send the git remote, the program, details of the machine and absolute paths to W&B."""
    also: str | None = None
    """Further loggers of Lightning: tensorboard, csv, mlflow; several are separated by commas."""
    every_n_steps: int = 10
    """Record the training loss every n steps."""

    def __post_init__(self) -> None:
        at_least(self, "log", every_n_steps=1)
        for name in self.other_loggers:
            if name not in OTHER_LOGGERS:
                raise unknown("logger in log.also", name, OTHER_LOGGERS)

    @property
    def other_loggers(self) -> tuple[str, ...]:
        """The names in `also`."""
        return tuple(dict.fromkeys(name.strip() for name in (self.also or "").split(",") if name.strip()))


@dataclass(frozen=True, kw_only=True)
class Config:
    """One run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    log: LogConfig = field(default_factory=LogConfig)
    seed: int = 0
    """Seed of the initial weights, and of the order and augmentation of the images."""
    runs: str = "runs"
    """Folder of all run directories."""
    study: str = "single"
    """Folder of this run within the folder of --runs; a study uses its own name."""
    name: str | None = None
    """First part of the run's name. Default: the network and what differs from the configuration file."""

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**31, "seed", self.seed, "0 to 2147483647")
        for key in ("study", "name"):
            if (text := getattr(self, key)) is not None:
                require_name(text, key)
        for group, values in dataclasses.asdict(self).items():
            for key, value in values.items() if isinstance(values, dict) else [("", values)]:
                require_plain(value, f"{group}.{key}" if key else group)
