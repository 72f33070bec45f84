from __future__ import annotations

import pytest

from repro.errors import UserError, limit_reached
from repro.machine import number


@pytest.mark.parametrize("text", ["abc", "", "-1", "1.5", "9" * 20, "²"])
def test_what_is_no_number_is_refused_by_the_variables_name(text: str) -> None:
    with pytest.raises(UserError, match="RANK is"):
        number("RANK", 0, {"RANK": text})


def test_a_number_or_the_default() -> None:
    assert (number("RANK", 3, {}), number("RANK", 3, {"RANK": "7"})) == (3, 7)


def test_limits_of_the_machine_are_told_and_faults_of_ours_are_not() -> None:
    assert limit_reached(OSError(24, "Too many open files", "a.txt")) == (
        "the machine refuses: 'a.txt' Too many open files; raise the number of files that may be open (ulimit -n 4096)"
    )
    assert limit_reached(FileNotFoundError(2, "No such file", "x")) is None
