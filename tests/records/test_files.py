from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import Damaged
from repro.records import files
from repro.records.files import (
    append_lines,
    decode_number,
    dump_json,
    read_lines,
    read_whole,
    replace_files,
    replace_text,
)


@given(st.dictionaries(st.text(), st.floats() | st.integers() | st.text() | st.none()))
def test_every_number_survives_as_strict_json(values: dict[str, object]) -> None:
    read = json.loads(dump_json(values), parse_constant=lambda name: pytest.fail(f"literal {name}"))
    for key, value in values.items():
        if isinstance(value, float):
            back = decode_number(read[key])
            assert back == value or (math.isnan(value) and math.isnan(back))
        else:
            assert read[key] == value


def test_a_torn_last_line_is_left_out_and_does_not_swallow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    append_lines(path, [{"a": 1}, {"a": 2}])
    whole = path.read_bytes()
    for cut in range(1, len(whole)):
        path.write_bytes(whole[:-cut])
        kept = list(read_lines(path))
        assert kept == [{"a": 1}, {"a": 2}][: len(kept)]
        append_lines(path, [{"a": 3}])
        assert list(read_lines(path)) == [*kept, {"a": 3}]


@pytest.mark.parametrize("content", [b"\0" * 300, b"\n" * 30, b"x\n" * 30, b'{"a": 1}\n' + b"\n" * 30])
def test_what_is_no_record_of_lines_is_not_read_for_hours(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_MOST_BYTES", 200)
    monkeypatch.setattr(files, "_MOST_TORN", 20)
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(Damaged, match="it is no record of lines"):
        list(read_lines(tmp_path / "a.jsonl"))
    (tmp_path / "a.jsonl").write_bytes(b"x\n" * 20 + b'{"a": 1}\n')
    assert list(read_lines(tmp_path / "a.jsonl")) == [{"a": 1}]


def test_what_is_larger_than_any_of_ours_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "state.json").touch()
    os.truncate(tmp_path / "state.json", 10**12)
    with pytest.raises(Damaged, match="has over 134,217,728 bytes"):
        read_whole(tmp_path / "state.json")


def test_several_files_are_replaced_when_all_are_written(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(FileNotFoundError):
        replace_files({tmp_path / "a": b"new", tmp_path / "moved away/c": b"new"})
    assert (tmp_path / "a").read_text() == "old"
    replace_files({tmp_path / "a": b"new", tmp_path / "b": b"new"})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "new", "b": "new"}


def test_no_file_has_no_lines(tmp_path: Path) -> None:
    assert list(read_lines(tmp_path / "none")) == []


def test_replacing_leaves_the_old_text_if_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    replace_text(path, "old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace_text(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]
