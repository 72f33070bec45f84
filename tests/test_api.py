"""`repro.build` and `repro.restore`: the Lightning parts in a stranger's script."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

import repro
from repro.config import from_mapping
from repro.distributed.processes import alone
from repro.errors import UserError
from repro.networks.skip import SkipToOutput
from repro.records import RunDirectory
from repro.runs.start import start

ROOT = Path(__file__).parents[1]
SMALL = {
    "model": {"network": "mlp", "hidden": [12]},
    "data": {"train_size": 200, "validation_size": 100, "test_size": 100, "batch_size": 50},
    "training": {"warmup_steps": 1},
}
QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    trainer = {"max_epochs": 2, "accelerator": "cpu"}
    config = from_mapping({**SMALL, "trainer": trainer, "log": {"wandb": "disabled"}})
    return start(dataclasses.replace(config, runs=str(tmp_path_factory.mktemp("runs")))).run


def test_a_strangers_trainer_trains_watches_and_logs_them(tmp_path: Path) -> None:
    parts = repro.build(**SMALL, seed=1)
    best = ModelCheckpoint(tmp_path / "best", monitor="validation/accuracy", mode="max")
    patient = EarlyStopping("train/cross_entropy", check_on_train_epoch_end=True)
    trainer = Trainer(
        max_epochs=2, logger=CSVLogger(tmp_path / "logs"), callbacks=[best, patient], log_every_n_steps=1, **QUIET
    )
    trainer.fit(parts.module, parts.data)
    frame = pd.read_csv(Path(trainer.logger.log_dir) / "metrics.csv")  # type: ignore[union-attr,arg-type]
    logged = frame["validation/accuracy"].dropna()
    assert len(logged) == 2
    assert best.best_model_score is not None
    assert float(best.best_model_score) == pytest.approx(logged.max(), rel=1e-6)
    trainer.test(parts.module, parts.data, verbose=False)
    tested = trainer.callback_metrics
    assert tested["test/accuracy"].item() == pytest.approx(parts.module.final["test_accuracy"], rel=1e-6)
    assert {"train/accuracy", "validation/accuracy", "test/cross_entropy"} <= set(tested)


def test_they_are_those_of_repro_fit(run: RunDirectory) -> None:
    parts = repro.build(**SMALL)
    trainer = Trainer(max_epochs=2, logger=False, enable_checkpointing=False, **QUIET)
    trainer.fit(parts.module, parts.data)
    content = torch.load(run.saved_checkpoints()[-1], weights_only=True)
    for name, value in parts.module.network.state_dict().items():
        assert torch.equal(value, content["state_dict"][f"network.{name}"])


def test_a_configuration_file_is_what_options_differ_from() -> None:
    parts = repro.build(ROOT / "configs" / "nguyen-mnist5k.yaml", model={"skip_neurons": 30, "width": 4})
    assert isinstance(parts.module.network, SkipToOutput)
    assert parts.config.model.network == "cnn13"
    assert parts.config.model.activation == "sigmoid"
    scores = parts.module(torch.zeros(2, 1, 28, 28))
    assert scores.shape == (2, 10)


def test_a_run_is_restored_with_its_weights(run: RunDirectory) -> None:
    for path in (run.path, run.saved_checkpoints()[-1]):
        restored = repro.restore(path)
        assert not restored.module.network.training
        right, images = 0, 0
        for batch, labels in restored.data.test_dataloader()[-1]:
            right += int((restored.module(batch).argmax(1) == labels).sum())
            images += len(labels)
        assert right / images == pytest.approx(run.state["final"]["test_accuracy"], rel=1e-6)
    frame = repro.measure(restored.module.network, restored.data.probe(50)[0])
    assert set(frame["layer"]) >= {1, 2}


def test_a_run_of_many_gpus_is_restored_where_there_is_none(run: RunDirectory, tmp_path: Path) -> None:
    copy = RunDirectory(tmp_path / "single" / run.name)
    shutil.copytree(run.path, copy.path)
    text = copy.config_path.read_text(encoding="utf-8")
    for key, value in {
        "accelerator": "gpu",
        "devices": 8,
        "num_nodes": 2,
        "compile": "blocks",
    }.items():
        text, count = re.subn(rf"^  {key}: .*$", f"  {key}: {value}", text, flags=re.MULTILINE)
        assert count == 1, key
    copy.config_path.write_text(text, encoding="utf-8")
    assert repro.restore(copy.path).module.network.state_dict().keys()


def test_alone_is_one_process() -> None:
    config = alone(from_mapping({"trainer": {"devices": 4, "num_nodes": 3, "compile": "blocks"}}), accelerator="cpu")
    assert (config.trainer.devices, config.trainer.num_nodes, config.trainer.compile) == (1, 1, "none")
    assert config.trainer.accelerator == "cpu"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"model": {"netwrk": "resnet20"}}, "model.netwrk"),
        ({"model": "resnet20"}, "it holds keys and values"),
        ({"model": {"network": "resnet21"}}, "given: 21"),
        ({"data": {"train_size": 10**6}}, "data.train_size"),
    ],
)
def test_mistakes_are_told_before_anything_is_built(options: dict[str, object], told: str) -> None:
    with pytest.raises(UserError, match=told):
        repro.build(**options)


def test_what_is_not_there_is_told(run: RunDirectory, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing"):
        repro.restore(tmp_path / "nothing")
    with pytest.raises(UserError, match="cannot use checkpoint"):
        repro.restore(run.path, model={"hidden": [13]})


@pytest.mark.slow
def test_the_documents_script_runs(run: RunDirectory, tmp_path: Path) -> None:
    blocks = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "measure.md").read_text(encoding="utf-8"), flags=re.DOTALL
    )
    (script,) = [block for block in blocks if "repro.build" in block]
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    shutil.copytree(run.path, tmp_path / "runs" / "single" / "RUN")
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
