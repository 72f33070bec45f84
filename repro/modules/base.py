"""A network by name as a LightningModule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from repro.config import checked
from repro.errors import UserError
from repro.networks import create_network
from repro.networks.activations import Activation
from repro.networks.options import Dial, Initialization
from repro.networks.skip import Head, connect
from repro.training.classifier import Classifier


class NamedClassifier(Classifier):
    """A network by name, trained by one of torch's optimisers.

    Args:
        name: A network's name, such as ``resnet110`` or ``timm/NAME`` (`repro.networks.create_network`).
        options: The network's own options.
        own: What the class's constructor takes beside the arguments below, for checkpoints. Default: the options.
        num_classes: Number of classes.
        in_channels: Number of channels of the images.
        image_size: Height and width of the images.
        activation: Activation function.
        gamma: Softplus is (1/gamma) log(1 + exp(gamma t)).
        slope: What leaky_relu multiplies negative numbers by.
        initialization: Gaussian of variance 2 / fan-in (he); the same, truncated, without or with a corrected variance;
            Glorot's; orthogonal unfolded kernel, or orthogonal centre (`repro.networks.initialization`).
        loss: The loss, without penalties.
        optimizer: SGD; AdamW; or Muon for hidden matrices and kernels, with AdamW for the rest.
        learning_rate: Learning rate after the warm-up.
        momentum: Momentum of SGD and Muon; with adamw, β1.
        nesterov: Use Nesterov's momentum.
        weight_decay: sgd: the objective is the loss + weight_decay / 2 times the sum of all squared parameters;
            adamw and muon: decoupled weight decay.
        spectral_penalty: Weight of a penalty on unequal singular values; 0: none.
        warmup_steps: Number of steps with `warmup_learning_rate` at the start.
        warmup_learning_rate: The learning rate of the warm-up.
        schedule: After the warm-up: a step down at each milestone, half a cosine down to 0, or a constant rate.
        milestones: When the learning rate is multiplied by `factor`, as shares of all steps.
        factor: Factor of the learning rate at each milestone.
        every_n_steps: Record ``step/...`` metrics every n steps.
        neurons: Number of hidden neurons, chosen at random, to connect to the output.
        skip_seed: Seed of this choice.
        skip_head: Output from the output layer and these neurons (add), from these neurons alone (replace), or from
            what the output layer reads, filled up to `neurons` (fill).
        skip_scale: Factor of the skip connections to the output: above 0 and at most 1, or ``learned``.

    Raises:
        UserError: The network, its depth or an option is unknown, or the network does not take the option.
    """

    def __init__(
        self,
        name: str,
        options: Mapping[str, Any] | None = None,
        *,
        own: Mapping[str, Any] | None = None,
        num_classes: int = 10,
        in_channels: int = 3,
        image_size: int = 32,
        activation: Activation = "relu",
        gamma: float = 20.0,
        slope: float = 0.01,
        initialization: Initialization = "he",
        loss: Literal["cross_entropy", "square", "hinge"] = "cross_entropy",
        optimizer: Literal["sgd", "adamw", "muon"] = "sgd",
        learning_rate: float = 0.1,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 1e-4,
        spectral_penalty: float = 0.0,
        warmup_steps: int = 400,
        warmup_learning_rate: float = 0.01,
        schedule: Literal["milestones", "cosine", "constant"] = "milestones",
        milestones: tuple[float, ...] = (0.5, 0.75),
        factor: float = 0.1,
        every_n_steps: int = 10,
        neurons: int | None = None,
        skip_seed: int = 0,
        skip_head: Head = "add",
        skip_scale: Dial = 1.0,
    ) -> None:
        facts: dict[str, Any] = {"num_classes": num_classes, "in_channels": in_channels, "image_size": image_size}
        drawn: dict[str, Any] = {
            "activation": activation,
            "gamma": gamma,
            "slope": slope,
            "initialization": initialization,
        }
        network = create_network(name, **facts, **drawn, **(options or {}))
        if neurons is not None:
            image = torch.zeros(1, in_channels, image_size, image_size)
            skips: dict[str, Any] = {"num_classes": num_classes, "head": skip_head, "scale": skip_scale}
            network = connect(network, neurons, skip_seed, image=image, initialization=initialization, **skips)
        trained = {
            "loss": loss,
            "optimizer": optimizer,
            "learning_rate": learning_rate,
            "momentum": momentum,
            "nesterov": nesterov,
            "weight_decay": weight_decay,
            "spectral_penalty": spectral_penalty,
            "warmup_steps": warmup_steps,
            "warmup_learning_rate": warmup_learning_rate,
            "schedule": schedule,
            "milestones": milestones,
            "factor": factor,
        }
        training = checked(type(self).__name__, training=trained).training
        network = network.to(memory_format=torch.channels_last)
        super().__init__(network, num_classes=num_classes, training=training, every_n_steps=every_n_steps)
        # Lightning reads the arguments from the constructors' frames, up to one that a decorator has made.
        self.save_hyperparameters(ignore=["options", "name", "own"])
        self.save_hyperparameters(dict((options or {}) if own is None else own))

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Class scores (logits) of images; `UserError` for images of other channels than it was made for."""
        if (channels := images.shape[1]) != (made := self.hparams["in_channels"]):
            raise UserError(
                f"{type(self).__name__} has {made} channels, the images have {channels}; pass in_channels={channels}"
            )
        return super().forward(images)
