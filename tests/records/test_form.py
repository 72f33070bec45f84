"""Records of another form: each is refused by name, whoever reads them; what a crash tore is passed over."""

from __future__ import annotations

import base64
import gzip
import json
import math
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from repro.errors import UserError
from repro.records import RunDirectory, derived, keep, metrics, readings, spectra
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
        *(("state.json", f'{{"final": {{"test_accuracy": {number}}}}}') for number in ("93.4", "-0.1", '"inf"')),
        *(("environment.json", text) for text in ("", '{"a": "b"}', "[1]", '[{"host"', DEEP, '[{"versions": 3}]')),
        ("environment.json", '[{"command": ["repro", 3]}]'),
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


FILES = [
    "state.json",
    "environment.json",
    "metrics.jsonl",
    "readings.jsonl",
    FILE,
    f"{FILE}.gz",
    "landscape/surface.json",
]


@pytest.mark.parametrize("device", [None, "/dev/zero"])
@pytest.mark.parametrize("file", FILES)
def test_a_pipe_or_a_device_is_refused_and_not_waited_for(file: str, device: str | None, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(device) if device else os.mkfifo(path)
    run = RunDirectory(tmp_path)
    with pytest.raises(UserError, match=f"{path.name}' is a pipe or a device|has no"):
        _ = run.state, run.lives, metrics(run), readings(run), spectra(run), SurfaceRecord(path.parent).plan
    if path.name == "metrics.jsonl":
        with pytest.raises(UserError, match="a pipe"):
            run.last_step()


@pytest.mark.parametrize("link", ["config.yaml", "state.json", "metrics.jsonl", f"{FILE}", "landscape/surface.json"])
def test_what_a_link_out_of_a_run_leads_to_is_not_kept(link: str, tmp_path: Path) -> None:
    """A card is published, and its run may be a stranger's."""
    run = RunDirectory.prepare(tmp_path / "run", "seed: 0\ndata: {}\n")
    (tmp_path / "private").write_text("{seed: 0, data: {}}" if link == "config.yaml" else "{}")
    path = run.path / link
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(tmp_path / "private")
    with pytest.raises(UserError, match="is a link out of the run, and is not copied"):
        keep(run, tmp_path / "kept")


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


@pytest.mark.parametrize("values", [[1, 2], [2, -1], [2, np.nan, 1], [1, np.inf], [np.nan, 1]])
def test_values_in_another_order_are_named(values: list[float], tmp_path: Path) -> None:
    """What follows from them would be wrong: the first is taken for the largest, the last for the smallest."""
    (tmp_path / FILE).write_text(json.dumps(SPECTRUM | {"singular_values": pack(np.array(values))}) + "\n")
    with pytest.raises(UserError, match="step 1 .its values do not go down"):
        spectra(RunDirectory(tmp_path))


@pytest.mark.parametrize("values", [[], [0, 0], [np.nan, np.nan], [np.inf, np.inf, 1]])
def test_values_of_which_nothing_follows_are_read(values: list[float], tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps(SPECTRUM | {"singular_values": pack(np.array(values))}) + "\n")
    table = spectra(RunDirectory(tmp_path))
    assert len(table) == 1
    assert not np.isfinite(derived(table)["condition_number"]).any()


@pytest.mark.parametrize("key", ["step", "epoch", "layer"])
def test_a_number_over_64_bits_is_named(key: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps(SPECTRUM | {key: 10**30}) + "\n")
    with pytest.raises(UserError, match=f"record 1, is damaged: {key}"):
        spectra(RunDirectory(tmp_path))


@pytest.mark.parametrize(("written", "read"), [(r"a\ud800", "a?"), (r"\uDC00b", "?b"), (r"\ud83d\ude00", "\U0001f600")])
def test_halves_of_characters_become_question_marks(written: str, read: str, tmp_path: Path) -> None:
    line = json.dumps(READING | {"name": "NAME"}).replace("NAME", written)
    (tmp_path / "readings.jsonl").write_text(line + "\n")
    (tmp_path / "state.json").write_text(f'{{"reason": "{written}"}}')
    (tmp_path / "config.yaml").touch()
    run = RunDirectory(tmp_path)
    assert list(readings(run)["name"]) == [read]
    assert run.state["reason"] == read


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
    "plan",
    [
        *("", "[1]", {"points": "x"}, {"points": 1000000}, {"directions": "$\\frac{"}, {"path": "x"}, {"path": [[1]]}),
        *({"radius": radius} for radius in (0, -1, 1e308, math.nan, math.inf)),
        *({"path": [[0, value]]} for value in ("x", math.nan, 10**400)),
    ],
)
def test_a_surfaces_plan_of_another_form_is_refused(plan: str | dict[str, object], tmp_path: Path) -> None:
    whole = {"points": 3, "radius": 1.0, "directions": "random", "samples": 1}
    (tmp_path / PLAN).write_text(plan if isinstance(plan, str) else json.dumps(whole | plan))
    with pytest.raises(UserError, match=PLAN):
        SurfaceRecord(tmp_path).missing()


@pytest.mark.parametrize(
    "value", [{"point": "x", "loss": 1, "errors": 0}, {"point": 1}, {"point": 1, "loss": "x", "errors": 0}]
)
def test_a_surfaces_values_of_another_form_are_refused(value: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / PLAN).write_text(json.dumps({"points": 3, "radius": 1.0, "directions": "random", "samples": 1}))
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
