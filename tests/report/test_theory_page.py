"""The theory's page out of a folder that somebody else has kept."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from repro.report import theory
from repro.report.pages.svg import harmless

KEPT = Path(__file__).parents[2] / "results/theory"
NAME = "nguyen-tables"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9">{}</svg>'


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    for path in KEPT.glob(f"*/{NAME}*"):
        (tmp_path / path.parent.name).mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / path.parent.name)
    return tmp_path


@pytest.mark.parametrize(
    "drawn",
    [
        "<script>alert(1)</script>",
        '<path d="M0 0" onclick="alert(1)"/>',
        '<use xlink:href="javascript:alert(1)"/>',
        '<use xlink:href="http://elsewhere/x.svg#a"/>',
        '<image xlink:href="data:image/svg+xml;base64,eA=="/>',
        "<foreignObject><body>x</body></foreignObject>",
        '<a xlink:href="#x"><text>here</text></a>',
        "<style>@import url(http://elsewhere)</style>",
        "<style>body{display:none}</style>",
        "<style>.a{}&lt;/style&gt;&lt;script&gt;</style>",
        "<g>",
    ],
)
def test_figures_that_are_more_than_drawings_are_refused(drawn: str, kept: Path) -> None:
    (figure,) = kept.glob("figures/*-1.svg")
    figure.write_text(SVG.format(drawn))
    (told,) = theory.sections(kept)
    assert re.search("Left out: .* is damaged .*a figure", told)


def test_our_own_figures_stay_as_they_are() -> None:
    figures = sorted(KEPT.glob("figures/*.svg"))
    assert figures
    for figure in figures:
        text = figure.read_text()
        assert harmless(text) == text[text.index("<svg") :].rstrip("\n")


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"statement": '"><script>alert(1)</script>'}, False),
        ({"seed": "<script>alert(1)</script>"}, False),
        ({"command": ["a"]}, True),
        ({"text": 3}, True),
        ({"cases": [{}]}, True),
    ],
)
def test_records_of_another_form_are_refused_or_shown_as_text(
    change: dict[str, object], refused: bool, kept: Path
) -> None:
    (record,) = kept.glob("numbers/*.json")
    record.write_text(json.dumps(json.loads(record.read_text()) | change))
    shown = "".join(theory.sections(kept))
    assert "<script>alert" not in shown
    assert ("is damaged" in shown) == refused


def test_pipes_are_refused(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (record,) = kept.glob("numbers/*.json")
    record.unlink()
    os.mkfifo(record)
    (told,) = theory.sections(kept)
    assert "a pipe" in told
    assert "a pipe" in capsys.readouterr().err
