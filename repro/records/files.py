"""Files that a crash cannot leave half-written: atomic replacement, and append-only JSON lines."""

from __future__ import annotations

import errno
import gzip
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from repro.errors import Damaged, no_pipe

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""A full disk, a used-up quota, a file over the limit that is set for a process."""

_MOST_BYTES = 2**27
"""Bytes of a line, or of a file that is read as a whole, at most: a stranger's may be larger than memory."""
_MOST_TORN = 10_000

_NON_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def replace_text(path: Path, text: str) -> None:
    """`replace_files` with one of UTF-8, also if the machine crashes right afterwards."""
    replace_files({path: text.encode()}, lasting=True)


def replace_files(contents: Mapping[Path, bytes], *, lasting: bool = False) -> None:
    """Write files so that a reader sees the old content of each or the new one, never a part.

    All are written before the first is put in place, in this order: a full disk leaves everything as it was.

    Args:
        contents: By path, in folders that are there: that of a run may have been moved away.
        lasting: Also if the machine crashes right afterwards.
    """
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}") for path in contents}
    try:
        for path, content in contents.items():
            with temporary[path].open("wb") as file:
                file.write(content)
                if lasting:
                    file.flush()
                    os.fsync(file.fileno())
        for path in contents:
            temporary[path].replace(path)
    finally:
        for path in temporary.values():
            with suppress(OSError):
                path.unlink(missing_ok=True)


def encode(value: Any) -> Any:
    """Numbers that JSON lacks as the strings "inf", "-inf" and "nan"; mappings and sequences throughout."""
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, Mapping):
        return {str(key): encode(content) for key, content in value.items()}
    if isinstance(value, list | tuple):
        return [encode(content) for content in value]
    return value


def decode_number(value: Any) -> Any:
    """The float that a string "inf", "-inf" or "nan" stands for; anything else as it is."""
    return _NON_FINITE.get(value, value) if isinstance(value, str) else value


def decode(value: Any) -> Any:
    """The same of every value in a mapping, and in the mappings in it."""
    return {key: decode(content) for key, content in value.items()} if isinstance(value, dict) else decode_number(value)


_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


def read_whole(path: Path) -> bytes:
    """The content of a file that is read as a whole.

    Raises:
        Damaged: It is a pipe, a device, or larger than any of ours.
        OSError: It cannot be read.
    """
    with no_pipe(path).open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise Damaged(f"'{path}' is damaged: it has over {_MOST_BYTES:,} bytes; restore it, or move the run away")
    return content


def parse_json(content: bytes) -> Any:
    """What JSON says; halves of characters, which neither figures nor files take, become question marks.

    Raises:
        ValueError: It is no JSON.
        RecursionError: It is nested too deep.
    """
    value = json.loads(content)
    if _HALF.search(content):
        value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    return value


def dump_json(value: Any) -> str:
    """One line of strict JSON: no NaN or Infinity literals, which many readers refuse."""
    return json.dumps(encode(value), allow_nan=False, ensure_ascii=False)


def no_link(path: Path) -> Path:
    """The path, unless a link is there: what is added or deleted would be somebody's file elsewhere.

    Raises:
        Damaged: It is a link.
    """
    if path.is_symlink():
        raise Damaged(f"'{path}' is a link, and nothing is changed where it leads; put what is meant there itself")
    return path


def append_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Append each record as one JSON line and flush.

    A line that a crash tore earlier is ended first, so that it cannot swallow the next one. `Damaged` as `no_link`.
    """
    text = "".join(f"{dump_json(record)}\n" for record in records)
    with no_link(path).open("ab+") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                text = "\n" + text
        file.write(text.encode())
        file.flush()


def stored(path: Path) -> Path:
    """A JSON-lines file, or its compressed form where there is only that, as in kept copies."""
    return path if path.exists() else path.with_name(f"{path.name}.gz")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Every whole record of a JSON-lines file (also gzipped, .gz), torn lines left out; nothing if there is no file."""
    if not no_pipe(path).exists():
        return
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        torn = 0
        while line := file.readline(_MOST_BYTES):
            if len(line) == _MOST_BYTES or torn > _MOST_TORN:
                raise Damaged(f"'{path}' is damaged: it is no record of lines; restore it, or move the run away")
            try:
                record = parse_json(line)
            except (ValueError, RecursionError):
                torn += 1  # by a crash
                continue
            if isinstance(record, dict):
                yield record
