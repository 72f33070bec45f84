"""A YAML file as a mapping: as JSON has it, no key twice, of a sensible size, and nothing that runs code. No torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from repro.config.shipped import existing
from repro.errors import UserError, no_pipe


class _Unwanted(yaml.YAMLError):
    """YAML that we do not take."""


# libyaml's reader is ten times as fast; PyYAML can be built without it.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):
    """YAML as JSON has it, no key twice, and nothing that the parser of arguments would import.

    Of a key that is there twice the last would win without a word, and a set or a date would have another text, and
    so another run's name, in every process or not at all.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping, every key of which is a plain value and is there once."""
        lines: dict[Any, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key, line = self.construct_object(key_node, deep=True), key_node.start_mark.line + 1
            if not isinstance(key, str | int | float | bool | None):
                raise _Unwanted(f"line {line} has a key that is neither text nor a number")
            if key == "class_path":  # jsonargparse imports what it names, wherever any value is allowed
                raise _Unwanted(f"line {line} has the key class_path; code is named by model.network and data.name")
            if key in lines:
                raise _Unwanted(f"key '{key}' is there twice, in lines {lines[key]} and {line}; leave one out")
            lines[key] = line
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _refused(_loader: _Loader, node: yaml.Node) -> Any:
    kind = node.tag.rpartition(":")[2].lstrip("!")
    line = node.start_mark.line + 1
    hint = "; put it in quotes if it is text" if kind == "timestamp" else ""
    raise _Unwanted(f"line {line} has a {kind}; allowed: texts, numbers, true, false, null, lists and mappings{hint}")


for _kind in ("set", "omap", "pairs", "timestamp", "binary"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _refused)


MOST_BYTES = 2**22
"""Most bytes of a file: the largest configuration or study that anybody writes is a hundredth of that."""
_MOST_VALUES = 10**6
_HALF = re.compile("[\ud800-\udfff]")


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file; of ``configs/`` the package's own copy, where there is no such file."""
    return mapping_of(read_text(path), f"'{existing(path)}'")


def read_text(path: str | Path) -> str:
    """What stands in a YAML file."""
    try:
        with no_pipe(path := existing(path)).open("rb") as file:
            text = file.read(MOST_BYTES + 1).decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read configuration file '{path}': {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"'{path}' is not YAML: {error}") from error
    if len(text) > MOST_BYTES:
        raise UserError(f"'{path}' is larger than {MOST_BYTES // 2**20} MB, and so no configuration or study")
    return text


def mapping_of(text: str, source: str) -> dict[str, Any]:
    """The keys and values that a YAML text stands for."""
    content = parse_yaml(text, source)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{source} holds a {type(content).__name__}; a configuration file holds keys and values")
    return content


def parse_yaml(text: str, source: str) -> Any:
    """The value that a YAML text stands for; `UserError` if it is not YAML, or none that we take."""
    try:
        content = yaml.load(text, Loader=_Loader)  # a safe loader
        _values(content, {})
    except _Unwanted as error:
        raise UserError(f"{source}: {error}") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an integer of thousands of digits
        raise UserError(f"{source} is not YAML: {error}") from error
    except RecursionError:
        raise UserError(f"{source} is nested too deep") from None
    return content


def _values(value: Any, counts: dict[int, int]) -> int:
    """How many values there are once every alias is written out."""
    if isinstance(value, str) and _HALF.search(value):
        raise _Unwanted(f"'{value[:40]}' has half a character, which cannot be written")
    if not isinstance(value, dict | list):
        return 1
    if (count := counts.get(id(value))) is None:
        counts[id(value)] = 0  # while we are inside
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        count = counts[id(value)] = 1 + sum(_values(item, counts) for item in inner)
        if count > _MOST_VALUES:
            raise _Unwanted("its aliases stand for more than a million values")
    elif not count:
        raise _Unwanted("a list or mapping holds itself")
    return count
