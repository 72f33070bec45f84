"""What W&B takes as a name, held against the rules in its own client."""

from __future__ import annotations

import doctest
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.config import from_mapping
from repro.records import RunDirectory
from repro.tracking import wandb_names
from repro.tracking.wandb_description import describe, identifier
from repro.tracking.wandb_environment import misspelt, recorded, said, spelt
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


def test_a_run_of_any_name_is_listed_within_the_rules(tmp_path: Path) -> None:
    config = from_mapping({"model": {"network": f"{'package.' * 20}nets:Net"}})
    described = [
        describe(RunDirectory.prepare(tmp_path / ("高" * 60) / f"{'学' * 60}{end}", ""), config) for end in "ab"
    ]
    long = [
        describe(RunDirectory.prepare(tmp_path / ("s" * 150) / f"{'r' * 200}{end}-1a2b3c4d", ""), config)
        for end in "ab"
    ]
    for one in (*described, *long):
        assert max(map(len, (one.name, one.group, one.job_type))) <= 128
        assert all(1 <= len(tag) <= 64 for tag in one.tags)
    assert len({one.name for one in (*described, *long)}) == 4


def test_a_strangers_record_names_no_other_run(tmp_path: Path) -> None:
    run = RunDirectory.prepare(tmp_path / "study" / "run", "")
    run.update_state(wandb_id="../someone/else?")
    assert re.fullmatch(r"[0-9a-f]{8}", identifier(run))
    run.update_state(wandb_id="1a2b3c4d")
    assert identifier(run) == "1a2b3c4d"


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


def test_variables_of_any_bytes_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_NAME", "\udcff\x1b[31m")
    monkeypatch.setenv("WANDB_NOTES", "a\nb")
    monkeypatch.setenv("WANDB_TAGS", "x, \udcff,")
    assert said() == {"name": r"\udcff\x1b[31m", "notes": "a\nb", "tags": ["x", r"\udcff"]}


def test_words_that_are_none_of_wandbs_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "Onlin")
    monkeypatch.setenv("WANDB_DISABLED", "maybe")
    of_mode, of_disabled = misspelt()
    assert of_mode == ("WANDB_MODE is 'Onlin'; allowed: online, run, offline, dryrun, disabled; it is not taken")
    assert of_disabled.startswith("WANDB_DISABLED is 'maybe'; allowed: 1, true, ")
    for name, value in (("WANDB_MODE", " Offline"), ("WANDB_DISABLED", "No")):
        monkeypatch.setenv(name, value)
    assert misspelt() == []


def test_the_mode_is_as_wandb_spells_it_only_while_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    for before in (" Disabled", None):
        monkeypatch.setenv("WANDB_MODE", before) if before else monkeypatch.delenv("WANDB_MODE")
        with spelt("offline"):
            assert os.environ.get("WANDB_MODE") == (before and "offline")
        assert os.environ.get("WANDB_MODE") == before


@pytest.mark.parametrize("labels", [[1], {"name": 3, "tags": "x"}, {"name": "a", "tags": [1, None], "odd": "x"}])
def test_labels_of_a_strangers_state_are_texts(labels: object) -> None:
    kept = recorded({"wandb": labels} if isinstance(labels, dict) else {})
    assert kept in ({}, {"name": "a", "tags": ["1", "None"]})
