from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.records.files import append_lines, decode_number, dump_json, read_lines, replace_text


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
