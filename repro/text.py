"""Text from outside: which characters may enter names, scripts and terminals; and what is said to the user."""

from __future__ import annotations

import io
import json
import math
import re
import shlex
import sys
import unicodedata
from collections.abc import Iterable

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

_UNSEEN = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode categories of control characters, lone surrogates, line and paragraph separators."""

_UNWRITABLE = {"\ufffe", "\uffff"}
"""No characters, and refused by XML."""

_TURNING = {chr(code) for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}
"""Marks that change the direction of writing, so that text reads otherwise than it runs."""


_MOVES = re.compile(r"(\r|\n|\x1b\[A)*")
"""What progress bars write to move the cursor."""


def unseen(text: str) -> str:
    r"""The characters that begin a new line, steer a terminal or cannot be written as UTF-8, each once, as escapes.

    Example:
        >>> print(unseen("evil\ntouch X"))
        \n
    """
    if text.isascii() and text.isprintable():  # nearly always
        return ""
    return " ".join(dict.fromkeys(_escape(char) for char in text if _is_unseen(char)))


def printable(text: str, *, keep: str = "") -> str:
    r"""The text with such characters as escapes, those in `keep` apart.

    Example:
        >>> print(printable("red: \x1b[31m"))
        red: \x1b[31m
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(char) if char not in keep and _is_unseen(char) else char for char in text)


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) in _UNSEEN or character in _TURNING or character in _UNWRITABLE


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


class PlainOutput(io.TextIOWrapper):
    """A stream, such as `sys.stdout`, in which escapes stand for what steers a terminal, or it has no letter for.

    Records may be a stranger's, and are printed. The stream stays open.
    """

    def __init__(self, stream: io.TextIOWrapper) -> None:
        stream.flush()
        self._stream = stream  # which would be closed if nobody held it
        raw = open(stream.fileno(), "wb", closefd=False)  # noqa: SIM115 (a file's number, not its path)
        buffering = stream.line_buffering or stream.isatty()
        super().__init__(raw, stream.encoding, "backslashreplace", line_buffering=buffering)

    def write(self, text: str) -> int:
        """Write a text, line breaks and tabs as they are."""
        return super().write(printable(text, keep="\n\t"))


class PlainErrors(PlainOutput):
    """The same for `sys.stderr`, where progress bars move the cursor, in writes that hold nothing else."""

    def write(self, text: str) -> int:
        """Write a text; a bar's own begins with a carriage return."""
        if _MOVES.fullmatch(text):
            return io.TextIOWrapper.write(self, text)
        line = text.strip("\r")
        return io.TextIOWrapper.write(self, text.replace(line, printable(line, keep="\n\t"), 1))


def as_markdown(text: str) -> str:
    r"""A stranger's text as Markdown that shows it as it is: one line without links, marks, mentions or HTML.

    Tables have to escape their ``|`` themselves.

    Example:
        >>> print(as_markdown("*a* <b> [c](http://d)"))
        \*a\* \<b\> \[c\](http\://d)
    """
    marked = re.sub(r"[\\`*_\[\]<>&#~$@!:]", r"\\\g<0>", printable(text).strip())
    for pattern in (r"(?i)\bwww(?=\.)", r"^(?=[-+=])", r"^\d+(?=[.)](\s|$))"):  # a link, a rule, the start of a list
        marked = re.sub(pattern, r"\g<0>\\", marked)
    return marked


def as_code(text: str, language: str = "") -> str:
    """A stranger's text as a block of code in Markdown, which nothing in it ends."""
    shown = printable(text, keep="\n")
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", shown)), default=0))
    return f"{fence}{language}\n{shown}\n{fence}"


def no_formula(cell: str) -> str:
    """A cell of a CSV file that a spreadsheet does not compute: names may be a stranger's. Numbers stay numbers.

    Example:
        >>> no_formula("=HYPERLINK(A1)"), no_formula("-3.5")
        ("'=HYPERLINK(A1)", '-3.5')
    """
    if not cell.startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def ranges(numbers: Iterable[int], to: str = " to ", comma: str = ", ", *, most: int | None = None) -> str:
    """Ascending numbers as ranges; of more than `most` ranges the first ones and the last.

    Example:
        >>> ranges([1, 2, 3, 7])
        '1 to 3, 7'
    """
    ends: list[list[int]] = []
    for number in numbers:
        if ends and number == ends[-1][-1] + 1:
            ends[-1][1:] = [number]
        else:
            ends.append([number])
    texts = [to.join(map(str, pair)) for pair in ends]
    return comma.join(texts if most is None or len(texts) <= most else [*texts[: most - 1], "…", texts[-1]])


def number(value: float | int, digits: int = 3, *, plain_below: float = 1e6) -> str:
    """A number as a reader writes it: no exponent but a power of ten, and a true minus.

    Example:
        >>> number(0.5), number(-1234), number(7.32e6), number(float("inf"))
        ('0.5', '−1,230', '7.32·10⁶', '∞')
    """
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "∞" if value > 0 else "−∞"
    size = float(f"{abs(value):.{digits}g}")
    sign = "−" if value < 0 and size else ""
    if size == 0 or 1e-3 <= size < plain_below:
        return f"{sign}{size:,.{max(digits, 6)}g}"
    mantissa, _, exponent = f"{size:.{digits - 1}e}".partition("e")
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPT)
    return sign + (power if float(mantissa) == 1 else f"{float(mantissa):g}·{power}")


def shell(*words: object) -> str:
    """Words as one types them in a shell, quoted where they need it: for every command that we suggest.

    Example:
        >>> shell("repro", "report", "my runs")
        "repro report 'my runs'"
    """
    return shlex.join(map(str, words))


def canonical(value: object) -> str:
    """A value as JSON: the same text for values that are equal, whatever the order of their keys.

    >>> canonical({"b": 1, "a": (2, None)})
    '{"a": [2, null], "b": 1}'
    """
    return json.dumps(value, sort_keys=True, default=str)


def say(text: object) -> None:
    """Tell the user something on stderr, at once, in a line that says who speaks."""
    print(f"repro: {text}", file=sys.stderr, flush=True)
