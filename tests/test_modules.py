"""The networks and data sets by name, in a stranger's Trainer and in the stock LightningCLI."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer, seed_everything
from PIL import Image

import repro
from repro.config import TrainingConfig, from_mapping
from repro.data.registry import DATASETS
from repro.errors import UserError
from repro.modules import NamedClassifier
from repro.runs.start import start

# Notes of Lightning's and torch's own, which a stranger's Trainer shows.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{note}")
    for note in (".*LeafSpec", ".*does not have many workers", ".*in eval mode at the start", ".*tensorboardX")
]

NETWORKS: dict[str, dict[str, Any]] = {
    "PlainNet": {"depth": 8, "width": 4},
    "ResNet": {"depth": 8, "width": 4, "shortcut": "projection"},
    "ResNeXt": {"depth": 11, "width": 8, "groups": 2},
    "DiracNet": {"depth": 8, "width": 4, "diagonal": "held"},
    "CNN13": {"width": 2, "neurons": 20},
    "VGG": {"depth": 11, "width": 4},
    "DenseNet121": {},
    "SkipToOutput": {"network": "resnet8", "neurons": 15, "options": {"width": 4}},
}
SETS = ("MNIST", "MNIST5k", "CIFAR10", "CIFAR100", "ImageNet", "ImageFolder")
QUIET: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
QUIET |= {"enable_model_summary": False, "accelerator": "cpu"}
FEW: dict[str, Any] = {"batch_size": 4, "train_size": 12, "test_size": 10, "evaluation_batch_size": 50}


def arrays(name: str) -> Any:
    """As many random images as are needed, of a data set's form; its own files are tested elsewhere."""
    from repro.data.loading.arrays import Arrays

    known, generator = DATASETS[name], np.random.default_rng(0)
    size = (known.image_size, known.image_size, *([known.channels] if known.channels > 1 else []))
    labels = np.arange(200) % known.classes
    images = generator.integers(0, 256, (200, *size), dtype=np.uint8)
    return Arrays(images, labels, images, labels)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    generator = np.random.default_rng(0)
    for part in ("train", "val"):
        for label in ("cat", "dog"):
            (root / part / label).mkdir(parents=True)
            for number in range(8):
                pixels = generator.integers(0, 256, (40, 50, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / part / label / f"{number}.png")
    return root


def data(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    kind = getattr(repro, name)
    if name in ("ImageNet", "ImageFolder"):
        from repro.data.sources.imagenet import folder_tree

        monkeypatch.setattr(kind, "_look", lambda self: folder_tree(self.root))
        return kind(folder, image_size=32, workers=0, **{**FEW, "test_size": 8})
    monkeypatch.setattr(kind, "load", lambda self: arrays(type(self).__name__))
    return kind(**FEW)


PAIRS = [(network, name) for network in NETWORKS for name in SETS]
PAIRS = [(network, name) for network, name in PAIRS if not (network == "VGG" and "MNIST" in name)]  # 32 pixels or more
QUICK = [("ResNet", name) for name in SETS] + [(network, "CIFAR10") for network in NETWORKS if network != "DenseNet121"]


def slow(*values: Any, unless: bool) -> Any:
    return pytest.param(*values, marks=[] if unless else pytest.mark.slow)


@pytest.mark.parametrize(("network", "name"), [slow(*pair, unless=pair in QUICK) for pair in PAIRS])
def test_any_pair_trains_in_a_strangers_trainer(
    network: str, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = data(name, folder, monkeypatch)
    facts = {key: getattr(images, key) for key in ("num_classes", "in_channels", "image_size")}
    module = getattr(repro, network)(**NETWORKS[network], **facts, warmup_steps=1)
    assert isinstance(module, LightningModule)
    assert isinstance(images, LightningDataModule)
    watch = repro.MeasureCallback(probe_size=4, measurements=["weights"], every_n_epochs=5)
    trainer = Trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=1, callbacks=[watch], **QUIET)
    trainer.fit(module, datamodule=images)
    assert trainer.global_step == 1
    assert set(watch.table()["step"]) == {0, 1}
    assert {"train/accuracy", "test/accuracy"} <= set(trainer.callback_metrics)


@pytest.mark.parametrize(
    ("module", "config"),
    [
        (lambda: repro.ResNet(8, width=4, in_channels=1, image_size=28, warmup_steps=2, learning_rate=0.05),
         {"network": "resnet8", "width": 4}),
        (lambda: repro.CNN13(width=2, in_channels=1, image_size=28, warmup_steps=2, learning_rate=0.05, neurons=30,
                             skip_head="replace", activation="softplus", initialization="truncated"),
         {"network": "cnn13", "width": 2, "skip_neurons": 30, "skip_head": "replace", "activation": "softplus",
          "initialization": "truncated"}),
    ],
)  # fmt: skip
def test_the_same_seed_gives_the_numbers_of_repro_fit(
    module: Any, config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    few = {"batch_size": 32, "train_size": 100, "test_size": 50}
    run = start(
        from_mapping(
            {
                "model": config,
                "data": few,
                "training": {"warmup_steps": 2, "learning_rate": 0.05},
                "trainer": {"max_epochs": 2, "accelerator": "cpu", "progress": "none"},
                "measure": {"measurements": []},
                "seed": 3,
                "runs": str(tmp_path),
            }
        )
    ).run
    trained = torch.load(run.saved_checkpoints()[-1], weights_only=True)["state_dict"]
    seed_everything(3, verbose=False)
    mine = module()
    trainer = Trainer(max_epochs=2, **QUIET)
    trainer.fit(mine, datamodule=repro.MNIST5k(seed=3, **few))
    for name, value in mine.network.state_dict().items():
        assert torch.equal(value, trained[f"network.{name}"]), name
    trainer.test(mine, datamodule=repro.MNIST5k(seed=3, **few), verbose=False)
    assert mine.final == run.state["final"]


CLI = """
import numpy as np
from lightning.pytorch.cli import LightningCLI
import repro
from repro.data.loading.arrays import Arrays

class Small(repro.{data}):
    def load(self):
        images, labels = np.zeros((200, 32, 32, 3), np.uint8), np.arange(200) % 10
        return Arrays(images, labels, images, labels)

LightningCLI(repro.{network}, Small, seed_everything_default=0)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "network", [slow(network, unless=network in ("ResNet", "SkipToOutput")) for network in NETWORKS]
)
def test_the_stock_lightning_cli_takes_them(network: str, tmp_path: Path) -> None:
    """One pair of each network: what differs between data sets is their arguments, which the help lists."""
    (tmp_path / "main.py").write_text(CLI.format(network=network, data="CIFAR10"))
    options = {key: value for key, value in NETWORKS[network].items() if key != "options"}
    given = [f"--model.{key}={value}" for key, value in options.items()]
    if network == "SkipToOutput":
        given.append("--model.options={'width': 4}")
    given += ["--model.learning_rate=0.05"]
    given += [f"--data.{key}={value}" for key, value in FEW.items()]
    given += ["--trainer.callbacks=repro.MeasureCallback", "--trainer.callbacks.probe_size=4"]
    given += ["--trainer.callbacks.measurements=[weights]", "--trainer.callbacks.directory=readings"]
    given += ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--trainer.logger=false"]
    done = subprocess.run(
        [sys.executable, "main.py", "fit", *given], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "readings" / "readings.jsonl").stat().st_size > 100


HELP = """
import sys
from lightning.pytorch.cli import LightningCLI
import repro

for name in sys.argv[1:]:
    class Shown(LightningCLI):
        def instantiate_classes(self):
            pass

    print(Shown(repro.ResNet, getattr(repro, name), run=False, args=[]).parser.format_help(), end="\\f")
"""


@pytest.mark.slow
def test_every_data_set_shows_in_the_help_of_the_cli(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(HELP)
    asked = [sys.executable, "main.py", *SETS]
    said = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split("\f")
    for name, text in zip(SETS, said, strict=False):
        assert "--data.batch_size" in text
        assert "--model.shortcut" in text
        assert "--model.learning_rate" in text
        assert ("--data.padding" in text) == (name not in ("ImageNet", "ImageFolder"))


def test_their_defaults_are_those_of_the_configuration() -> None:
    parameters = inspect.signature(NamedClassifier).parameters
    # Of several processes, which the command line alone sets up; options of the Trainer.
    elsewhere = {"batch_statistics", "clip_gradients", "max_steps", "stop_when"}
    for field in dataclasses.fields(TrainingConfig):
        if field.name not in elsewhere:
            assert parameters[field.name].default == field.default, field.name


RELOADED = """
import torch
import repro
from lightning.pytorch import Trainer

module = repro.ResNet(8, width=4, in_channels=1, image_size=28, learning_rate=0.03)
trainer = Trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=0, logger=False, accelerator="cpu")
trainer.fit(module, datamodule=repro.MNIST5k(batch_size=4))
trainer.save_checkpoint("last.ckpt")
again = repro.ResNet.load_from_checkpoint("last.ckpt", weights_only=True)
assert again.training_config.learning_rate == 0.03
for name, value in module.network.state_dict().items():
    assert torch.equal(again.network.state_dict()[name], value)
"""


@pytest.mark.slow
def test_a_checkpoint_knows_its_arguments(tmp_path: Path) -> None:
    """As a user has it: no import hook stands between the constructors."""
    subprocess.run([sys.executable, "-c", RELOADED], cwd=tmp_path, check=True)


def test_mistakes_are_told_in_a_line() -> None:
    with pytest.raises(UserError, match="resnet has depths"):
        repro.ResNet(9)
    with pytest.raises(UserError, match="training.learning_rate is -1"):
        repro.VGG(11, learning_rate=-1.0)
    with pytest.raises(UserError, match="allowed: 1 to"):
        repro.SkipToOutput("resnet8", 10**9)
    for module, given, message in (
        (repro.VGG(11, width=4), (3, 28, 28), "images are 28 x 28, .* made for 32 x 32; .* image_size=28"),
        (repro.VGG(11, width=4), (3, 64, 64), "images are 64 x 64"),
        (repro.CNN13(width=4), (3, 64, 32), "images are 64 x 32, .* allowed: square ones"),
        (repro.ResNet(8, width=4), (1, 28, 28), "has 3 channels, the images have 1; pass in_channels=1"),
        (repro.SkipToOutput("vgg11", 5, {"width": 4}), (3, 16, 16), "images are 16 x 16"),
    ):
        with pytest.raises(UserError, match=message):
            module(torch.zeros(2, *given))


def test_dir_shows_what_there_is() -> None:
    assert {"ResNet", "MNIST", "measure", "MeasureCallback", "records"} <= set(dir(repro))
    for name in repro.__all__:
        assert getattr(repro, name).__doc__


def test_a_strangers_loader_is_the_test_set_and_two_are_refused() -> None:
    images, labels = torch.randn(6, 3, 8, 8), torch.arange(6)
    batches: Any = [(images[:3], labels[:3]), (images[3:], labels[3:])]
    loader = torch.utils.data.DataLoader(batches, batch_size=None, collate_fn=tuple)
    module, trainer = repro.ResNet(8, width=4, image_size=8), Trainer(**QUIET)
    trainer.test(module, loader, verbose=False)
    assert set(module.final) == {"test_accuracy", "test_cross_entropy"}
    expected = torch.nn.functional.cross_entropy(module.eval()(images), labels).item()
    assert module.final["test_cross_entropy"] == pytest.approx(expected, rel=1e-4)
    for evaluate in (trainer.test, trainer.validate):
        with pytest.raises(UserError, match="2 loaders to evaluate"):
            evaluate(module, [loader, loader], verbose=False)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_module_is_made_again_of_what_its_checkpoint_has(network: str) -> None:
    """Also where a decorator stands between the constructors, as the import hook of these tests."""
    module = getattr(repro, network)(**NETWORKS[network], activation="tanh", learning_rate=0.03)
    again = type(module)(**module.hparams)
    assert again.hparams == module.hparams
    assert again.hparams["learning_rate"] == 0.03
    assert str(again.network) == str(module.network)
    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in module.state_dict().items()
    }


def test_skips_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    module, trainer = (
        repro.SkipToOutput("resnet8", 15, {"width": 4}, image_size=8, skip_seed=3),
        Trainer(max_epochs=1, **QUIET),
    )
    loader = torch.utils.data.DataLoader(
        [(torch.randn(4, 3, 8, 8), torch.arange(4))], batch_size=None, collate_fn=tuple
    )
    trainer.fit(module, loader, loader)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    again = repro.SkipToOutput.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert again.hparams["options"] == {"width": 4}
    for name, value in module.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: repro.PlainNet(8, learning_rate=float("nan")), "training.learning_rate is nan"),
        (lambda: repro.ResNet(8, milestones=(0.9, 0.1)), "training.milestones is"),
        (lambda: repro.MNIST5k(batch_size=0), "data.batch_size is 0"),
        (lambda: repro.CIFAR10(validation_size=-1), "data.validation_size is -1"),
        (lambda: repro.MNIST5k(seed=-1), "seed is -1"),
    ],
)
def test_arguments_are_held_to_what_a_configuration_allows(make: Callable[[], object], message: str) -> None:
    """Of other kinds, too: see `repro.config.checked`. The tests' own checks of types would see those first."""
    with pytest.raises(UserError, match=message):
        make()
