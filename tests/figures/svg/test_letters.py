"""Ticks and names as a reader wants them: whole layers, no -0, one style of numbers, letters of any script."""

from __future__ import annotations

import re

import pytest
from matplotlib.figure import Figure

from repro.figures import conditioning, draw_one, to_png, to_svg
from repro.figures.svg import letters
from repro.figures.ticks import number, whole


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (-0.0, "0"),
        (1e-17, "0"),
        (0.01, "0.01"),
        (-0.5, "−0.5"),
        (2500, "2,500"),
        (1e4, "10⁴"),
        (2e5, "2·10⁵"),
        (-1e6, "−10⁶"),
        (2e-4, "2·10⁻⁴"),
        (1.25e7, "1.25·10⁷"),
    ],
)
def test_ticks_have_one_style(value: float, shown: str) -> None:
    assert number(value) == shown


def test_ticks_that_count_are_whole_and_never_minus_zero(recorded) -> None:
    assert (whole(-0.0), whole(-0.3), whole(12_000.0)) == ("0", "0", "12,000")
    run = recorded("resnet20", weights={0: [1, 2, 3], 5: [2, 3, 4]}, channel={0: [1, 2]})
    figures = [draw_one(name, [run]) for name in ("weights", "representations", "first-layer")]
    for figure in [*figures, conditioning.layer_time_map([run], "weights")]:
        figure.canvas.draw()
        for axes in figure.axes:
            texts = [tick.get_text() for tick in [*axes.get_xticklabels(), *axes.get_yticklabels()]]
            assert not [text for text in texts if re.fullmatch(r"[-−]0(\.0*)?", text)]
            if "layer" in axes.get_xlabel():
                assert all(re.fullmatch(r"[\d,]+", tick.get_text()) for tick in axes.get_xticklabels())
            if "layer" in axes.get_ylabel():
                assert all(re.fullmatch(r"[\d,]+", tick.get_text()) for tick in axes.get_yticklabels())


def test_letters_that_no_font_has_are_named_in_a_picture_and_left_to_the_reader_in_an_svg(
    monkeypatch: pytest.MonkeyPatch, recorded
) -> None:
    monkeypatch.setattr(letters, "_others", list)
    figure = draw_one("weights", [recorded("学习率_高", weights={0: [1, 2]})])
    drawn = []
    save = Figure.savefig

    def watched(self: Figure, *given: object, **more: object) -> None:
        drawn.append([text.get_text() for text in self.texts])
        save(self, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", watched)
    to_png(figure, dpi=20)
    assert drawn == [["no installed font has 4 of the letters here: U+4E60 U+5B66 U+7387 U+9AD8"]]
    assert "学习率_高" in to_svg(figure)
    assert "no installed font" not in to_svg(figure)


def test_a_font_that_has_the_letters_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """DejaVu Sans Mono stands for one that has what the first lacks."""
    path = letters.findfont("DejaVu Sans Mono")
    real = letters._letters
    monkeypatch.setattr(letters, "_others", lambda: [("DejaVu Sans Mono", path)])
    monkeypatch.setattr(letters, "_letters", lambda where: real(where) - (set() if where == path else {"é"}))
    figure = Figure()
    text = figure.suptitle("étude")
    to_png(figure, dpi=20)
    assert text.get_fontfamily() == ["DejaVu Sans", "DejaVu Sans Mono"]
    assert len(figure.texts) == 1, "nothing is missing"
