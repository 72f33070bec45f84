"""Records of another form: each is refused by name, whoever reads them; what a crash tore is passed over."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from repro.errors import UserError
from repro.records import RunDirectory, metrics, readings, spectra
from repro.records.spectrum import FILE, pack
from repro.records.surface import PLAN, SurfaceRecord

DEEP = "[" * 100_000
METRIC = {"step": 1, "epoch": 0, "metrics": {"loss": 1.5}}
READING = {"step": 1, "epoch": 0, "measurement": "weights", "layer": 1, "name": "a", "mode": "", "values": {"k": "inf"}}


@pytest.mark.parametrize(
    ("file", "content"),
    [
        *(("state.json", text) for text in ("", "[1]", "null", '"x"', DEEP, '{"seconds": "x"}', '{"status": 3}')),
        *(("state.json", text) for text in ('{"final": [1]}', '{"final": {"a": "x"}}', '{"step": true}')),
        *(("environment.json", text) for text in ("", '{"a": "b"}', "[1]", '[{"host"', DEEP, '[{"versions": 3}]')),
    ],
)
def test_what_is_told_of_a_run_is_what_it_should_be(file: str, content: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(content)
    assert file in (RunDirectory(tmp_path).damage or "")


@pytest.mark.parametrize("file", ["state.json", "environment.json", "metrics.jsonl", "readings.jsonl"])
def test_a_folder_in_a_files_place_is_told(file: str, tmp_path: Path) -> None:
    (tmp_path / file).mkdir()
    run = RunDirectory(tmp_path)
    with pytest.raises(UserError, match=file):
        _ = run.state, run.lives, list(run.metric_lines()), list(run.reading_lines())
    assert run.last_step() == 0


@pytest.mark.parametrize("key", METRIC)
@pytest.mark.parametrize("value", ["x", [1], None, True, {"a": "much"}, 10**400])
def test_a_line_of_metrics_of_another_form_is_named(key: str, value: object, tmp_path: Path) -> None:
    whole, odd = json.dumps(METRIC), json.dumps({**METRIC, key: value})
    (tmp_path / "metrics.jsonl").write_text(f"{whole}\n{odd}\n")
    if key != "metrics" and value == 10**400:
        return
    with pytest.raises(UserError, match="record 2"):
        metrics(RunDirectory(tmp_path))


@pytest.mark.parametrize("key", READING)
def test_a_line_of_readings_of_another_form_is_named(key: str, tmp_path: Path) -> None:
    without = {name: value for name, value in READING.items() if name != key or key == "mode"}
    (tmp_path / "readings.jsonl").write_text(json.dumps(without | ({"mode": 3} if key == "mode" else {})) + "\n")
    with pytest.raises(UserError, match="record 1"):
        readings(RunDirectory(tmp_path))


SPECTRUM = {**{key: READING[key] for key in ("step", "epoch", "measurement", "layer", "name", "mode")}}
SPECTRUM["singular_values"] = pack(np.array([2.0, 1.0]))


@pytest.mark.parametrize("key", SPECTRUM)
def test_a_line_of_spectra_of_another_form_is_named(key: str, tmp_path: Path) -> None:
    without = {name: value for name, value in SPECTRUM.items() if name != key}
    (tmp_path / FILE).write_text(f"{json.dumps(SPECTRUM)}\n{json.dumps(without)}\n")
    with pytest.raises(UserError, match=rf"{FILE}', record 2, is damaged: {key}"):
        spectra(RunDirectory(tmp_path))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no base 64!",
        "AAAA",
        base64.b64encode(zlib.compress(b"123")).decode(),
        SPECTRUM["singular_values"][:8],
        pytest.param(base64.b64encode(zlib.compress(bytes(2**28 + 4))).decode(), marks=pytest.mark.slow),
    ],
    ids=["empty", "letters", "not deflated", "no floats", "torn", "a bomb"],
)
def test_values_that_cannot_be_unpacked_are_named(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps(SPECTRUM | {"singular_values": content}) + "\n")
    with pytest.raises(UserError, match="is damaged: the spectrum of weights, layer 1, step 1") as refused:
        spectra(RunDirectory(tmp_path))
    assert "\n" not in str(refused.value)


def test_torn_lines_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(f'{json.dumps(METRIC)}\n{{"step": 2, "ep\n{DEEP}\n{json.dumps(METRIC)}\n{{')
    assert len(metrics(RunDirectory(tmp_path))) == 1


@pytest.mark.parametrize(
    "content", [gzip.compress(b"x" * 9999, mtime=0)[:30], b"hello", gzip.compress(b"{}", mtime=0)[:-4] + b"0000"]
)
def test_gzipped_readings_that_are_damaged_are_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "readings.jsonl.gz").write_bytes(content)
    with pytest.raises(UserError, match="readings.jsonl.gz"):
        readings(RunDirectory(tmp_path))


@pytest.mark.parametrize(
    "plan", ["", "[1]", '{"points": "x"}', '{"points": 1000000, "radius": 1, "directions": "", "samples": 1}']
)
def test_a_surfaces_plan_of_another_form_is_refused(plan: str, tmp_path: Path) -> None:
    (tmp_path / PLAN).write_text(plan)
    with pytest.raises(UserError, match=PLAN):
        SurfaceRecord(tmp_path).missing()


@pytest.mark.parametrize(
    "value", [{"point": "x", "loss": 1, "errors": 0}, {"point": 1}, {"point": 1, "loss": "x", "errors": 0}]
)
def test_a_surfaces_values_of_another_form_are_refused(value: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / PLAN).write_text(json.dumps({"points": 3, "radius": 1.0, "directions": "", "samples": 1}))
    (tmp_path / "values-1of1.jsonl").write_text(json.dumps(value) + "\n")
    with pytest.raises(UserError, match="record 1"):
        SurfaceRecord(tmp_path).read("a")


def test_a_start_that_found_the_disk_full_leaves_nothing_in_the_way(tmp_path: Path, monkeypatch: Any) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("repro.records.run_directory.replace_text", full)
        with pytest.raises(UserError, match="No space left on device; make room"):
            RunDirectory.prepare(tmp_path / "run", "seed: 0")
    assert not (tmp_path / "run").exists()
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)  # one that was killed between
    (tmp_path / "run" / ".config.yaml.7").write_text("se")
    assert RunDirectory.prepare(tmp_path / "run", "seed: 0").config_path.read_text() == "seed: 0"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="not a run directory"):
        RunDirectory.prepare(tmp_path / "mine", "seed: 0")
