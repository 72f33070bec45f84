"""What W&B takes as a name, held against the rules in its own client."""

from __future__ import annotations

import doctest
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.tracking import wandb_names
from repro.tracking.wandb_names import artifact_name, fitted, without_places

names = st.text(min_size=1, max_size=300)


def test_the_examples_are_right() -> None:
    assert doctest.testmod(wandb_names).failed == 0


@given(names, names)
def test_artifact_names_are_wandbs_and_stay_apart(one: str, other: str) -> None:
    made = artifact_name(f"study-{one}")
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", made)
    assert (made == artifact_name(f"study-{other}")) == (one == other)


@given(names, st.sampled_from([64, 128]))
def test_what_is_short_stays_and_what_is_long_is_cut(text: str, longest: int) -> None:
    assert len(fitted(text, longest)) == min(len(text), longest)
    assert fitted(text, 300) == text
    assert (fitted(text + "a" * 200, longest) == fitted(text + "b" * 200, longest)) is False


def test_the_client_takes_them() -> None:
    import wandb

    assert wandb.Artifact(artifact_name("study-学习率 / 高" * 40), type="study").name


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/home/me/data", ".../data"),
        ("~/data", ".../data"),
        (r"C:\Users\me\data", ".../data"),
        ("--data.root=/srv/x y/data", "--data.root=.../data"),
        ("data/cifar10", "data/cifar10"),
        ({"a": ["/x/y", 1.5, None, True]}, {"a": [".../y", 1.5, None, True]}),
    ],
)
def test_absolute_paths_lose_their_places(value: object, shown: object) -> None:
    assert without_places(value) == shown
