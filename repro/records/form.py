"""Checks of what is read back from a record: it may be damaged, of another version, or not from this package."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from repro.errors import Damaged, no_pipe
from repro.records.files import decode_number, parse_json, read_lines

Kinds = Mapping[str, type | tuple[type, ...]]
Content = TypeVar("Content", dict[str, Any], list[Any])

NUMBER = (int, float, str)
"""Stands in `Kinds` for a number, or for the text of one that JSON lacks."""
_TEXT = (str, type(None))
STATE: Kinds = {
    **dict.fromkeys(
        ("status", "reason", "created", "updated", "wandb_id", "mlflow_run_id", "goes_on_from", "network", "probe"), str
    ),
    **dict.fromkeys(("step", "epoch", "max_epochs"), int),
    **dict.fromkeys(("seconds", "checkpoint_seconds"), (int, float)),
    **dict.fromkeys(("final", "stop_seconds", "best", "solution", "code", "wandb"), dict),
}
"""The kinds of entries of a state; none of them has to be there."""
LIFE: Kinds = {"started": str, "versions": dict, "command": list, "device": _TEXT, "host": str}
METRICS: Kinds = {"step": int, "epoch": int, "metrics": dict}
READINGS: Kinds = {
    "step": int,
    "epochs": int,
    "measurement": str,
    "layer": int,
    "name": str,
    "mode": _TEXT,
    "values": dict,
}
SPECTRA: Kinds = {
    "step": int,
    "epoch": int,
    "measurement": str,
    "layer": int,
    "name": str,
    "mode": str,
    "singular_values": str,
}
_OF_NUMBERS = ("metrics", "values", "final", "stop_seconds")
"""Entries whose values are numbers."""


def require(content: object, kinds: Kinds, where: str, *, all_of_them: bool = False) -> None:
    """Hold an entry of a record against what it should hold."""
    if not isinstance(content, dict):
        raise Damaged(f"{where} is damaged: it holds a {type(content).__name__}; restore it, or move the run away")
    for key, kind in kinds.items():
        if (key in content or all_of_them) and _is_odd(key, value := content.get(key), kind):
            raise Damaged(f"{where} is damaged: {key} is {str(value)[:40]!r}; restore it, or move the run away")


def _is_odd(key: str, value: Any, kind: type | tuple[type, ...]) -> bool:
    """Whether an entry is of another kind. It is asked some millions of times for a page of all records."""
    if kind is NUMBER:
        return not _is_number(decode_number(value))
    of_kind = isinstance(value, kind) and not isinstance(value, bool)
    if not of_kind or (isinstance(value, int) and not _is_number(value)):
        return True
    if kind is list:
        return not all(isinstance(part, str) for part in value)
    if key not in _OF_NUMBERS or (key != "final" and set(map(type, value.values())) == {float}):
        return False
    numbers = {name: decode_number(number) for name, number in value.items()}
    odd = not all(map(_is_number, numbers.values()))
    return odd or (key == "final" and any(_is_impossible(name, number) for name, number in numbers.items()))


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)


def _is_impossible(name: str, value: float) -> bool:
    """Whether it is an accuracy that is no share."""
    return name.endswith("_accuracy") and (value < 0 or value > 1)


def read_json(path: Path, default: Content) -> Content:
    """The content of a file, which is of the default's type; the default if there is no file."""
    try:
        content = parse_json(no_pipe(path).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return default
    except OSError as error:
        raise Damaged(f"cannot read '{path}': {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise Damaged(f"'{path}' is damaged ({error}); restore it, or move the run away") from error
    if not isinstance(content, type(default)):
        require(content, {}, f"'{path}'")
        raise Damaged(f"'{path}' is damaged: it holds no list; restore it, or move the run away")
    return content


def renew_reading(line: Any) -> None:
    """Let a reading of an older version, whose key is ``epoch``, count epochs as today's do, from 1."""
    if isinstance(line, dict) and "epochs" not in line and isinstance(line.get("epoch"), int):
        line["epochs"] = line.pop("epoch") + (line.get("step") != 0)


def lines(path: Path, kinds: Kinds, renewed: Callable[[Any], None] = lambda _line: None) -> Iterator[dict[str, Any]]:
    """The lines of a record file, each as it should be; nothing if there is no file. What a crash tore is passed over.

    `kinds` is what each line has to hold; `renewed` brings one of an older version into today's form, in place.
    """
    try:
        for number, line in enumerate(read_lines(path), 1):
            renewed(line)
            require(line, kinds, f"'{path}', record {number},", all_of_them=True)
            yield line
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise Damaged(f"'{path}' is damaged ({error}); restore it, or move the run away") from error
    except OSError as error:
        raise Damaged(f"cannot read '{path}': {error.strerror}") from error
