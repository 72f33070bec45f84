from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from repro.figures.style import styled
from repro.figures.svg.slim import slim

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def drawn() -> str:
    with styled():
        figure = Figure()
        axes = figure.subplots()
        axes.plot(np.linspace(0, 1, 100), np.sin(np.linspace(0, 30, 100)), marker="o", label="a & b < c")
        axes.fill_between([0, 1], [0, 1], hatch="//")
        axes.set_title("  two  spaces")
        axes.legend()
        buffer = io.StringIO()
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    return buffer.getvalue()


def corners(path: str) -> np.ndarray:
    """The points of a path of straight lines, absolute or in steps."""
    points: list[np.ndarray] = []
    for letter, numbers in re.findall(r"([MLl])([^MLlz]*)", path):
        values = np.array(re.findall(r"-?(?:\d+\.?\d*|\.\d+)", numbers), dtype=float).reshape(-1, 2)
        for value in values:
            points.append(points[-1] + value if letter == "l" else value)
    return np.array(points)


def test_lines_are_where_they_were_and_texts_what_they_were(drawn: str) -> None:
    small = slim(drawn)
    assert len(small) < 0.5 * len(drawn)
    before, after = ET.fromstring(drawn), ET.fromstring(small)
    assert (after.get("viewBox"), after.get("width")) == (before.get("viewBox"), before.get("width"))
    straight = [
        [corners(path.get("d", "")) for path in root.iter(f"{SVG}path") if not set("CQ") & set(path.get("d", ""))]
        for root in (before, after)
    ]
    assert len(straight[0]) == len(straight[1])
    for one, other in zip(*straight, strict=True):
        kept = [place for place, point in enumerate(one) if place == 0 or np.abs(point - one[place - 1]).max() > 0.1]
        distances = np.abs(one[kept][:, None] - other[None]).max(axis=2).min(axis=1)
        assert distances.max() < 0.051
    texts = [[text.text for text in root.iter(f"{SVG}text")] for root in (before, after)]
    assert texts[0] == texts[1]
    assert "a & b < c" in texts[1]


def test_everything_that_is_referred_to_is_there_once(drawn: str) -> None:
    small = slim(drawn)
    names = re.findall(r' id="([^"]+)"', small)
    assert len(names) == len(set(names))
    assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', small)) == set(names)
    assert re.search(r"<style.*fill:url\(#", small), "the hatch"
    classes = set(re.findall(r' class="([^"]+)"', small))
    assert classes == set(re.findall(r"\.([a-z]+)\{", small))
    assert "style=" not in small


def test_pictures_are_stretched_as_they_were() -> None:
    with styled():
        figure = Figure()
        figure.subplots().imshow(np.arange(327).reshape(109, 3), aspect="auto", interpolation="none")
        buffer = io.StringIO()
        FigureCanvasSVG(figure).print_svg(buffer)
    texts = (buffer.getvalue(), slim(buffer.getvalue()))
    before, after = (next(ET.fromstring(text).iter(f"{SVG}image")) for text in texts)
    assert "matrix" in before.get("transform", "")
    for key in ("transform", "width", "height"):
        assert after.get(key) == before.get(key)
