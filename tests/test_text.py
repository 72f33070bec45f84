"""Text from outside, where it enters names, scripts, terminals and commands."""

from __future__ import annotations

import doctest
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro import text
from repro.errors import UserError


def test_the_examples_are_right() -> None:
    assert doctest.testmod(text).attempted > 2
    assert doctest.testmod(text).failed == 0


@given(st.text())
def test_what_is_printable_has_no_control_characters_and_can_be_written(content: str) -> None:
    shown = text.printable(content)
    assert not text.unseen(shown)
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert len(shown.splitlines()) <= 1
    if not text.unseen(content):
        assert shown == content


@pytest.mark.parametrize(
    "odd", ["\n", "\r", "\x1b[31m", "\0", "\x85", "\u2028", "\u202e", "\ud800", "\x7f", "\u200f", "\x9b31m"]
)
def test_what_begins_a_line_or_steers_a_terminal_is_seen(odd: str) -> None:
    assert text.unseen(f"a{odd}b")
    assert odd not in str(UserError(f"a {odd} b"))


@pytest.mark.parametrize("plain", ["学习率_高", "étude (lr=0.1)", "a'b\"c", "naïve $HOME `x`", "👩‍🔬"])
def test_letters_of_any_script_are_left_alone(plain: str) -> None:
    assert not text.unseen(plain)
    assert text.printable(plain) == plain


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), min_size=1))
def test_a_suggested_command_is_read_back_as_it_was(words: list[str]) -> None:
    assert shlex.split(text.shell(*words)) == words


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_stream_shows_what_it_cannot_write(encoding: str) -> None:
    code = (
        "import sys; from repro.text import PlainOutput; sys.stdout = PlainOutput(sys.stdout); print('κ\\x1b[2J\\tx')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONIOENCODING": encoding}, capture_output=True, check=True
    )
    kappa = "κ" if encoding == "utf-8" else r"\u03ba"
    assert done.stdout.decode(encoding) == f"{kappa}\\x1b[2J\tx\n"


def test_errors_show_what_steers_and_bars_still_move(tmp_path: Path) -> None:
    with (tmp_path / "err").open("w+", encoding="ascii") as stream:
        errors = text.PlainErrors(stream)
        for part in ("\n\x1b[A", "\r 50% |█|", "\r", "a\rb\x1b[A\x1b[31m", "\n"):
            errors.write(part)
        errors.flush()
    said = (tmp_path / "err").read_bytes()
    assert said == b"\n\x1b[A\r 50% |\\u2588|\ra\\rb\\x1b[A\\x1b[31m\n"


@pytest.mark.parametrize(
    ("numbers", "text_of_them", "of_an_array"),
    [
        ([], "", ""),
        ([3], "3", "3"),
        ([0, 2, 3, 7], "0, 2 to 3, 7", "0,2-3,7"),
        ([1, 3, 5, 7, 9, 10], "1, 3, 5, …, 9 to 10", "1,3,5,7,9-10"),
    ],
)
def test_numbers_as_ranges(numbers: list[int], text_of_them: str, of_an_array: str) -> None:
    assert text.ranges(numbers, most=4) == text_of_them
    assert text.ranges(numbers, "-", ",") == of_an_array
