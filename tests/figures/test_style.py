from __future__ import annotations

import itertools
import subprocess
import sys
import xml.etree.ElementTree as ET

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from repro.figures import style

FAMILIES = ["plainnet110", "resnet110", "resnext110"]


def luminance(color: str) -> float:
    """Relative luminance of an sRGB colour, as WCAG and CIE define it."""
    channels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def lightness(color: str) -> float:
    return 116 * luminance(color) ** (1 / 3) - 16


@pytest.mark.parametrize("shade", [lambda color: color, style.DARK.__getitem__], ids=["light", "dark"])
def test_the_three_families_differ_in_grey(shade) -> None:
    looks = style.looks(FAMILIES).values()
    for one, other in itertools.combinations(looks, 2):
        assert abs(lightness(shade(one.color)) - lightness(shade(other.color))) > 10
        assert one.line != other.line
        assert one.marker != other.marker


@pytest.mark.parametrize("name", ["a\x1b[31mb", "a\0b", "a\uffffb", "a\x85b", "</svg><script>"])
def test_a_name_that_xml_has_no_place_for_stands_as_an_escape(name: str) -> None:
    figure = Figure()
    axes = figure.subplots()
    axes.plot([1, 2], label=name, gid=f"finite-{name}-line")
    axes.set_title(name)
    figure.legend()
    root = ET.fromstring(style.to_svg(figure))
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
    assert any(text.startswith(("a\\", "</svg>")) for text in root.itertext())


@pytest.mark.parametrize("paper", [style.PAPER, style.DARK[style.PAPER]])
def test_every_line_stands_out_from_the_page(paper: str) -> None:
    for look in style.looks([str(number) for number in range(8)]).values():
        color = look.color if paper == style.PAPER else style.DARK[look.color]
        darker, lighter = sorted([luminance(color), luminance(paper)])
        assert (lighter + 0.05) / (darker + 0.05) > 2.9, color


def test_a_family_keeps_its_look_and_others_take_what_is_free() -> None:
    usual = style.looks(FAMILIES)
    assert style.looks(["resnext200", "vgg11", "plainnet20"])["resnext200"] == usual["resnext110"]
    assert style.looks(["vgg11", "plainnet20"])["plainnet20"] == usual["plainnet110"]
    many = style.looks(["resnet110", "resnet164", *map(str, range(12))])
    assert many["resnet110"] == usual["resnet110"]
    assert len(many) == 14
    assert len(set(many.values())) == 8
    assert usual["resnet110"] not in [many[label] for label in many if label != "resnet110"]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("plainnet110", "PlainNet-110"),
        ("resnext101", "ResNeXt-101"),
        ("vgg11-skip", "vgg11-skip"),
        ("resnet110-x", "ResNet-110 (x)"),
    ],
)
def test_titles(label: str, expected: str) -> None:
    assert style.title(label) == expected


def test_files_are_the_same_every_time_and_settings_are_given_back() -> None:
    before = dict(mpl.rcParams)

    def draw() -> Figure:
        figure = Figure()
        figure.subplots().plot([1, 2], [3, 4], marker="o", label="x")
        return figure

    assert style.to_svg(draw()) == style.to_svg(draw())
    assert style.to_png(draw(), dpi=40) == style.to_png(draw(), dpi=40)
    ET.fromstring(style.to_svg(draw()))
    assert "<dc:date>" not in style.to_svg(draw())
    assert dict(mpl.rcParams) == before


def test_nothing_heavy_and_no_global_figures_are_imported() -> None:
    heavy = ["torch", "lightning", "wandb", "matplotlib.pyplot"]
    code = f"import sys, repro.figures; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_other_settings_of_matplotlibs_change_nothing() -> None:
    """A matplotlibrc lies where one stands, perhaps in a stranger's folder; TeX runs what it is told."""

    def drawn() -> str:
        with style.styled():
            figure = Figure(layout="constrained")
            figure.subplots().plot([1, 2], label="a_b")
        return style.to_svg(figure)

    usual = drawn()
    with mpl.rc_context({"text.usetex": True, "font.size": 40, "svg.fonttype": "path", "lines.linewidth": 9}):
        assert drawn() == usual
