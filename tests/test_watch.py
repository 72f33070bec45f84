"""Measuring from a plain loop, and drawing in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import repro
from repro.errors import UserError
from repro.records import RunDirectory, metrics, readings
from repro.report import build


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))


def loop(folder: Path, steps: range, *, learning_rate: float = 0.1) -> tuple[nn.Module, list[pd.DataFrame]]:
    """Plain PyTorch."""
    net = network()
    images, labels = torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(12) % 3
    optimizer = torch.optim.SGD(net.parameters(), learning_rate)
    frames = []
    measurements = ["weights", "gradients", "updates"]
    with repro.Watch(folder, net, images, labels, measurements=measurements, optimizer=optimizer) as watch:
        for step in steps:
            loss = nn.functional.cross_entropy(net(images), labels)
            frames.append(watch(step, epoch=step, metrics={"train/cross_entropy": loss.item()}))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net, frames


def test_a_plain_loop_leaves_a_run_that_is_reported(tmp_path: Path) -> None:
    watched, frames = loop(tmp_path / "runs" / "mine", range(3))
    read = repro.records.readings(tmp_path / "runs" / "mine")
    assert sorted(set(read["step"])) == sorted(set(read["epoch"])) == [0, 1, 2]
    for step, frame in enumerate(frames):
        there = read[read["step"] == step].drop(columns=["step", "epoch"]).reset_index(drop=True)
        pd.testing.assert_frame_equal(there, frame.drop(columns="kind"), check_dtype=False)
    losses = repro.records.metrics(tmp_path / "runs" / "mine")
    assert losses["step"].tolist() == [0, 1, 2]
    assert losses["value"].is_monotonic_decreasing
    state = RunDirectory(tmp_path / "runs" / "mine").state
    assert (state["status"], state["step"]) == ("finished", 2)
    page = build([tmp_path / "runs"], tmp_path / "page").read_text(encoding="utf-8")
    assert "Sequential" in page
    assert 'id="figure' in page or "<svg" in page
    plain = network()
    images, labels = torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(12) % 3
    optimizer = torch.optim.SGD(plain.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(plain(images), labels).backward()
        optimizer.step()
    for one, other in zip(watched.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other), "watching changes nothing"


def test_the_same_folder_goes_on_and_the_last_reading_of_a_step_counts(tmp_path: Path) -> None:
    loop(tmp_path / "mine", range(3))
    _, frames = loop(tmp_path / "mine", range(2, 5), learning_rate=0.5)
    read = repro.records.readings(tmp_path / "mine")
    assert sorted(set(read["step"])) == [0, 1, 2, 3, 4]
    again = read[read["step"] == 2].drop(columns=["step", "epoch"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(again, frames[0].drop(columns="kind"), check_dtype=False)


def test_a_loop_that_fails_leaves_a_failed_run(tmp_path: Path) -> None:
    def fails() -> None:
        with repro.Watch(tmp_path / "mine", network(), torch.randn(4, 1, 8, 8)) as watch:
            watch(0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert RunDirectory(tmp_path / "mine").state["status"] == "failed"


@pytest.mark.parametrize("step", [-1, 1.5, "x", None, float("nan"), 2**63, True, torch.ones(2, dtype=torch.long)])
def test_a_step_that_is_none_leaves_the_record_as_it_was(step: Any, tmp_path: Path) -> None:
    with repro.Watch(tmp_path / "run", nn.Linear(4, 3), torch.randn(8, 4), measurements=["weights"]) as watch:
        for arguments in ({"step": step}, {"step": 3, "epoch": step}):
            with pytest.raises(UserError, match="allowed: a whole number from 0"):
                watch(**arguments)
    assert watch.run.status == "finished"
    assert readings(watch.run).empty


@pytest.mark.parametrize("value", ["1.5", None, [1], torch.ones(2), 10**400, {}])
def test_a_metric_that_is_no_number_leaves_the_record_as_it_was(value: Any, tmp_path: Path) -> None:
    with repro.Watch(tmp_path / "run", nn.Linear(4, 3), torch.randn(8, 4), measurements=["weights"]) as watch:
        for odd in ({"loss": value}, {"a\nb": 1.0}, "abc", [1]):
            with pytest.raises(UserError, match="metric"):
                watch(1, metrics=odd)  # type: ignore[arg-type]
    assert metrics(watch.run).empty
    assert readings(watch.run).empty


def test_numbers_of_numpy_and_torch_are_recorded(tmp_path: Path) -> None:
    loss = torch.tensor(1.5, requires_grad=True)
    with repro.Watch(tmp_path / "run", nn.Linear(4, 3), torch.randn(8, 4), measurements=["weights"]) as watch:
        watch(np.int64(3), epoch=torch.tensor(1), metrics={"train/loss": loss, "b": np.float32(0.5), "c": float("inf")})
    rows = metrics(watch.run)
    assert dict(zip(rows["metric"], rows["value"], strict=True)) == {"train/loss": 1.5, "b": 0.5, "c": float("inf")}
    assert set(readings(watch.run)["step"]) == {3}
    with pytest.raises(UserError, match="is closed"):
        watch(4)
    with pytest.raises(UserError, match="unknown status 'nonsense'"):
        watch.close("nonsense")


def test_mistakes_are_told(tmp_path: Path) -> None:
    images = torch.randn(4, 1, 8, 8)
    with pytest.raises(UserError, match="unknown measurement 'wights'; nearest: weights"):
        repro.Watch(tmp_path / "a", network(), images, measurements=["wights"])
    with repro.Watch(tmp_path / "a", network(), images), pytest.raises(UserError, match="is in use by process"):
        repro.Watch(tmp_path / "a", network(), images)
    with pytest.raises(UserError, match="is another network's run"):
        repro.Watch(tmp_path / "a", nn.Linear(3, 2), images)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="exists and is not a run directory"):
        repro.Watch(tmp_path / "b", network(), images)


def test_a_record_goes_on_with_a_network_of_its_form_and_tells_other_inputs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, images = nn.Sequential(nn.Linear(4, 4)), torch.randn(6, 4)
    with repro.Watch(tmp_path / "a", network, images, measurements=["weights"]) as watch:
        watch(0)
        network.append(nn.Linear(4, 2))
        assert set(watch(1)["name"]) == {"0", "1"}
    for other in (nn.Sequential(nn.Linear(4, 4)), nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 2))):
        with pytest.raises(UserError, match="of a network with other parameters"):
            repro.Watch(tmp_path / "a", other, images)
    for inputs in (images, {"input": images}, images + 1, images.cfloat() + 1, images > 0):
        capsys.readouterr()
        with repro.Watch(tmp_path / "a", network, inputs, measurements=["weights"]):
            alike = inputs is images or isinstance(inputs, dict)
            assert ("was measured on other inputs" in capsys.readouterr().err) != alike


def test_a_table_is_drawn_in_one_call() -> None:
    frame = repro.measure(network(), torch.randn(12, 1, 8, 8), measurements=["weights", "representations"])
    for name in (None, "representations"):
        axes = repro.plot(frame, name).axes
        assert sum(len(line.get_xdata()) for line in axes[0].get_lines()) >= 2  # type: ignore[arg-type]
    with pytest.raises(UserError, match="nothing to draw of gradients; it has weights, representations"):
        repro.plot(frame, "gradients")


@pytest.mark.parametrize("frame", [None, "readings.csv", pd.DataFrame({"a": [1]})])
def test_what_is_no_table_of_readings_is_not_drawn(frame: Any) -> None:
    with pytest.raises(UserError, match="has no column 'measurement'; pass one of repro.measure"):
        repro.plot(frame)


def test_a_folder_that_was_moved_is_told_in_one_line(tmp_path: Path) -> None:
    watch = repro.Watch(tmp_path / "a", nn.Linear(4, 3), torch.randn(8, 4), measurements=["weights"])
    watch(0)
    (tmp_path / "a").rename(tmp_path / "b")
    with pytest.raises(UserError, match=r"cannot record in '.*': No such file or directory; it may have been moved"):
        watch(1)
