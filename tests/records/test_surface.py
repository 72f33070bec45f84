from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from repro.errors import UserError
from repro.figures import to_png
from repro.figures.landscape import surfaces
from repro.records.surface import SURFACE, SurfaceRecord

PLAN = {"points": 3, "radius": 2.0, "directions": "random", "samples": 10, "path": [[0.1, 0.2], [0.0, 0.0]]}


def test_parts_put_a_surface_together(tmp_path: Path) -> None:
    record = SurfaceRecord(tmp_path / "surface")
    assert not record.exists
    record.prepare(PLAN)
    assert record.missing() == list(range(9))
    record.append("1of2", [0, 2, 4], [(0.0, 0.0), (2.0, 0.2), (float("inf"), 0.4)])
    record.append("2of2", [1, 3, 5, 7], [(1.0, 0.1), (3.0, 0.3), (float("nan"), 0.5), (7.0, 0.7)])
    with (record.path / "values-1of2.jsonl").open("a") as file:
        file.write('{"point": 6, "loss": 6.')  # torn by a kill
    again = SurfaceRecord(record.path)
    again.prepare(PLAN)
    assert again.missing() == [6, 8]
    again.append("1of2", [6, 8], [(6.0, 0.6), (8.0, 0.8)])
    assert not again.missing()
    surface = again.read("label")
    np.testing.assert_array_equal(surface.at, [-2.0, 0.0, 2.0])
    np.testing.assert_array_equal(surface.loss, [[0, 1, 2], [3, np.inf, np.nan], [6, 7, 8]])
    np.testing.assert_allclose(surface.errors.ravel(), np.arange(9) / 10)
    np.testing.assert_array_equal(surface.path, PLAN["path"])


def test_another_surface_is_not_mixed_in(tmp_path: Path) -> None:
    record = SurfaceRecord(tmp_path)
    record.prepare(PLAN)
    record.append("1of1", [0], [(1.0, 0.0)])
    with pytest.raises(UserError, match=r"another surface: radius is 2\.0 there and 1\.0 here; .*--again"):
        record.prepare({**PLAN, "radius": 1.0})
    assert len(record.values()) == 1
    record.prepare({**PLAN, "radius": 1.0}, again=True)
    assert not record.values()


def test_a_surface_is_kept_with_its_run(tmp_path: Path) -> None:
    from repro.records import RunDirectory, keep

    run = RunDirectory.prepare(tmp_path / "runs" / "run", "data: {root: elsewhere}\nruns: elsewhere\n")
    record = SurfaceRecord(run.path / SURFACE)
    record.prepare(PLAN)
    record.append("1of1", range(9), [(float(point), 0.0) for point in range(9)])
    (record.path / "surface.png").write_bytes(b"a picture is drawn again")
    keep(run, tmp_path / "kept")
    kept = SurfaceRecord(tmp_path / "kept" / SURFACE)
    np.testing.assert_array_equal(kept.read("s").loss, record.read("s").loss)
    assert sorted(path.name for path in kept.path.iterdir()) == ["surface.json", "values-1of1.jsonl"]


@pytest.mark.parametrize("huge", [1e308, -1e308])
def test_losses_that_no_network_has_are_drawn_as_blanks(huge: float, tmp_path: Path) -> None:
    """A stranger's surface had ended the report of all runs: ten times such a number is none."""
    record = SurfaceRecord(tmp_path)
    record.prepare({**PLAN, "path": []})
    record.append("1of1", range(9), [(huge, 0.5)] * 9)
    assert not np.isfinite((surface := record.read("s")).loss).any()
    assert to_png(surfaces([surface]), dpi=20)
