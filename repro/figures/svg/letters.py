"""Names in scripts that our figures' font lacks: another installed font, or a line that says what is missing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

_FAMILY = "DejaVu Sans"
_KNOWN = ("Noto S", "CJK", "Unifont", "WenQuanYi", "Droid Sans Fallback", "Arial Unicode", "Source Han", "FreeSans")
"""Parts of the names of fonts that cover many scripts; others would be opened in vain."""


@contextmanager
def lettered(figure: Figure, *, as_text: bool = False) -> Iterator[None]:
    """Within, the figure is drawn with fonts that have its letters, as far as any is installed.

    With `as_text`, as in SVG, whoever opens the file chooses the font: then nothing is said to be missing.
    """
    lacking = {letter for name in _names(figure) for letter in name if letter.isprintable()}
    lacking -= _letters(findfont(_FAMILY))
    texts = [text for text in figure.findobj(Text) if not text.get_text().isascii()] if lacking else []
    families = []
    for family, path in _others() if lacking else ():
        if found := lacking & _letters(path):
            families.append(family)
            lacking -= found
    if families:
        for text in texts:
            text.set_fontfamily([_FAMILY, *families])
    note = None
    if lacking and not as_text:
        names = " ".join(f"U+{ord(letter):04X}" for letter in sorted(lacking)[:8]) + " …" * (len(lacking) > 8)
        words = f"no installed font has {len(lacking)} of the letters here: {names}"
        note = figure.text(0.995, 0.005, words, ha="right", va="bottom", fontsize=8)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from")
        yield
    if note is not None:
        note.remove()


def _names(figure: Figure) -> Iterator[str]:
    """Where names stand: titles and legends. All of a figure's texts are many, and the others are ours."""
    yield figure.get_suptitle()
    for axes in figure.axes:
        yield from (axes.get_title(loc=place) for place in ("left", "center", "right"))
    for legend in figure.legends:
        yield from (text.get_text() for text in legend.get_texts())


@cache
def _letters(path: str) -> frozenset[str]:
    return frozenset(map(chr, get_font(path).get_charmap()))


@cache
def _others() -> list[tuple[str, str]]:
    fonts = {font.name: font.fname for font in fontManager.ttflist if any(part in font.name for part in _KNOWN)}
    return [(name, findfont(FontProperties(family=name))) for name in sorted(fonts)]
