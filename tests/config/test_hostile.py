"""Configurations that nobody means: empty, absurd, endless, of another form. Refused in one line, at once."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from repro.config import Config, from_mapping, load, parse, read_yaml, to_flat
from repro.config.parsing import keys
from repro.errors import UserError

BOMB = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" if n else "a0: &a0 [x]\n" for n in range(12))
TAKES_NULL = [key for key, value in to_flat(Config()).items() if value is None]


@pytest.mark.parametrize("key", keys())
def test_null_is_refused_where_a_value_is_due(key: str) -> None:
    if key in TAKES_NULL or key == "trainer.checkpoint_every_n_minutes":
        assert to_flat(from_mapping({key: None}))[key] is None
    else:
        with pytest.raises(UserError, match=f"{key} is empty .null.; allowed: "):
            from_mapping({key: None})


@pytest.mark.parametrize(
    "content",
    [
        "a: " + "[" * 10_000,
        "{a: " * 5_000,
        BOMB,
        f"model: {{arguments: {{{BOMB.replace(chr(10), ', ').strip(', ')}}}}}",
        "model: &m\n  arguments: {d: *m}\n",
        f"seed: {'9' * 5000}",
        "seed: 1\0",
        "x: 1\n" * 2_000_000,
        "seed: 1\n---\nseed: 2",
        "[1]",
        "seed: !!python/object/apply:os.system [x]",
    ],
    ids=lambda content: content[:20],
)
def test_what_is_no_configuration_is_refused_at_once(content: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(content)
    began = time.process_time()
    with pytest.raises(UserError, match="c.yaml") as caught:
        load(tmp_path / "c.yaml")
    assert len(str(caught.value)) < 1000
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("content", "told"),
    [
        *(("seed: 010", "010"), ("seed: 1:30", "1:30"), ("seed: [0, -08, 007]", "007"), ("seed: 1:30.5", "1:30.5")),
        *(("no: 1", "the key no"), ("a: {On: 1}", "the key On"), ("~: 1", "the key ~")),
    ],
)
def test_what_yaml_takes_for_something_else_is_refused(content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(content)
    with pytest.raises(UserError, match=f"line 1 has {told}, which YAML takes for .*; put it in quotes"):
        read_yaml(tmp_path / "c.yaml")
    (tmp_path / "c.yaml").write_text("{seed: 10, a: 0.5, b: '010', 'no': -0, c: 0x10, d: 1e-3, e: 1.5e+3, f: 00.5}")
    read = read_yaml(tmp_path / "c.yaml")
    assert read == {"seed": 10, "a": 0.5, "b": "010", "no": 0, "c": 16, "d": "1e-3", "e": 1500.0, "f": 0.5}


def test_pipes_and_devices_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", "/dev/urandom", tmp_path / "pipe"):
        with pytest.raises(UserError, match="is a pipe or a device; name a file"):
            read_yaml(path)
    (tmp_path / "mark.yaml").write_bytes(b"\xef\xbb\xbfseed: 3")
    assert load(tmp_path / "mark.yaml").seed == 3


@pytest.mark.parametrize("flag", ["--model.arguments", "--data.arguments", "--measure.every_n_steps"])
def test_a_key_twice_in_a_flag_is_refused(flag: str) -> None:
    for arguments in ([flag, "{d: 1, d: 2}"], [f"{flag}={{d: 1, d: 2}}"]):
        with pytest.raises(UserError, match=f"{flag}: key 'd' is there twice"):
            parse(arguments)


def test_a_number_where_a_choice_is_due_is_taken_for_its_text() -> None:
    assert from_mapping({"trainer": {"precision": 32}}).trainer.precision == "32"
    for value in (16, True, 32.0):
        with pytest.raises(UserError, match="trainer.precision"):
            from_mapping({"trainer.precision": value})
