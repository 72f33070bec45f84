from __future__ import annotations

from repro.errors import UserError, unknown


def test_one_line_whatever_the_message() -> None:
    assert str(UserError("a\n  b\tc")) == "a b c"


def test_nearest_first_and_all_of_a_short_list() -> None:
    text = str(unknown("dataset", "minst", ["MNIST", "CIFAR10"]))
    assert text == "unknown dataset 'minst'; nearest: MNIST; allowed: MNIST, CIFAR10"


def test_a_long_list_is_shown_only_where_nothing_is_near() -> None:
    names = [f"name{number}" for number in range(30)]
    assert "allowed" not in str(unknown("thing", "nam3", names))
    assert "name29" in str(unknown("thing", "xyz", names))
