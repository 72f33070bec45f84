from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from repro.figures import RunRecords, draw, landscape
from repro.records.surface import Surface


def surface(label: str = "plain", points: int = 7) -> Surface:
    at = np.linspace(-1, 1, points)
    loss = 0.01 + at[:, None] ** 2 + 2 * at[None, :] ** 2
    path = np.array([[0.5, 0.5], [0.0, 0.0]])
    return Surface(label=label, at=at, loss=loss, errors=loss / 4, directions="random", samples=10, path=path)


def test_every_value_is_drawn_where_it_belongs() -> None:
    made = surface()
    figure = landscape.surfaces([made, replace(made, label="skip", loss=2 * made.loss)])
    meshes = [each for axes in figure.axes for each in axes.collections if isinstance(each, QuadMesh)]
    heat = [mesh for mesh in meshes if mesh.get_array() is not None and mesh.get_array().shape == (7, 7)]  # type: ignore[union-attr]
    assert len(heat) == 4
    np.testing.assert_allclose(heat[0].get_array(), made.loss)  # rows are the second direction, from below
    np.testing.assert_allclose(heat[1].get_array(), 100 * made.errors)
    np.testing.assert_allclose(heat[2].get_array(), 2 * made.loss)
    assert heat[0].norm is heat[2].norm, "one scale for both losses"
    assert heat[0].norm.vmax == pytest.approx(2 * made.loss.max())
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == ["plain", "random directions"]


@pytest.mark.parametrize("kind", ["nothing", "a part", "infinite", "constant", "zero"])
def test_odd_surfaces_are_drawn(kind: str) -> None:
    loss = surface().loss.copy()
    if kind == "nothing":
        loss[:] = np.nan
    elif kind == "a part":
        loss[3:] = np.nan
    elif kind == "infinite":
        loss[0, 0] = np.inf
    elif kind == "constant":
        loss[:] = 0.5
    else:
        loss[:] = 0
    assert landscape.surfaces([replace(surface(), loss=loss, path=np.empty((0, 2)))]).axes


def test_runs_with_a_surface_have_the_figure() -> None:
    import pandas as pd

    empty = RunRecords.of_readings(
        "a", pd.DataFrame(columns=["step", "measurement", "layer", "mode", "quantity", "value"])
    )
    assert "landscape" not in draw([empty], ["landscape"])
    assert set(draw([replace(empty, surface=surface())], ["landscape"])) == {"landscape"}
