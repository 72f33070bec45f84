"""The real W&B client, offline; its log is decoded with W&B's own protobuf messages."""

from __future__ import annotations

import json
import struct
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wandb.proto.wandb_internal_pb2 import Record

from repro.config import LogConfig, from_mapping
from repro.records import RunDirectory, metrics
from repro.training import wandb_logger
from repro.training.runs import start

BLOCK = 32_768


def decode(log: Path) -> Iterator[Record]:
    """The records of an offline log: LevelDB's framing after a header of seven bytes."""
    content = log.read_bytes()
    position, message = 7, b""
    while position + 7 <= len(content):
        if BLOCK - position % BLOCK < 7:  # a block's tail too short for a header is filled up
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        message += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or last part
            yield Record.FromString(message)
            message = b""


def history(records: list[Record]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for record in records:
        if record.WhichOneof("record_type") == "history":
            row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            for key, value in row.items():
                if isinstance(value, int | float | str) and not key.startswith("_"):
                    found[key].append((row.get("trainer/global_step"), value))
    return found


def small(tmp_path: Path, **changes: Any) -> Any:
    return from_mapping(
        {
            "model": {"network": "resnet8", "width": 4},
            "data": {"train_size": 64, "batch_size": 32, "evaluation_batch_size": 1000},
            "trainer": {"max_epochs": 2, "progress": "none", "accelerator": "cpu"},
            "measure": {"probe_size": 16},
            "log": {"wandb": "offline", "every_n_steps": 1},
            "runs": str(tmp_path),
            **changes,
        }
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # W&B's own
        return start(small(tmp_path_factory.mktemp("runs"), log={"wandb": "offline", "every_n_steps": 1})).run


@pytest.fixture(scope="module")
def log(run: RunDirectory) -> list[Record]:
    (path,) = run.path.rglob("*.wandb")
    return list(decode(path))


def test_every_metric_of_the_record_is_in_the_log_at_its_step(run: RunDirectory, log: list[Record]) -> None:
    logged = history(log)
    table = metrics(run)
    assert len(table) > 20
    for name, rows in table.groupby("metric"):
        assert logged[str(name)] == list(zip(rows["step"], rows["value"], strict=True))


def test_the_configuration_the_name_and_the_id_are_the_runs(run: RunDirectory, log: list[Record]) -> None:
    (started,) = [record.run for record in log if record.WhichOneof("record_type") == "run"][:1]
    assert (started.run_id, started.display_name, started.run_group) == (run.state["wandb_id"], run.name, "single")
    config = {item.key: json.loads(item.value_json) for item in started.config.update}
    assert config["model.network"] == "resnet8"
    assert config["data.batch_size"] == 32
    assert config["training.milestones"] == [0.5, 0.75]


def test_each_measuring_logs_tables_and_charts(run: RunDirectory, log: list[Record]) -> None:
    kinds: dict[tuple[str, str], int] = defaultdict(int)
    for record in log:
        if record.WhichOneof("record_type") == "history":
            for item in record.history.item:
                name, _, last = (item.key or "/".join(item.nested_key)).rpartition("/")
                if last == "_type":
                    kinds[name, json.loads(item.value_json)] += 1
    assert kinds == {
        ("readings/weights", "table-file"): 3,
        ("readings/representations", "table-file"): 3,
        ("charts/weights", "image-file"): 3,
        ("charts/representations", "image-file"): 3,
        **{key: 1 for key in kinds if key[0].startswith("report/")},
    }
    assert {"report/training-curves", "report/weights", "report/representations"} <= {name for name, _ in kinds}
    assert len(list(run.path.rglob("*.png"))) >= 6


def test_a_failing_wandb_does_not_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise OSError("the disk of W&B is full")

    monkeypatch.setattr("wandb.init", broken)
    with pytest.warns(UserWarning, match=r"W&B failed and is off .* the disk of W&B is full"):
        outcome = start(small(tmp_path))
    assert outcome.state["status"] == "finished"
    assert len(metrics(outcome.run)) > 20


def test_online_without_a_login_goes_on_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.warns(UserWarning, match="no login"):
        logger = wandb_logger.RunWandbLogger(
            RunDirectory.prepare(tmp_path / "run", ""),
            log=LogConfig(wandb="online"),
            config={},
            identifier="abc",
        )
    assert logger._offline


@pytest.mark.parametrize(
    ("flag", "variable", "mode"),
    [
        (None, None, "offline"),
        (None, "online", "online"),
        (None, "disabled", "disabled"),
        (None, "dryrun", "offline"),
        ("offline", "online", "offline"),
        ("online", "disabled", "online"),
    ],
)
def test_the_mode_is_the_flags_then_the_environments_then_offline(
    flag: Any, variable: str | None, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable is None:
        monkeypatch.delenv("WANDB_MODE", raising=False)
    else:
        monkeypatch.setenv("WANDB_MODE", variable)
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)  # a login is no request
    assert wandb_logger.mode(LogConfig(wandb=flag)) == mode
