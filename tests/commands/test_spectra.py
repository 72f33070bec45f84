from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from repro.cli import run
from repro.records import RunDirectory, append_spectra


@pytest.fixture
def kept(tmp_path: Path) -> RunDirectory:
    """Three layers at two times, one of them with NaN."""
    directory = RunDirectory.prepare(tmp_path / "runs" / "a", "seed: 0\n")
    for step in (0, 9):
        spectra = [
            {"measurement": "weights", "layer": layer, "name": f"l{layer}", "mode": mode, "singular_values": values}
            for layer in (1, 2, 3)
            for mode, values in (("output", np.array([step + 1.0, 1.0, 0.5])), ("input", np.full(4, np.nan)))
        ]
        append_spectra(directory, step, step, spectra)
    return directory


def test_medians_are_printed_and_everything_is_written(
    kept: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["spectra", str(kept.path), "--tolerance", "0.06", "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "step 9: medians over the layers" in text
    (line,) = [line.split() for line in text.splitlines() if "output" in line]
    assert line[2:5] == ["inf", "2", "1.012"]  # κ by this tolerance, rank, stable rank
    table = pd.read_csv(tmp_path / "out" / "spectra.csv")
    assert len(table) == 12
    names = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert names == {"weights-output.svg", "weights-input.svg"}


@pytest.mark.parametrize("name", ["../../../evil", "/evil", "a\nb", "x" * 300])
def test_names_of_a_strangers_are_no_paths(
    name: str, kept: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"measurement": name, "layer": 1, "name": "=A1", "mode": "output", "singular_values": np.ones(2)}
    append_spectra(kept, 9, 9, [values])
    assert run(["spectra", str(kept.path), "--out", str(tmp_path / "a/b/out")]) == 2
    assert "allowed: " in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.svg"))


def test_a_table_is_no_program_of_a_spreadsheet(kept: RunDirectory, tmp_path: Path) -> None:
    values = {"measurement": "weights", "layer": 4, "name": "=HYPERLINK(A1)", "mode": "output"}
    append_spectra(kept, 9, 9, [{**values, "singular_values": np.empty(0)}])
    assert run(["spectra", str(kept.path), "--out", str(tmp_path / "out")]) == 0
    assert ",'=HYPERLINK(A1)," in (tmp_path / "out" / "spectra.csv").read_text()


def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: RunDirectory) -> None:
    bare = RunDirectory.prepare(tmp_path / "runs" / "b", "seed: 0\n")
    assert run(["spectra", str(bare.path)]) == 2
    assert "has no singular values; train it with repro fit --measure.spectra true" in capsys.readouterr().err
    assert run(["spectra", str(kept.path), "--tolerance", "2"]) == 2
    assert "allowed: 0 to below 1" in capsys.readouterr().err
    assert run(["spectra", str(tmp_path / "c")]) == 2
